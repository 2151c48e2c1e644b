// Minimal gated unit, gates f n: a GRU whose one gate does the work of both. A step comes in two stages, with the
// product of f h' between them. The variant has activations of the user's choice, with bounds.
#pragma once

#include "kernels/cells/activations.hpp"
#include "kernels/cells/step.hpp"

namespace bptt::BPTT_ISA {

template <class T>
struct Mgu {
  static constexpr int gates = 1;  // of the first product
  static BPTT_INLINE Index gate_column(const Panel<T>& panel, int v) { return panel.column(v); }
  static BPTT_INLINE Index recurrent_column(Index) { return 0; }
  static constexpr bool carries_h = false;
  static BPTT_INLINE void prepare(const ForwardStep<T>&, const Panel<T>&) {}

  // f = sigmoid(a_f), kept next to f h'
  // n = tanh(a_n)       h = (1 - f) h' + f n
  template <bool Keep>
  static void activate(const ForwardStep<T>& s, const Panel<T>& panel) {
    for (int v = 0; v < panel.vectors; ++v) {
      with_lanes<T>(panel.valid(v), [&](auto lanes) {
        const Index unit = panel.column(v);
        for (Index row = 0; row < s.rows; ++row) {
          T* a = s.gates + row * s.gates_row + unit;
          if (s.stage == Stage::gates) {
            const Vec<T> f = sigmoid<T>(load_first<T>(a, lanes));
            const Vec<T> h_in = load_first<T>(s.h_in + row * s.h_in_row + unit, lanes);
            store_first<T>(a, f, lanes);
            store_first<T>(a + 2 * s.hidden, f * h_in, lanes);
          } else {
            const Vec<T> f = load_first<T>(a, lanes);
            const Vec<T> n = tanh<T>(load_first<T>(a + s.hidden, lanes));
            const Vec<T> h_prev = load_first<T>(s.h_prev + row * s.h_prev_row + unit, lanes);
            store_first<T>(s.h + row * s.h_row + unit, fma(f, n, (1 - f) * h_prev), lanes);
            if constexpr (Keep) store_first<T>(a + s.hidden, n, lanes);
          }
        }
      });
    }
  }

  template <class N>
  static BPTT_INLINE void invert(const BackwardStep<T>& s, Index row, Index unit, N lanes, Vec<T> dh, StepSquares<T>) {
    const T* gates_at = s.gates + row * s.gates_row + unit;
    T* carry = s.carry + row * s.hidden + unit;
    T* dgates = s.dgates + row * s.dgates_row + unit;
    const Vec<T> f = load_first<T>(gates_at, lanes);
    if (s.stage == Stage::output) {
      const Vec<T> n = load_first<T>(gates_at + s.hidden, lanes);
      const Vec<T> h_prev = load_first<T>(s.h_prev + row * s.h_prev_row + unit, lanes);
      // h = (1 - f) h' + f n
      store_first<T>(carry, dh * (1 - f), lanes);
      store_first<T>(dgates, dh * (n - h_prev), lanes);  // dL/df so far
      store_first<T>(dgates + s.hidden, dh * f * (1 - n * n), lanes);
    } else {
      // `dh` is the error of f h', from the product
      const Vec<T> h_in = load_first<T>(s.h_in + row * s.h_in_row + unit, lanes);
      Vec<T> through = dh * f;
      if (s.recurrent_mask) through = through * load_first<T>(s.recurrent_mask + row * s.hidden + unit, lanes);
      store_first<T>(carry, load_first<T>(carry, lanes) + through, lanes);
      store_first<T>(dgates, fma(dh, h_in, load_first<T>(dgates, lanes)) * (f * (1 - f)), lanes);
    }
  }
};

template <class T>
struct MguVariant : Mgu<T> {
  template <bool Keep>
  static void activate(const ForwardStep<T>& s, const Panel<T>& panel) {
    const auto gate = bounded_gate(s), candidate = bounded_candidate(s);
    for (int v = 0; v < panel.vectors; ++v) {
      with_lanes<T>(panel.valid(v), [&](auto lanes) {
        const Index unit = panel.column(v);
        for (Index row = 0; row < s.rows; ++row) {
          T* gates = s.gates + row * s.gates_row + unit;
          if (s.stage == Stage::gates) {
            const Vec<T> a_f = load_first<T>(gates, lanes), f = gate(a_f);
            const Vec<T> h_in = load_first<T>(s.h_in + row * s.h_in_row + unit, lanes);
            store_first<T>(gates, gate.kept(a_f, f), lanes);
            store_first<T>(gates + 2 * s.hidden, f * h_in, lanes);
          } else {
            const Vec<T> f = gate.value(load_first<T>(gates, lanes));
            const Vec<T> a_n = load_first<T>(gates + s.hidden, lanes), n = candidate(a_n);
            const Vec<T> h_prev = load_first<T>(s.h_prev + row * s.h_prev_row + unit, lanes);
            store_first<T>(s.h + row * s.h_row + unit, fma(f, n, (1 - f) * h_prev), lanes);
            if constexpr (Keep) store_first<T>(gates + s.hidden, candidate.kept(a_n, n), lanes);
          }
        }
      });
    }
  }

  template <class N>
  static BPTT_INLINE void invert(const BackwardStep<T>& s, Index row, Index unit, N lanes, Vec<T> dh, StepSquares<T>) {
    const auto gate = bounded_gate(s), candidate = bounded_candidate(s);
    const T* gates = s.gates + row * s.gates_row + unit;
    T* carry = s.carry + row * s.hidden + unit;
    T* dgates = s.dgates + row * s.dgates_row + unit;
    const Vec<T> kept_f = load_first<T>(gates, lanes), f = gate.value(kept_f);
    if (s.stage == Stage::output) {
      const Vec<T> kept_n = load_first<T>(gates + s.hidden, lanes);
      const Vec<T> h_prev = load_first<T>(s.h_prev + row * s.h_prev_row + unit, lanes);
      // h = (1 - f) h' + f n
      store_first<T>(carry, dh * (1 - f), lanes);
      store_first<T>(dgates, dh * (candidate.value(kept_n) - h_prev), lanes);  // dL/df so far
      store_first<T>(dgates + s.hidden, dh * f * candidate.slope(kept_n), lanes);
    } else {
      // `dh` is the error of f h', from the product
      const Vec<T> h_in = load_first<T>(s.h_in + row * s.h_in_row + unit, lanes);
      Vec<T> through = dh * f;
      if (s.recurrent_mask) through = through * load_first<T>(s.recurrent_mask + row * s.hidden + unit, lanes);
      store_first<T>(carry, load_first<T>(carry, lanes) + through, lanes);
      store_first<T>(dgates, fma(dh, h_in, load_first<T>(dgates, lanes)) * gate.slope(kept_f), lanes);
    }
  }
};

}  // namespace bptt::BPTT_ISA

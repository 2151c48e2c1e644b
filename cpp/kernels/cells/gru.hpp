// GRU, gates r z n, with the reset after the product (as PyTorch and cuDNN have it) or before it. The variants have
// activations of the user's choice, with bounds, and the tape keeps of a gate what `BoundedActivation` keeps.
#pragma once

#include "kernels/cells/activations.hpp"
#include "kernels/cells/step.hpp"

namespace bptt::BPTT_ISA {

template <class T>
struct Gru {
  static constexpr int gates = 3;
  // The recurrent part of n is kept separately from its input part: r multiplies only the former.
  static BPTT_INLINE Index gate_column(const Panel<T>& panel, int v) {
    return v < 2 ? panel.column(v) : panel.column(3);
  }
  static BPTT_INLINE Index recurrent_column(Index hidden) { return hidden; }
  static constexpr bool carries_h = true;
  static BPTT_INLINE void prepare(const ForwardStep<T>& s, const Panel<T>& panel) {
    const int n = panel.valid(0);
    const Vec<T> bias = load_first<T>(s.hidden_bias + panel.first, n);
    for (Index row = 0; row < s.rows; ++row) {
      store_first<T>(s.gates + row * s.gates_row + 3 * s.hidden + panel.first, bias, n);
    }
  }

  // r = sigmoid(a_r)    z = sigmoid(a_z)    n = tanh(a_n + r m), m = W_hn h' + b_hn    h = (1 - z) n + z h'
  template <bool Keep>
  static void activate(const ForwardStep<T>& s, const Panel<T>& panel) {
    with_lanes<T>(panel.valid(0), [&](auto lanes) {
      const Index unit = panel.first;
      for (Index row = 0; row < s.rows; ++row) {
        T* a = s.gates + row * s.gates_row + unit;
        store_first<T>(a, sigmoid<T>(load_first<T>(a, lanes)), lanes);
        store_first<T>(a + s.hidden, sigmoid<T>(load_first<T>(a + s.hidden, lanes)), lanes);
      }
      // In a separate loop, as for the LSTM.
      for (Index row = 0; row < s.rows; ++row) {
        T* a = s.gates + row * s.gates_row + unit;
        const Vec<T> r = load_first<T>(a, lanes);
        const Vec<T> z = load_first<T>(a + s.hidden, lanes);
        const Vec<T> m = load_first<T>(a + 3 * s.hidden, lanes);
        const Vec<T> n = tanh<T>(fma(r, m, load_first<T>(a + 2 * s.hidden, lanes)));
        const Vec<T> h_prev = load_first<T>(s.h_prev + row * s.h_prev_row + unit, lanes);
        store_first<T>(s.h + row * s.h_row + unit, fma(z, h_prev, (1 - z) * n), lanes);
        if constexpr (Keep) store_first<T>(a + 2 * s.hidden, n, lanes);
      }
    });
  }

  template <class N>
  static BPTT_INLINE void invert(const BackwardStep<T>& s, Index row, Index unit, N lanes, Vec<T> dh,
                                 StepSquares<T> squares) {
    const T* gates_at = s.gates + row * s.gates_row + unit;
    const Vec<T> r = load_first<T>(gates_at, lanes);
    const Vec<T> z = load_first<T>(gates_at + s.hidden, lanes);
    const Vec<T> n = load_first<T>(gates_at + 2 * s.hidden, lanes);
    const Vec<T> m = load_first<T>(gates_at + 3 * s.hidden, lanes);
    const Vec<T> h_prev = load_first<T>(s.h_prev + row * s.h_prev_row + unit, lanes);
    squares.dh.add(dh);

    // h = (1 - z) n + z h'
    const Vec<T> da_z = dh * (h_prev - n) * (z * (1 - z));
    store_first<T>(s.carry + row * s.hidden + unit, dh * z, lanes);
    // n = tanh(a_n + r m)
    const Vec<T> da_n = dh * (1 - z) * (1 - n * n);
    const Vec<T> da_r = da_n * m * (r * (1 - r));
    T* dgates = s.dgates + row * s.dgates_row + unit;
    store_first<T>(dgates, da_n, lanes);
    store_first<T>(dgates + s.hidden, da_r, lanes);
    store_first<T>(dgates + 2 * s.hidden, da_z, lanes);
    store_first<T>(dgates + 3 * s.hidden, da_n * r, lanes);
  }
};

template <class T>
struct GruVariant : Gru<T> {
  template <bool Keep>
  static void activate(const ForwardStep<T>& s, const Panel<T>& panel) {
    const auto gate = bounded_gate(s), candidate = bounded_candidate(s);
    const Index unit = panel.first;
    with_lanes<T>(panel.valid(0), [&](auto lanes) {
      for (Index row = 0; row < s.rows; ++row) {
        T* gates = s.gates + row * s.gates_row + unit;
        const Vec<T> a_r = load_first<T>(gates, lanes), a_z = load_first<T>(gates + s.hidden, lanes);
        const Vec<T> r = gate(a_r), z = gate(a_z);
        const Vec<T> m = load_first<T>(gates + 3 * s.hidden, lanes);
        const Vec<T> a_n = fma(r, m, load_first<T>(gates + 2 * s.hidden, lanes));
        const Vec<T> n = candidate(a_n);
        const Vec<T> h_prev = load_first<T>(s.h_prev + row * s.h_prev_row + unit, lanes);
        store_first<T>(s.h + row * s.h_row + unit, fma(z, h_prev, (1 - z) * n), lanes);
        if constexpr (!Keep) continue;
        store_first<T>(gates, gate.kept(a_r, r), lanes);
        store_first<T>(gates + s.hidden, gate.kept(a_z, z), lanes);
        store_first<T>(gates + 2 * s.hidden, candidate.kept(a_n, n), lanes);
      }
    });
  }

  template <class N>
  static BPTT_INLINE void invert(const BackwardStep<T>& s, Index row, Index unit, N lanes, Vec<T> dh,
                                 StepSquares<T> squares) {
    const auto gate = bounded_gate(s), candidate = bounded_candidate(s);
    const T* gates = s.gates + row * s.gates_row + unit;
    const Vec<T> kept_r = load_first<T>(gates, lanes), kept_z = load_first<T>(gates + s.hidden, lanes);
    const Vec<T> kept_n = load_first<T>(gates + 2 * s.hidden, lanes);
    const Vec<T> m = load_first<T>(gates + 3 * s.hidden, lanes);
    const Vec<T> r = gate.value(kept_r), z = gate.value(kept_z), n = candidate.value(kept_n);
    const Vec<T> h_prev = load_first<T>(s.h_prev + row * s.h_prev_row + unit, lanes);
    squares.dh.add(dh);

    // h = (1 - z) n + z h'
    const Vec<T> da_z = dh * (h_prev - n) * gate.slope(kept_z);
    store_first<T>(s.carry + row * s.hidden + unit, dh * z, lanes);
    // n = candidate(a_n + r m)
    const Vec<T> da_n = dh * (1 - z) * candidate.slope(kept_n);
    const Vec<T> da_r = da_n * m * gate.slope(kept_r);
    T* dgates = s.dgates + row * s.dgates_row + unit;
    store_first<T>(dgates, da_n, lanes);
    store_first<T>(dgates + s.hidden, da_r, lanes);
    store_first<T>(dgates + 2 * s.hidden, da_z, lanes);
    store_first<T>(dgates + 3 * s.hidden, da_n * r, lanes);
  }
};

// The reset before the product. A step comes in two stages, with the product of r h' between them.
template <class T>
struct GruResetBefore {
  static constexpr int gates = 2;  // of the first product
  static BPTT_INLINE Index gate_column(const Panel<T>& panel, int v) { return panel.column(v); }
  static BPTT_INLINE Index recurrent_column(Index) { return 0; }
  static constexpr bool carries_h = false;
  static BPTT_INLINE void prepare(const ForwardStep<T>&, const Panel<T>&) {}

  // r = sigmoid(a_r)    z = sigmoid(a_z), kept next to r h'
  // n = tanh(a_n)       h = (1 - z) n + z h'
  template <bool Keep>
  static void activate(const ForwardStep<T>& s, const Panel<T>& panel) {
    with_lanes<T>(panel.valid(0), [&](auto lanes) {
      for (Index row = 0; row < s.rows; ++row) {
        T* a = s.gates + row * s.gates_row + panel.first;
        if (s.stage == Stage::gates) {
          const Vec<T> r = sigmoid<T>(load_first<T>(a, lanes));
          const Vec<T> h_in = load_first<T>(s.h_in + row * s.h_in_row + panel.first, lanes);
          store_first<T>(a, r, lanes);
          store_first<T>(a + s.hidden, sigmoid<T>(load_first<T>(a + s.hidden, lanes)), lanes);
          store_first<T>(a + 3 * s.hidden, r * h_in, lanes);
        } else {
          const Vec<T> z = load_first<T>(a + s.hidden, lanes);
          const Vec<T> n = tanh<T>(load_first<T>(a + 2 * s.hidden, lanes));
          const Vec<T> h_prev = load_first<T>(s.h_prev + row * s.h_prev_row + panel.first, lanes);
          store_first<T>(s.h + row * s.h_row + panel.first, fma(z, h_prev, (1 - z) * n), lanes);
          if constexpr (Keep) store_first<T>(a + 2 * s.hidden, n, lanes);
        }
      }
    });
  }

  template <class N>
  static BPTT_INLINE void invert(const BackwardStep<T>& s, Index row, Index unit, N lanes, Vec<T> dh, StepSquares<T>) {
    const T* gates_at = s.gates + row * s.gates_row + unit;
    T* carry = s.carry + row * s.hidden + unit;
    T* dgates = s.dgates + row * s.dgates_row + unit;
    if (s.stage == Stage::output) {
      const Vec<T> z = load_first<T>(gates_at + s.hidden, lanes);
      const Vec<T> n = load_first<T>(gates_at + 2 * s.hidden, lanes);
      const Vec<T> h_prev = load_first<T>(s.h_prev + row * s.h_prev_row + unit, lanes);
      // h = (1 - z) n + z h'
      store_first<T>(carry, dh * z, lanes);
      store_first<T>(dgates + s.hidden, dh * (h_prev - n) * (z * (1 - z)), lanes);
      store_first<T>(dgates + 2 * s.hidden, dh * (1 - z) * (1 - n * n), lanes);
    } else {
      // `dh` is the error of r h', from the product
      const Vec<T> r = load_first<T>(gates_at, lanes);
      const Vec<T> h_in = load_first<T>(s.h_in + row * s.h_in_row + unit, lanes);
      Vec<T> through = dh * r;
      if (s.recurrent_mask) through = through * load_first<T>(s.recurrent_mask + row * s.hidden + unit, lanes);
      store_first<T>(carry, load_first<T>(carry, lanes) + through, lanes);
      store_first<T>(dgates, dh * h_in * (r * (1 - r)), lanes);
    }
  }
};

template <class T>
struct GruResetBeforeVariant : GruResetBefore<T> {
  template <bool Keep>
  static void activate(const ForwardStep<T>& s, const Panel<T>& panel) {
    const auto gate = bounded_gate(s), candidate = bounded_candidate(s);
    const Index unit = panel.first;
    with_lanes<T>(panel.valid(0), [&](auto lanes) {
      for (Index row = 0; row < s.rows; ++row) {
        T* gates = s.gates + row * s.gates_row + unit;
        if (s.stage == Stage::gates) {
          const Vec<T> a_r = load_first<T>(gates, lanes), a_z = load_first<T>(gates + s.hidden, lanes);
          const Vec<T> r = gate(a_r);
          const Vec<T> h_in = load_first<T>(s.h_in + row * s.h_in_row + unit, lanes);
          store_first<T>(gates, gate.kept(a_r, r), lanes);
          store_first<T>(gates + s.hidden, gate.kept(a_z, gate(a_z)), lanes);
          store_first<T>(gates + 3 * s.hidden, r * h_in, lanes);
        } else {
          const Vec<T> z = gate.value(load_first<T>(gates + s.hidden, lanes));
          const Vec<T> a_n = load_first<T>(gates + 2 * s.hidden, lanes);
          const Vec<T> n = candidate(a_n);
          const Vec<T> h_prev = load_first<T>(s.h_prev + row * s.h_prev_row + unit, lanes);
          store_first<T>(s.h + row * s.h_row + unit, fma(z, h_prev, (1 - z) * n), lanes);
          if constexpr (Keep) store_first<T>(gates + 2 * s.hidden, candidate.kept(a_n, n), lanes);
        }
      }
    });
  }

  template <class N>
  static BPTT_INLINE void invert(const BackwardStep<T>& s, Index row, Index unit, N lanes, Vec<T> dh, StepSquares<T>) {
    const auto gate = bounded_gate(s), candidate = bounded_candidate(s);
    const T* gates = s.gates + row * s.gates_row + unit;
    T* carry = s.carry + row * s.hidden + unit;
    T* dgates = s.dgates + row * s.dgates_row + unit;
    if (s.stage == Stage::output) {
      const Vec<T> kept_z = load_first<T>(gates + s.hidden, lanes);
      const Vec<T> kept_n = load_first<T>(gates + 2 * s.hidden, lanes);
      const Vec<T> z = gate.value(kept_z), n = candidate.value(kept_n);
      const Vec<T> h_prev = load_first<T>(s.h_prev + row * s.h_prev_row + unit, lanes);
      // h = (1 - z) n + z h'
      store_first<T>(carry, dh * z, lanes);
      store_first<T>(dgates + s.hidden, dh * (h_prev - n) * gate.slope(kept_z), lanes);
      store_first<T>(dgates + 2 * s.hidden, dh * (1 - z) * candidate.slope(kept_n), lanes);
    } else {
      // `dh` is the error of r h', from the product
      const Vec<T> kept_r = load_first<T>(gates, lanes);
      const Vec<T> h_in = load_first<T>(s.h_in + row * s.h_in_row + unit, lanes);
      Vec<T> through = dh * gate.value(kept_r);
      if (s.recurrent_mask) through = through * load_first<T>(s.recurrent_mask + row * s.hidden + unit, lanes);
      store_first<T>(carry, load_first<T>(carry, lanes) + through, lanes);
      store_first<T>(dgates, dh * h_in * gate.slope(kept_r), lanes);
    }
  }
};

template <>
inline constexpr bool kCopiesProduct<Gru<float>> = true;

}  // namespace bptt::BPTT_ISA

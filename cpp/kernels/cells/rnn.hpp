// Elman RNN: h = tanh(a) or relu(a), or a variant with a function of the user's choice. The pre-activations are written
// where h will be, unless the tape keeps them, or h as it was before zoneout.
#pragma once

#include "kernels/cells/activations.hpp"
#include "kernels/cells/step.hpp"

namespace bptt::BPTT_ISA {

template <class T, bool Relu>
struct Rnn {
  static constexpr int gates = 1;
  static BPTT_INLINE Index gate_column(const Panel<T>& panel, int v) { return panel.column(v); }
  static BPTT_INLINE Index recurrent_column(Index) { return 0; }
  static constexpr bool carries_h = false;
  static BPTT_INLINE void prepare(const ForwardStep<T>&, const Panel<T>&) {}

  template <bool>
  static void activate(const ForwardStep<T>& s, const Panel<T>& panel) {
    for (int v = 0; v < panel.vectors; ++v) {
      with_lanes<T>(panel.valid(v), [&](auto n) {
        for (Index row = 0; row < s.rows; ++row) {
          T* at = s.gates + row * s.gates_row + panel.column(v);
          const Vec<T> a = load_first<T>(at, n);
          const Vec<T> h = Relu ? select<T>(a < 0, Vec<T>{}, a) : tanh<T>(a);  // NaN stays NaN
          store_first<T>(s.h + row * s.h_row + panel.column(v), h, n);
          if (s.gates != s.h) store_first<T>(at, h, n);
        }
      });
    }
  }

  template <class N>
  static BPTT_INLINE void invert(const BackwardStep<T>& s, Index row, Index unit, N n, Vec<T> dh,
                                 StepSquares<T> squares) {
    const Vec<T> h = load_first<T>(s.gates + row * s.gates_row + unit, n);
    squares.dh.add(dh);
    T* dgates = s.dgates + row * s.dgates_row + unit;
    if constexpr (Relu) {
      store_first<T>(dgates, select<T>(h > 0, dh, h * 0), n);  // a NaN in h must show, not become 0
    } else {
      store_first<T>(dgates, dh * (1 - h * h), n);
    }
  }
};

// h = f(a), with a bounded first.
template <class T>
struct RnnVariant : Rnn<T, false> {
  template <bool>
  static void activate(const ForwardStep<T>& s, const Panel<T>& panel) {
    const auto f = bounded_candidate(s);
    for (int v = 0; v < panel.vectors; ++v) {
      with_lanes<T>(panel.valid(v), [&](auto n) {
        for (Index row = 0; row < s.rows; ++row) {
          T* at = s.gates + row * s.gates_row + panel.column(v);
          const Vec<T> a = load_first<T>(at, n);
          const Vec<T> h = f(a);
          store_first<T>(s.h + row * s.h_row + panel.column(v), h, n);
          if (s.gates != s.h) store_first<T>(at, f.kept(a, h), n);
        }
      });
    }
  }

  template <class N>
  static BPTT_INLINE void invert(const BackwardStep<T>& s, Index row, Index unit, N n, Vec<T> dh,
                                 StepSquares<T> squares) {
    const auto f = bounded_candidate(s);
    squares.dh.add(dh);
    const Vec<T> kept = load_first<T>(s.gates + row * s.gates_row + unit, n);
    store_first<T>(s.dgates + row * s.dgates_row + unit, dh * f.slope(kept), n);
  }
};

}  // namespace bptt::BPTT_ISA

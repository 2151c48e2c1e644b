// LSTM, gates i f g o, with or without peepholes (rows i, f, o; o sees c_t).
#pragma once

#include "kernels/step.hpp"

namespace bptt::BPTT_ISA {

template <class T, bool Peephole>
struct Lstm {
  static constexpr int gates = 4;
  static BPTT_INLINE Index gate_column(const Panel<T>& panel, int v) { return panel.column(v); }
  static BPTT_INLINE Index recurrent_column(Index) { return 0; }
  static BPTT_INLINE void prepare(const ForwardStep<T>&, const Panel<T>&) {}

  // i = sigmoid(a_i + P_i c')    f = sigmoid(a_f + P_f c')    g = tanh(a_g)
  // c = f c' + i g               o = sigmoid(a_o + P_o c)     h = o tanh(c)
  template <bool Keep>
  static void activate(const ForwardStep<T>& s, const Panel<T>& panel) {
    with_lanes<T>(panel.valid(0), [&](auto n) {
      const Index unit = panel.first;
      Vec<T> peep_i{}, peep_f{}, peep_o{};
      if constexpr (Peephole) {
        peep_i = load_first<T>(s.peephole + unit, n);
        peep_f = load_first<T>(s.peephole + s.hidden + unit, n);
        peep_o = load_first<T>(s.peephole + 2 * s.hidden + unit, n);
      }
      for (Index row = 0; row < s.rows; ++row) {
        T* a = s.gates + row * s.gates_row + unit;
        const Vec<T> c_prev = load_first<T>(s.c_prev + row * s.c_row + unit, n);
        Vec<T> a_i = load_first<T>(a, n);
        Vec<T> a_f = load_first<T>(a + s.hidden, n);
        if constexpr (Peephole) {
          a_i = fma(peep_i, c_prev, a_i);
          a_f = fma(peep_f, c_prev, a_f);
        }
        const Vec<T> i = sigmoid<T>(a_i);
        const Vec<T> f = sigmoid<T>(a_f);
        const Vec<T> g = tanh<T>(load_first<T>(a + 2 * s.hidden, n));
        const Vec<T> c = fma(f, c_prev, i * g);
        Vec<T> a_o = load_first<T>(a + 3 * s.hidden, n);
        if constexpr (Peephole) a_o = fma(peep_o, c, a_o);
        const Vec<T> o = sigmoid<T>(a_o);
        store_first<T>(s.c + row * s.c_row + unit, c, n);
        if constexpr (Keep) {
          store_first<T>(a, i, n);
          store_first<T>(a + s.hidden, f, n);
          store_first<T>(a + 2 * s.hidden, g, n);
        }
        store_first<T>(a + 3 * s.hidden, o, n);
      }
      // In a loop of its own: a chain of gates and tanh(c) together is longer than a CPU looks ahead over rows.
      for (Index row = 0; row < s.rows; ++row) {
        const Vec<T> o = load_first<T>(s.gates + row * s.gates_row + unit + 3 * s.hidden, n);
        const Vec<T> c = load_first<T>(s.c + row * s.c_row + unit, n);
        store_first<T>(s.h + row * s.h_row + unit, o * tanh<T>(c), n);
      }
    });
  }

  template <class N>
  static BPTT_INLINE void invert(const BackwardStep<T>& s, Index row, Index unit, N n, Vec<T> dh, SquareSum& dh_squares,
                                 SquareSum& dc_squares) {
    const T* gates_at = s.gates + row * s.gates_row + unit;
    const Vec<T> i = load_first<T>(gates_at, n);
    const Vec<T> f = load_first<T>(gates_at + s.hidden, n);
    const Vec<T> g = load_first<T>(gates_at + 2 * s.hidden, n);
    const Vec<T> o = load_first<T>(gates_at + 3 * s.hidden, n);
    const Vec<T> c_prev = load_first<T>(s.c_prev + row * s.c_row + unit, n);
    const Vec<T> c = load_first<T>(s.c + row * s.c_row + unit, n);
    T* carry = s.carry + row * s.hidden + unit;
    dh_squares.add(dh);

    // h = o tanh(c)
    const Vec<T> tanh_c = tanh<T>(c);
    const Vec<T> da_o = dh * tanh_c * (o * (1 - o));
    Vec<T> dc = fma(dh * o, 1 - tanh_c * tanh_c, load_first<T>(carry, n));
    // o = sigmoid(a_o + P_o c)
    if constexpr (Peephole) dc = fma(load_first<T>(s.peephole + 2 * s.hidden + unit, n), da_o, dc);
    dc_squares.add(dc);
    // c = f c' + i g
    const Vec<T> da_i = dc * g * (i * (1 - i));
    const Vec<T> da_f = dc * c_prev * (f * (1 - f));
    const Vec<T> da_g = dc * i * (1 - g * g);
    Vec<T> dc_prev = dc * f;
    // i = sigmoid(a_i + P_i c'), f = sigmoid(a_f + P_f c')
    if constexpr (Peephole) {
      dc_prev = fma(load_first<T>(s.peephole + unit, n), da_i, dc_prev);
      dc_prev = fma(load_first<T>(s.peephole + s.hidden + unit, n), da_f, dc_prev);
      T* dp = s.dpeephole + row * 3 * s.hidden + unit;
      store_first<T>(dp, fma(da_i, c_prev, load_first<T>(dp, n)), n);
      store_first<T>(dp + s.hidden, fma(da_f, c_prev, load_first<T>(dp + s.hidden, n)), n);
      store_first<T>(dp + 2 * s.hidden, fma(da_o, c, load_first<T>(dp + 2 * s.hidden, n)), n);
    }
    store_first<T>(carry, dc_prev, n);
    T* dgates = s.dgates + row * s.dgates_row + unit;
    store_first<T>(dgates, da_i, n);
    store_first<T>(dgates + s.hidden, da_f, n);
    store_first<T>(dgates + 2 * s.hidden, da_g, n);
    store_first<T>(dgates + 3 * s.hidden, da_o, n);
  }
};

}  // namespace bptt::BPTT_ISA

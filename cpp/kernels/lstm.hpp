// LSTM, gates i f g o, or coupled, f g o with i = 1 - f. The variants have peepholes (rows i f o, or f o; o sees c_t),
// activations of the user's choice, bounds, and may see the cell state normalised: then `seen` is what h is made from,
// and the step comes in two stages with the normalisation between.
#pragma once

#include "kernels/activations.hpp"
#include "kernels/step.hpp"

namespace bptt::BPTT_ISA {

template <class T, bool Variant, bool Coupled>
struct Lstm {
  static constexpr int gates = Coupled ? 3 : 4;
  static constexpr Index kF = Coupled ? 0 : 1;  // i, if there is one, comes first
  static constexpr Index kG = kF + 1;
  static constexpr Index kO = kG + 1;
  static constexpr Index kPeepF = kF;
  static constexpr Index kPeepO = kF + 1;

  static BPTT_INLINE Index gate_column(const Panel<T>& panel, int v) { return panel.column(v); }
  static BPTT_INLINE Index recurrent_column(Index) { return 0; }
  static constexpr bool carries_h = false;
  static BPTT_INLINE void prepare(const ForwardStep<T>&, const Panel<T>&) {}

  static BPTT_INLINE Vec<T> gate(const ForwardStep<T>& s, Vec<T> a) {
    if constexpr (!Variant) return sigmoid<T>(a);
    return activation<T>(s.lstm->gate, bounded<T>(a, s.lstm->gate_clip));
  }
  static BPTT_INLINE Vec<T> candidate(const ForwardStep<T>& s, Vec<T> a) {
    if constexpr (!Variant) return tanh<T>(a);
    return activation<T>(s.lstm->candidate, bounded<T>(a, s.lstm->gate_clip));
  }

  // i = sigmoid(a_i + P_i c')    f = sigmoid(a_f + P_f c')    g = tanh(a_g)
  // c = f c' + i g               o = sigmoid(a_o + P_o c)     h = o tanh(c)
  template <bool Keep>
  static void activate(const ForwardStep<T>& s, const Panel<T>& panel) {
    with_lanes<T>(panel.valid(0), [&](auto n) {
      if (!Variant || s.stage != Stage::output) open_gates<Keep>(s, panel.first, n);
      // In a loop of its own: a chain of gates and tanh(c) together is longer than a CPU looks ahead over rows.
      if (!Variant || s.stage != Stage::gates) put_out(s, panel.first, n);
    });
  }

  template <bool Keep, class N>
  static BPTT_INLINE void open_gates(const ForwardStep<T>& s, Index unit, N n) {
    const bool peephole = Variant && s.peephole;
    Vec<T> peep_i{}, peep_f{}, peep_o{};
    if (peephole) {
      if (!Coupled) peep_i = load_first<T>(s.peephole + unit, n);
      peep_f = load_first<T>(s.peephole + kPeepF * s.hidden + unit, n);
      peep_o = load_first<T>(s.peephole + kPeepO * s.hidden + unit, n);
    }
    for (Index row = 0; row < s.rows; ++row) {
      T* a = s.gates + row * s.gates_row + unit;
      const Vec<T> c_prev = load_first<T>(s.c_prev + row * s.c_prev_row + unit, n);
      Vec<T> a_f = load_first<T>(a + kF * s.hidden, n);
      if (peephole) a_f = fma(peep_f, c_prev, a_f);
      Vec<T> i, f;
      if constexpr (Coupled) {
        f = gate(s, a_f);
        i = 1 - f;
      } else {
        Vec<T> a_i = load_first<T>(a, n);
        if (peephole) a_i = fma(peep_i, c_prev, a_i);
        i = gate(s, a_i);
        f = gate(s, a_f);
      }
      const Vec<T> g = candidate(s, load_first<T>(a + kG * s.hidden, n));
      Vec<T> c = fma(f, c_prev, i * g);
      if constexpr (Variant) c = bounded<T>(c, s.lstm->cell_clip);
      Vec<T> a_o = load_first<T>(a + kO * s.hidden, n);
      if (peephole) a_o = fma(peep_o, c, a_o);
      const Vec<T> o = gate(s, a_o);
      store_first<T>(s.c + row * s.c_row + unit, c, n);
      if constexpr (Keep) {
        if constexpr (!Coupled) store_first<T>(a, i, n);
        store_first<T>(a + kF * s.hidden, f, n);
        store_first<T>(a + kG * s.hidden, g, n);
      }
      store_first<T>(a + kO * s.hidden, o, n);
    }
  }

  template <class N>
  static BPTT_INLINE void put_out(const ForwardStep<T>& s, Index unit, N n) {
    for (Index row = 0; row < s.rows; ++row) {
      const Vec<T> o = load_first<T>(s.gates + row * s.gates_row + unit + kO * s.hidden, n);
      Vec<T> y;
      if constexpr (Variant) {
        const T* seen = s.seen ? s.seen + row * s.hidden : s.c + row * s.c_row;
        y = activation<T>(s.lstm->output, bounded<T>(load_first<T>(seen + unit, n), s.lstm->output_clip));
      } else {
        y = tanh<T>(load_first<T>(s.c + row * s.c_row + unit, n));
      }
      store_first<T>(s.h + row * s.h_row + unit, o * y, n);
    }
  }

  static BPTT_INLINE Vec<T> gate_slope(const BackwardStep<T>& s, Vec<T> y) {
    if constexpr (!Variant) return y * (1 - y);
    return bounded_slope<T>(s.lstm->gate, s.lstm->gate_clip, y);
  }
  static BPTT_INLINE Vec<T> candidate_slope(const BackwardStep<T>& s, Vec<T> y) {
    if constexpr (!Variant) return 1 - y * y;
    return bounded_slope<T>(s.lstm->candidate, s.lstm->gate_clip, y);
  }

  // dc * c * slope. With a large cell state, dc * c may overflow although the slope of a closed gate would bring the
  // whole product back into the range of T. Then c * slope comes first.
  static BPTT_INLINE Vec<T> steep_product(Vec<T> dc, Vec<T> c, Vec<T> slope) {
    const Vec<T> product = dc * c;
    return select<T>(product - product == 0, product * slope, dc * (c * slope));
  }

  template <class N>
  static BPTT_INLINE void invert(const BackwardStep<T>& s, Index row, Index unit, N n, Vec<T> dh,
                                 ErrorSquares<T>& dh_squares, ErrorSquares<T>& dc_squares) {
    const T* gates_at = s.gates + row * s.gates_row + unit;
    T* dgates = s.dgates + row * s.dgates_row + unit;
    T* carry = s.carry + row * s.hidden + unit;
    const bool peephole = Variant && s.peephole;
    const Vec<T> c = load_first<T>(s.c + row * s.c_row + unit, n);
    Vec<T> da_o, dseen;
    if (!Variant || s.stage == Stage::whole || s.stage == Stage::output) {
      dh_squares.add(dh);
      const Vec<T> o = load_first<T>(gates_at + kO * s.hidden, n);
      // h = o tanh(c)
      if constexpr (Variant) {
        const Vec<T> seen = s.seen ? load_first<T>(s.seen + row * s.hidden + unit, n) : c;
        const Vec<T> y = activation<T>(s.lstm->output, bounded<T>(seen, s.lstm->output_clip));
        da_o = dh * y * gate_slope(s, o);
        dseen = dh * o * bounded_slope<T>(s.lstm->output, s.lstm->output_clip, y);
        if (s.stage == Stage::output) {
          store_first<T>(dgates + kO * s.hidden, da_o, n);
          store_first<T>(s.dh + row * s.hidden + unit, dseen, n);
          return;
        }
      } else {
        const Vec<T> y = tanh<T>(c);
        da_o = dh * y * (o * (1 - o));
        dseen = dh * o * (1 - y * y);
      }
    } else {
      da_o = load_first<T>(dgates + kO * s.hidden, n);
      dseen = dh;
    }
    const Vec<T> f = load_first<T>(gates_at + kF * s.hidden, n);
    const Vec<T> g = load_first<T>(gates_at + kG * s.hidden, n);
    const Vec<T> i = Coupled ? 1 - f : load_first<T>(gates_at, n);
    const Vec<T> c_prev = load_first<T>(s.c_prev + row * s.c_prev_row + unit, n);
    Vec<T> dc = dseen;
    if (!Variant || s.stage != Stage::gates) {
      dc = dc + load_first<T>(carry, n);
      // o = sigmoid(a_o + P_o c)
      if (peephole) dc = fma(load_first<T>(s.peephole + kPeepO * s.hidden + unit, n), da_o, dc);
      if (Variant && s.stage == Stage::cell) {
        store_first<T>(s.dh + row * s.hidden + unit, dc, n);
        return;
      }
    }
    dc_squares.add(dc);
    if constexpr (Variant) {
      const T clip = s.lstm->cell_clip;
      if (clip != __builtin_huge_val()) dc = select<T>(absolute<T>(c) < clip, dc, c * 0);
    }
    // c = f c' + i g
    Vec<T> da_i{}, da_f;
    if constexpr (Coupled) {
      da_f = steep_product(dc, c_prev - g, gate_slope(s, f));
    } else {
      da_i = dc * g * gate_slope(s, i);
      da_f = steep_product(dc, c_prev, gate_slope(s, f));
    }
    const Vec<T> da_g = dc * i * candidate_slope(s, g);
    Vec<T> dc_prev = dc * f;
    // i = sigmoid(a_i + P_i c'), f = sigmoid(a_f + P_f c')
    if (peephole) {
      T* dp = s.dpeephole + row * s.dpeephole_row + unit;
      const auto look = [&](Index which, Vec<T> da, Vec<T> at) {
        T* to = dp + which * s.hidden;
        store_first<T>(to, fma(da, at, load_first<T>(to, n)), n);
      };
      if constexpr (!Coupled) {
        dc_prev = fma(load_first<T>(s.peephole + unit, n), da_i, dc_prev);
        look(0, da_i, c_prev);
      }
      dc_prev = fma(load_first<T>(s.peephole + kPeepF * s.hidden + unit, n), da_f, dc_prev);
      look(kPeepF, da_f, c_prev);
      look(kPeepO, da_o, c);
    }
    store_first<T>(carry, dc_prev, n);
    if constexpr (!Coupled) store_first<T>(dgates, da_i, n);
    store_first<T>(dgates + kF * s.hidden, da_f, n);
    store_first<T>(dgates + kG * s.hidden, da_g, n);
    store_first<T>(dgates + kO * s.hidden, da_o, n);
  }
};

}  // namespace bptt::BPTT_ISA

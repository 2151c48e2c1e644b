// LSTM, gates i f g o. With three gates it is coupled, f g o with i = 1 - f, or the cell of 1997, i g o with f = 1. The
// variants have peepholes (rows i f o, f o or i o; o sees c_t), activations of the user's choice and bounds. With layer
// norm, h is made from the normalised cell state, `seen`: then the step comes in two stages, with the normalisation
// between them.
#pragma once

#include "kernels/cells/activations.hpp"
#include "kernels/cells/step.hpp"

namespace bptt::BPTT_ISA {

template <class T, bool Variant, bool Three>
struct Lstm {
  static constexpr int gates = Three ? 3 : 4;
  static constexpr Index kF = Three ? 0 : 1;  // of three gates, the one that there is of i and f
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
    return bounded_gate(s)(a);
  }
  static BPTT_INLINE Vec<T> candidate(const ForwardStep<T>& s, Vec<T> a) {
    if constexpr (!Variant) return tanh<T>(a);
    return bounded_candidate(s)(a);
  }
  // What the tape keeps of y = gate(a), or candidate(a).
  static BPTT_INLINE Vec<T> kept_gate(const ForwardStep<T>& s, Vec<T> a, Vec<T> y) {
    if constexpr (!Variant) return y;
    return bounded_gate(s).kept(a, y);
  }
  static BPTT_INLINE Vec<T> kept_candidate(const ForwardStep<T>& s, Vec<T> a, Vec<T> y) {
    if constexpr (!Variant) return y;
    return bounded_candidate(s).kept(a, y);
  }
  // The value of a gate that the tape keeps.
  template <class Step>
  static BPTT_INLINE Vec<T> gate_value(const Step& s, Vec<T> kept) {
    if constexpr (!Variant) return kept;
    return bounded_gate(s).value(kept);
  }
  static BPTT_INLINE Vec<T> candidate_value(const BackwardStep<T>& s, Vec<T> kept) {
    if constexpr (!Variant) return kept;
    return bounded_candidate(s).value(kept);
  }

  // i = sigmoid(a_i + P_i c')    f = sigmoid(a_f + P_f c')    g = tanh(a_g)
  // c = f c' + i g               o = sigmoid(a_o + P_o c)     h = o tanh(c)
  template <bool Keep>
  static void activate(const ForwardStep<T>& s, const Panel<T>& panel) {
    with_lanes<T>(panel.valid(0), [&](auto n) {
      if (!Variant || s.stage != Stage::output) open_gates<Keep>(s, panel.first, n);
      // In a separate loop: a chain of gates and tanh(c) together is longer than a CPU looks ahead over rows.
      if (!Variant || s.stage != Stage::gates) put_out<Keep>(s, panel.first, n);
    });
  }

  template <bool Keep, class N>
  static BPTT_INLINE void open_gates(const ForwardStep<T>& s, Index unit, N n) {
    const bool peephole = Variant && s.peephole;
    Vec<T> peep_i{}, peep_f{}, peep_o{};
    if (peephole) {
      if (!Three) peep_i = load_first<T>(s.peephole + unit, n);
      peep_f = load_first<T>(s.peephole + kPeepF * s.hidden + unit, n);
      peep_o = load_first<T>(s.peephole + kPeepO * s.hidden + unit, n);
    }
    for (Index row = 0; row < s.rows; ++row) {
      T* a = s.gates + row * s.gates_row + unit;
      const Vec<T> c_prev = load_first<T>(s.c_prev + row * s.c_prev_row + unit, n);
      Vec<T> a_f = load_first<T>(a + kF * s.hidden, n);
      if (peephole) a_f = fma(peep_f, c_prev, a_f);
      Vec<T> a_i{}, i, f;
      if constexpr (Three) {
        f = gate(s, a_f);
        i = s.options->forgets ? 1 - f : f;
      } else {
        a_i = load_first<T>(a, n);
        if (peephole) a_i = fma(peep_i, c_prev, a_i);
        i = gate(s, a_i);
        f = gate(s, a_f);
      }
      const Vec<T> a_g = load_first<T>(a + kG * s.hidden, n);
      const Vec<T> g = candidate(s, a_g);
      Vec<T> c = Three && !s.options->forgets ? c_prev + i * g : fma(f, c_prev, i * g);
      if constexpr (Variant) c = bounded<T>(c, s.options->cell_clip);
      Vec<T> a_o = load_first<T>(a + kO * s.hidden, n);
      if (peephole) a_o = fma(peep_o, c, a_o);
      const Vec<T> o = gate(s, a_o);
      store_first<T>(s.c + row * s.c_row + unit, c, n);
      if constexpr (Keep) {
        if constexpr (!Three) store_first<T>(a, kept_gate(s, a_i, i), n);
        store_first<T>(a + kF * s.hidden, kept_gate(s, a_f, f), n);
        store_first<T>(a + kG * s.hidden, kept_candidate(s, a_g, g), n);
      }
      store_first<T>(a + kO * s.hidden, Keep ? kept_gate(s, a_o, o) : o, n);
    }
  }

  template <bool Keep, class N>
  static BPTT_INLINE void put_out(const ForwardStep<T>& s, Index unit, N n) {
    for (Index row = 0; row < s.rows; ++row) {
      Vec<T> o = load_first<T>(s.gates + row * s.gates_row + unit + kO * s.hidden, n);
      if constexpr (Keep) o = gate_value(s, o);
      Vec<T> y;
      if constexpr (Variant) {
        const T* seen = s.seen ? s.seen + row * s.hidden : s.c + row * s.c_row;
        y = bounded_output(s)(load_first<T>(seen + unit, n));
      } else {
        y = tanh<T>(load_first<T>(s.c + row * s.c_row + unit, n));
      }
      store_first<T>(s.h + row * s.h_row + unit, o * y, n);
    }
  }

  static BPTT_INLINE Vec<T> gate_slope(const BackwardStep<T>& s, Vec<T> kept) {
    if constexpr (!Variant) return kept * (1 - kept);
    return bounded_gate(s).slope(kept);
  }
  static BPTT_INLINE Vec<T> candidate_slope(const BackwardStep<T>& s, Vec<T> kept) {
    if constexpr (!Variant) return 1 - kept * kept;
    return bounded_candidate(s).slope(kept);
  }

  // dc * c * slope. With a large cell state, dc * c may overflow although the slope of a closed gate would bring the
  // whole product back into the range of T. Then c * slope comes first.
  static BPTT_INLINE Vec<T> steep_product(Vec<T> dc, Vec<T> c, Vec<T> slope) {
    const Vec<T> product = dc * c;
    return select<T>(product - product == 0, product * slope, dc * (c * slope));
  }

  // One vector of units in one row, of what a backward step reads and writes.
  template <class N>
  struct Unit {
    const BackwardStep<T>& s;
    Index row;
    Index unit;
    N n;

    BPTT_INLINE Vec<T> gate(Index k) const { return load(s.gates + row * s.gates_row + k * s.hidden); }
    BPTT_INLINE Vec<T> peephole(Index k) const { return load(s.peephole + k * s.hidden); }
    BPTT_INLINE Vec<T> c() const { return load(s.c + row * s.c_row); }
    BPTT_INLINE Vec<T> c_prev() const { return load(s.c_prev + row * s.c_prev_row); }
    BPTT_INLINE Vec<T> carry() const { return load(s.carry + row * s.hidden); }
    BPTT_INLINE Vec<T> dgate(Index k) const { return load(s.dgates + row * s.dgates_row + k * s.hidden); }
    BPTT_INLINE void put_dgate(Index k, Vec<T> x) const { put(s.dgates + row * s.dgates_row + k * s.hidden, x); }
    BPTT_INLINE void put_carry(Vec<T> x) const { put(s.carry + row * s.hidden, x); }
    BPTT_INLINE void put_dh(Vec<T> x) const { put(s.dh + row * s.hidden, x); }
    // dP_k += da (.) x
    BPTT_INLINE void add_dpeephole(Index k, Vec<T> da, Vec<T> x) const {
      T* to = s.dpeephole + row * s.dpeephole_row + k * s.hidden;
      put(to, fma(da, x, load(to)));
    }
    BPTT_INLINE Vec<T> load(const T* at) const { return load_first<T>(at + unit, n); }
    BPTT_INLINE void put(T* at, Vec<T> x) const { store_first<T>(at + unit, x, n); }
  };

  // The three stages from the last one to the first; a call runs them all, or from the second or third one on.
  template <class N>
  static BPTT_INLINE void invert(const BackwardStep<T>& s, Index row, Index unit, N n, Vec<T> dh,
                                 StepSquares<T> squares) {
    const Unit<N> u{s, row, unit, n};
    const bool peephole = Variant && s.peephole;
    const Vec<T> c = u.c();
    Vec<T> da_o, dseen;
    if (!Variant || s.stage == Stage::whole || s.stage == Stage::output) {
      squares.dh.add(dh);
      invert_output(u, c, dh, da_o, dseen);
      if (Variant && s.stage == Stage::output) {
        u.put_dgate(kO, da_o);
        u.put_dh(dseen);
        return;
      }
    } else {
      da_o = u.dgate(kO);
      dseen = dh;
    }
    Vec<T> dc = dseen;
    if (!Variant || s.stage != Stage::gates) {
      dc = dc + u.carry();
      // o = sigmoid(a_o + P_o c)
      if (peephole) dc = fma(u.peephole(kPeepO), da_o, dc);
      if (Variant && s.stage == Stage::cell) {
        u.put_dh(dc);
        return;
      }
    }
    squares.dc.add(dc);
    invert_cell(u, c, dc, da_o);
  }

  // h = o tanh(c)
  template <class N>
  static BPTT_INLINE void invert_output(const Unit<N>& u, Vec<T> c, Vec<T> dh, Vec<T>& da_o, Vec<T>& dseen) {
    const BackwardStep<T>& s = u.s;
    const Vec<T> kept_o = u.gate(kO), o = gate_value(s, kept_o);
    if constexpr (Variant) {
      const Vec<T> seen = s.seen ? u.load(s.seen + u.row * s.hidden) : c;
      const auto output = bounded_output(s);
      const Vec<T> y = output(seen);
      da_o = dh * y * gate_slope(s, kept_o);
      dseen = dh * o * output.slope(output.kept(seen, y));
    } else {
      const Vec<T> y = tanh<T>(c);
      da_o = dh * y * (o * (1 - o));
      dseen = dh * o * (1 - y * y);
    }
  }

  // c = f c' + i g
  template <class N>
  static BPTT_INLINE void invert_cell(const Unit<N>& u, Vec<T> c, Vec<T> dc, Vec<T> da_o) {
    const BackwardStep<T>& s = u.s;
    const Vec<T> kept_f = u.gate(kF), f = gate_value(s, kept_f);
    const Vec<T> kept_g = u.gate(kG), g = candidate_value(s, kept_g);
    const bool forgets = !Three || s.options->forgets;
    const Vec<T> kept_i = Three ? kept_f : u.gate(0);
    const Vec<T> i = !Three ? gate_value(s, kept_i) : forgets ? 1 - f : f;
    const Vec<T> c_prev = u.c_prev();
    if constexpr (Variant) {
      const T clip = s.options->cell_clip;
      if (clip != __builtin_huge_val()) dc = select<T>(absolute<T>(c) < clip, dc, c * 0);
    }
    Vec<T> da_i{}, da_f;
    if constexpr (Three) {
      da_f = forgets ? steep_product(dc, c_prev - g, gate_slope(s, kept_f)) : dc * g * gate_slope(s, kept_f);
    } else {
      da_i = dc * g * gate_slope(s, kept_i);
      da_f = steep_product(dc, c_prev, gate_slope(s, kept_f));
    }
    const Vec<T> da_g = dc * i * candidate_slope(s, kept_g);
    Vec<T> dc_prev = forgets ? dc * f : dc;
    // i = sigmoid(a_i + P_i c'), f = sigmoid(a_f + P_f c')
    if (Variant && s.peephole) {
      if constexpr (!Three) {
        dc_prev = fma(u.peephole(0), da_i, dc_prev);
        u.add_dpeephole(0, da_i, c_prev);
      }
      dc_prev = fma(u.peephole(kPeepF), da_f, dc_prev);
      u.add_dpeephole(kPeepF, da_f, c_prev);
      u.add_dpeephole(kPeepO, da_o, c);
    }
    u.put_carry(dc_prev);
    if constexpr (!Three) u.put_dgate(0, da_i);
    u.put_dgate(kF, da_f);
    u.put_dgate(kG, da_g);
    u.put_dgate(kO, da_o);
  }
};

template <>
inline constexpr bool kCopiesProduct<Lstm<float, false, false>> = true;

}  // namespace bptt::BPTT_ISA

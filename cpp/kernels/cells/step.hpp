// A fused time step: the recurrent product of a panel of units, then the cell on that panel while it is in L1.
// Each cell (rnn.hpp, lstm.hpp, gru.hpp, mgu.hpp) has its equations in two functions, `activate` and `invert`.
// `carries_h`: the carry belongs to dL/dh, and is not added yet.
#pragma once

#include "kernels/cells/error_squares.hpp"
#include "kernels/math.hpp"
#include "kernels/product.hpp"

namespace bptt::BPTT_ISA {

// The panel's gates = bias + W x; then comes `after`.
template <class T, class Equations>
BPTT_INLINE void project_panel(const ForwardStep<T>& s, Index number, const T* after) {
  const Panel<T> panel = panel_at<T>({s.input, s.hidden, Equations::gates}, number);
  PanelOutput<T> io{};
  io.out_row = s.gates_row;
  for (int v = 0; v < panel.vectors; ++v) {
    io.out[v] = s.gates + panel.column(v);
    io.init[v] = s.bias + panel.column(v);
  }
  multiply_panel(panel, {s.rows, s.input, s.x, s.x_row, s.w, after}, io);
}

template <class Arguments>
BPTT_INLINE Index panel_in_turn(const Arguments& s, Index i) {
  return s.last_first ? s.panel_begin + s.panel_end - 1 - i : i;
}

// Where the packed panel after number i begins; after the last one the next step, and probably with this step's first.
template <class T, class Arguments>
BPTT_INLINE const T* panel_after(const Arguments& s, Index i, PanelShape shape, const T* packed) {
  return packed + panel_at<T>(shape, panel_in_turn(s, i + 1 < s.panel_end ? i + 1 : s.panel_begin)).offset;
}

// Whether the step of these equations has its own copy of the product: a call costs a twentieth of a step of one row
// and few units, and a copy costs space.
template <class Equations>
inline constexpr bool kCopiesProduct = false;

template <class T, class Equations>
void forward_step(const ForwardStep<T>& s) {
  const PanelShape shape{s.output, s.hidden, Equations::gates};
  for (Index i = s.panel_begin; i < s.panel_end; ++i) {
    const Index p = panel_in_turn(s, i);
    const Panel<T> panel = panel_at<T>(shape, p);
    if (s.x) project_panel<T, Equations>(s, p, s.u ? s.u + panel.offset : s.w);
    PanelOutput<T> io{};
    io.init_row = io.out_row = s.gates_row;
    for (int v = 0; v < panel.vectors; ++v) {
      io.out[v] = s.gates + Equations::gate_column(panel, v);
      io.init[v] = io.out[v];
    }
    if (s.u) {
      Equations::prepare(s, panel);
      const T* after =
          s.x ? panel_after(s, i, {s.input, s.hidden, Equations::gates}, s.w) : panel_after(s, i, shape, s.u);
      const PanelInput<T> in{s.rows, s.output, s.h_in, s.h_in_row, s.u, after};
      if constexpr (kCopiesProduct<Equations>) {
        multiply_vectors_inline<T, PlainOperands<T>, Equations::gates>(panel, in, io);
      } else {
        multiply_panel(panel, in, io);
      }
    }
    if (s.keep) {
      Equations::template activate<true>(s, panel);
    } else {
      Equations::template activate<false>(s, panel);
    }
  }
}

template <class T, class Equations>
void backward_step(const BackwardStep<T>& s) {
  const PanelShape shape{s.hidden * Equations::gates, s.hidden, 1};
  for (Index i = s.panel_begin; i < s.panel_end; ++i) {
    const Index p = panel_in_turn(s, i);
    const Panel<T> panel = panel_at<T>(shape, p);
    if (s.dgates_next) {
      PanelOutput<T> io{};
      io.init_row = 0;
      io.out_row = s.hidden;
      for (int v = 0; v < panel.vectors; ++v) {
        io.out[v] = s.dh + panel.column(v);
        io.init[v] = nullptr;
      }
      const T* dgates = s.dgates_next + Equations::recurrent_column(s.hidden);
      multiply_panel(panel, {s.rows, shape.depth, dgates, s.dgates_row, s.u, panel_after(s, i, shape, s.u)}, io);
    }
    for (Index row = 0; row < s.rows; ++row) {
      Vec<T> kept[2][kMaxVectors];
      ErrorSquares<T> dh_squares(kept[0]), dc_squares(kept[1]);
      for (int v = 0; v < panel.vectors; ++v) {
        with_lanes<T>(panel.valid(v), [&](auto n) {
          const Index unit = panel.column(v);
          const Index at = row * s.hidden + unit;
          Vec<T> dh = load_first<T>(s.dh + at, n);
          if constexpr (Equations::carries_h) dh = dh + load_first<T>(s.carry + at, n);
          if (s.dy) dh = dh + load_first<T>(s.dy + row * s.dy_row + unit, n);
          Equations::invert(s, row, unit, n, dh, StepSquares<T>{dh_squares, dc_squares});
        });
      }
      if (s.dh_squares) s.dh_squares[row * s.panels + p] = dh_squares.total();
      if (s.dc_squares) s.dc_squares[row * s.panels + p] = dc_squares.total();
    }
  }
}

}  // namespace bptt::BPTT_ISA

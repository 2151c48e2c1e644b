// The arguments of the fused steps, forward and backward: the one place that fills them.
#pragma once

#include "core/backward_run.hpp"
#include "core/forward_run.hpp"

namespace bptt {

// The part of a step that one thread takes: units by panels, from the last to the first or from the first to the last.
struct Units {
  Range panels;
  bool last_first;
};

// The arguments that all forward steps of a layer and direction have in common. `fused`: a step projects its own input.
template <class T>
ForwardStep<T> common_arguments(const Recurrent& net, const PackedForward<T>& w, bool fused) {
  ForwardStep<T> s{};
  s.hidden = net.hidden;
  s.output = net.output;
  if (fused) {
    s.input = s.x_row = w.weight_ih.shape.depth;
    s.w = w.weight_ih.panels.data();
    s.bias = w.bias.data();
  }
  s.u = w.weight_hh.panels.data();
  s.hidden_bias = w.hidden_bias.data();
  s.peephole = w.peephole.data();
  s.options = &w.options;
  s.c_row = s.c_prev_row = net.hidden;
  return s;
}

// Rows of time step t, in a chunk that starts with step `low`.
template <class T>
BPTT_ADDRESS ForwardStep<T> step_arguments(const ForwardAddresses<T>& addresses, const ForwardRun<T>& run, Index t,
                                           Index low, Range rows, const Units& units) {
  const Index b = rows.begin;
  const Index before = run.order.slot_before(t), after = run.order.slot(t);
  ForwardStep<T> s = run.common;
  s.rows = rows.end - b;
  s.panel_begin = units.panels.begin;
  s.panel_end = units.panels.end;
  s.last_first = units.last_first;
  if (s.w) s.x = addresses.x_at(run, t, b);
  s.h_in = s.h_prev = addresses.h_at(run, before, b);
  s.h = addresses.h_at(run, after, b);
  s.h_in_row = s.h_prev_row = s.h_row = addresses.width();
  s.gates = addresses.gates_at(run, t, b, low);
  s.gates_row = addresses.gates_row();
  if (run.c) {
    s.c_prev = addresses.c_at(run, before, b, low);
    s.c = addresses.c_at(run, after, b, low);
  }
  return s;
}

// Rows of time step t, in a chunk that starts with step `low`. The caller adds the gate gradients of the next step.
template <class T>
BPTT_ADDRESS BackwardStep<T> step_arguments(const BackwardAddresses<T>& addresses, const BackwardRun<T>& run, Index t,
                                            Index low, Range rows, const Units& units) {
  const Index first = rows.begin;
  const Index at = addresses.in_chunk(t, first, low);
  const Index before = run.order.slot_before(t), after = run.order.slot(t);
  const Recurrent& net = addresses.net();
  BackwardStep<T> b{};
  b.rows = rows.end - first;
  b.hidden = net.hidden;
  b.panels = addresses.panels();
  b.u = run.weights->weight_hh.panels.data();
  b.dgates_row = addresses.dgates_row();
  b.dy_row = b.h_prev_row = net.width();
  b.peephole = run.parameters.peephole;
  b.dpeephole_row = addresses.columns().total;
  b.options = &run.weights->options;
  b.c_row = b.c_prev_row = net.hidden;
  b.panel_begin = units.panels.begin;
  b.panel_end = units.panels.end;
  b.last_first = units.last_first;
  b.dgates = run.dgates.data() + at * b.dgates_row;
  b.dh = addresses.dh_at(run, first);
  b.dy = addresses.dy_at(run, t, first);
  b.carry = addresses.carry_at(run, first);
  b.h_prev = addresses.h_at(run, before, first, low);
  const RowSpan<const T> gates = addresses.gates_at(run, t, first, low);
  b.gates = gates.data;
  b.gates_row = gates.row;
  if (b.peephole) b.dpeephole = run.sums.data() + first * b.dpeephole_row + addresses.columns().peephole;
  if (run.c) {
    b.c_prev = addresses.c_at(run, before, first, low);
    b.c = addresses.c_at(run, after, first, low);
  }
  const Index squares = at * b.panels;
  b.dh_squares = run.dh_squares.data() + squares;
  b.dc_squares = run.dc_squares.data() ? run.dc_squares.data() + squares : nullptr;
  return b;
}

}  // namespace bptt

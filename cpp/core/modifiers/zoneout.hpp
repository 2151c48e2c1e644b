// Zoneout: a unit keeps its old state with some probability (Krueger et al. 2017). h' and c' are the states before the
// step. keep_h and keep_c are 1 where a unit keeps h' or c'. Without these masks, as in inference, the states are
// blended by the probability. The kernel computes h from c before zoneout.
//
// Backward, the error of a blended state splits into two parts. One flows through the kernel. The other goes directly
// to h' or c', and is added after the kernel: for c' in the same step, for h' when the error of h' is complete.
#pragma once

#include "core/modifiers/context.hpp"

namespace bptt::zoneout {

// c <- keep_c c' + (1 - keep_c) c; `c` is where the step's result goes.
template <class T>
void forward_c(const ForwardContext<T>& f, RowSpan<T> c) {
  const double rate = f.net.options.zoneout_c;
  if (!(rate > 0)) return;
  const ForwardStep<T>& s = f.step;
  f.k.blend({s.rows, f.net.hidden, f.interventions.keep_c, static_cast<T>(rate), s.c_prev, s.c_prev_row, s.c, s.c_row,
             c.data, c.row});
}

// h <- keep_h h' + (1 - keep_h) h
template <class T>
void forward_h(const ForwardContext<T>& f, RowSpan<T> h) {
  const double rate = f.net.options.zoneout_h;
  if (!(rate > 0)) return;
  const ForwardStep<T>& s = f.step;
  f.k.blend({s.rows, f.net.output, f.interventions.keep_h, static_cast<T>(rate), s.h_prev, s.h_prev_row, h.data, h.row,
             h.data, h.row});
}

// h <- keep_h h' + (1 - keep_h) h: the error splits, and h' gets its part when the step is done.
template <class T>
void backward_h(BackwardContext<T>& b) {
  if (!b.arrays.direct_h) return;
  b.k.unblend({b.step.rows, b.net.output, b.interventions.keep_h, static_cast<T>(b.net.options.zoneout_h), b.step.dh,
               b.arrays.direct_h});
}

// c <- keep_c c' + (1 - keep_c) c
template <class T>
void backward_c(BackwardContext<T>& b) {
  BackwardStep<T>& s = b.step;
  b.k.unblend({s.rows, b.net.hidden, b.interventions.keep_c, static_cast<T>(b.net.options.zoneout_c), s.carry,
               b.arrays.direct_c});
  s.c = b.taped(b.tape.candidate, b.net.hidden);
  s.c_row = b.net.hidden;
}

template <class T>
void add_direct_c(const BackwardContext<T>& b) {
  if (b.arrays.direct_c) b.k.add(b.step.rows * b.net.hidden, b.arrays.direct_c, b.step.carry);
}

template <class T>
void add_direct_h(const StateErrorContext<T>& x) {
  if (x.arrays.direct_h) x.k.add(x.size(), x.arrays.direct_h, x.dh);
}

}  // namespace bptt::zoneout

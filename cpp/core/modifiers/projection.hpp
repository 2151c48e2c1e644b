// Projection of the output: h = W_hr inner, where `inner` (H) is what the cell makes (Sak, Senior and Beaufays 2014).
#pragma once

#include "core/modifiers/context.hpp"

namespace bptt::projection {

// h = W_hr inner; `h` is where the step's result goes.
template <class T>
void forward(const ForwardContext<T>& f, RowSpan<T> h) {
  if (!f.net.options.projection) return;
  multiply_rows<T>(f.k, f.step.rows, {f.step.h, f.step.h_row}, f.weights.weight_hr, nullptr, h);
}

// h = W_hr inner: the error of inner, and the operands of dW_hr.
template <class T>
void backward(BackwardContext<T>& b) {
  if (!b.net.options.projection) return;
  BackwardStep<T>& s = b.step;
  const Index H = b.net.hidden, P = b.net.output;
  copy_rows<T>(s.rows, P, {s.dh, P}, b.chunk.dh);
  copy_rows<T>(s.rows, H, {b.taped(b.tape.inner, H), H}, b.chunk.inner);
  multiply_rows<T>(b.k, s.rows, {s.dh, P}, b.weights.weight_hr, nullptr, {b.arrays.dinner, H});
  s.dh = b.arrays.dinner;
}

}  // namespace bptt::projection

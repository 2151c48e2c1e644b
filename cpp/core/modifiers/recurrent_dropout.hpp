// Recurrent dropout: h_in = h' (.) mask enters the recurrent product in place of h'. One mask serves all steps (Gal and
// Ghahramani 2016).
#pragma once

#include "core/modifiers/context.hpp"

namespace bptt::recurrent_dropout {

// h_in = h' (.) mask
template <class T>
void forward(ForwardContext<T>& f) {
  ForwardStep<T>& s = f.step;
  s.h_in = s.h_prev;
  s.h_in_row = s.h_prev_row;
  const T* const mask = f.interventions.recurrent_mask;
  if (!mask) return;
  const Index P = f.net.output;
  for (Index row = 0; row < s.rows; ++row) {
    f.k.multiply(P, s.h_prev + row * s.h_prev_row, mask + row * P, f.arrays.h_in + row * P);
  }
  s.h_in = f.arrays.h_in;
  s.h_in_row = P;
}

// The same again in the backward pass, where h_in is an operand of the chunk's weight gradients.
template <class T>
void recompute(BackwardContext<T>& b) {
  BackwardStep<T>& s = b.step;
  const Index P = b.net.output;
  const T* const mask = b.interventions.recurrent_mask;
  copy_rows<T>(s.rows, P, {s.h_prev, s.h_prev_row}, b.chunk.h_in);
  if (mask) b.k.multiply(s.rows * P, b.chunk.h_in, mask, b.chunk.h_in);
  s.h_in = b.chunk.h_in;
  s.h_in_row = P;
  s.recurrent_mask = mask;
}

// dL/dh' = dL/dh_in (.) mask
template <class T>
void backward(const StateErrorContext<T>& x) {
  const T* const mask = x.interventions.recurrent_mask;
  if (mask) x.k.multiply(x.size(), x.dh, mask, x.dh);
}

}  // namespace bptt::recurrent_dropout

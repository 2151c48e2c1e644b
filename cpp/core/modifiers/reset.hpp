// Reset: h' and c' are zero where a row is reset before the step. Truncation cuts a row's errors in the same way.
#pragma once

#include "core/modifiers/context.hpp"

namespace bptt::reset {

// Rows of the state as the step finds it: without resets, `state` itself.
template <class T>
const T* zero_where(const std::uint8_t* reset, Index rows, Index columns, RowSpan<const T> state, T* scratch) {
  const std::size_t bytes = static_cast<std::size_t>(columns) * sizeof(T);
  for (Index r = 0; r < rows; ++r) {
    if (reset[r]) {
      std::memset(scratch + r * columns, 0, bytes);
    } else {
      std::memcpy(scratch + r * columns, state.data + r * state.row, bytes);
    }
  }
  return scratch;
}

// h', c' <- 0. The backward pass calls it, too, to find what the step started from.
template <class Context>
void forward(Context& x) {
  const std::uint8_t* const reset = x.interventions.reset;
  if (!reset) return;
  auto& s = x.step;
  s.h_prev = zero_where(reset, s.rows, x.net.output, {s.h_prev, s.h_prev_row}, x.arrays.h_prev);
  s.h_prev_row = x.net.output;
  if (!s.c_prev) return;
  s.c_prev = zero_where(reset, s.rows, x.net.hidden, {s.c_prev, s.c_prev_row}, x.arrays.c_prev);
  s.c_prev_row = x.net.hidden;
}

// dL/dh', dL/dc' <- 0.
template <class T>
void backward(const StateErrorContext<T>& x) {
  const std::uint8_t *const reset = x.interventions.reset, *const cut = x.interventions.cut;
  if (!reset && !cut) return;
  for (Index row = 0; row < x.rows; ++row) {
    if (!(reset && reset[row]) && !(cut && cut[row])) continue;
    std::memset(x.dh + row * x.net.output, 0, static_cast<std::size_t>(x.net.output) * sizeof(T));
    if (x.carry) std::memset(x.carry + row * x.net.hidden, 0, static_cast<std::size_t>(x.net.hidden) * sizeof(T));
  }
}

}  // namespace bptt::reset

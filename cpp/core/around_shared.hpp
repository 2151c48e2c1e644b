// What the two passes of around.hpp share.
#pragma once

#include <cstring>

#include "core/around.hpp"

namespace bptt {

// Rows of the state as the step finds it: where there are no resets, `state` itself.
template <class T>
const T* after_reset(const std::uint8_t* reset, Index rows, Index columns, const T* state, Index& row, T* scratch) {
  if (!reset) return state;
  const std::size_t bytes = static_cast<std::size_t>(columns) * sizeof(T);
  for (Index r = 0; r < rows; ++r) {
    if (reset[r]) {
      std::memset(scratch + r * columns, 0, bytes);
    } else {
      std::memcpy(scratch + r * columns, state + r * row, bytes);
    }
  }
  row = columns;
  return scratch;
}

template <class T>
Normalise<T> normalisation(Index rows, Index columns, const T* x, Index x_row, T* hat, Index hat_row, T* scale,
                           Index scale_row, const T* gain) {
  Normalise<T> n{};
  n.rows = rows;
  n.columns = columns;
  n.x = x;
  n.x_row = x_row;
  n.hat = hat;
  n.hat_row = hat_row;
  n.scale = scale;
  n.scale_row = scale_row;
  n.gain = gain;
  return n;
}

// What the packed weights `b` make of the rows `a`, beside init or null for zero.
template <class T>
void multiply_rows(const Kernels<T>& k, Index rows, PanelShape shape, const T* a, Index a_row, const T* b,
                   const T* init, T* out, Index out_row) {
  Product<T> p{};
  p.rows = rows;
  p.shape = shape;
  p.a = a;
  p.a_row = a_row;
  p.b = b;
  p.init = init;
  p.init_row = out_row;
  p.out = out;
  p.out_row = out_row;
  p.panel_end = k.panel_count(shape);
  k.product(p);
}

}  // namespace bptt

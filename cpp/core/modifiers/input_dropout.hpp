// Variational dropout of inputs (Gal and Ghahramani 2016): a layer reads x (.) mask. One mask serves all steps and both
// directions. It changes no step, but the array that the steps of a layer read, once for all steps.
#pragma once

#include <algorithm>

#include "core/recurrent.hpp"

namespace bptt::input_dropout {

// The mask of one layer, (B, width). `row` is the distance between two rows, in elements.
template <class T>
struct Mask {
  const T* data;  // or null
  Index row;
  Index width;
};

template <class T>
Mask<T> mask_of(const Recurrent& net, const Interventions<T>& by, Index layer) {
  if (!by.input_mask) return {};
  const Index column = layer == 0 ? 0 : net.input + (layer - 1) * net.y_width();
  return {by.input_mask + column, net.input_columns(), net.input_of(layer)};
}

// out = x (.) mask for rows `part` of an array over time, whose rows lie step by step. Both pointers are at the first
// of these rows, and may be equal. It is its own backward pass: dx = dout (.) mask.
template <class T>
void apply(const Kernels<T>& k, const Rows& rows, const Mask<T>& mask, Range part, const T* x, T* out) {
  for (Index t = 0; t < rows.time(); ++t) {
    const Index end = std::min(part.end, rows.base(t + 1));
    for (Index at = std::max(part.begin, rows.base(t)); at < end; ++at) {
      const Index to = (at - part.begin) * mask.width;
      k.multiply(mask.width, x + to, mask.data + (at - rows.base(t)) * mask.row, out + to);
    }
  }
}

}  // namespace bptt::input_dropout

// Merge of directions: y is the sum, the mean or the product of both directions' h, unit by unit. Rows lie without
// gaps: h (rows, 2 * P), forward then reverse direction, and y (rows, P).
#pragma once

#include "core/recurrent.hpp"

namespace bptt::merge {

template <class T>
void forward(const Recurrent& net, Index rows, const T* h, T* y) {
  const Index P = net.output;
  for (Index row = 0; row < rows; ++row, h += 2 * P, y += P) {
    switch (net.options.merge) {
      case Merge::mul:
        for (Index i = 0; i < P; ++i) y[i] = h[i] * h[P + i];
        break;
      case Merge::mean:
        for (Index i = 0; i < P; ++i) y[i] = (h[i] + h[P + i]) * T(0.5);
        break;
      default:
        for (Index i = 0; i < P; ++i) y[i] = h[i] + h[P + i];
    }
  }
}

// dL/dh (rows, 2 * P) from dL/dy.
template <class T>
void backward(const Recurrent& net, Index rows, const T* dy, const T* h, T* dh) {
  const Index P = net.output;
  for (Index row = 0; row < rows; ++row, dy += P, h += 2 * P, dh += 2 * P) {
    if (net.options.merge == Merge::mul) {
      for (Index i = 0; i < P; ++i) dh[i] = dy[i] * h[P + i];
      for (Index i = 0; i < P; ++i) dh[P + i] = dy[i] * h[i];
    } else {
      const T factor = net.options.merge == Merge::mean ? T(0.5) : T(1);
      for (Index i = 0; i < P; ++i) dh[i] = dh[P + i] = dy[i] * factor;
    }
  }
}

}  // namespace bptt::merge

// Activations as layers: of every element, and of a row.
#pragma once

#include "kernels/losses.hpp"

namespace bptt::BPTT_ISA {

template <class T>
BPTT_INLINE Vec<T> relu(Vec<T> x) {
  return select<T>(x < 0, Vec<T>{}, x);
}

// Slopes where the result is y. A NaN in y shows.
template <class T>
BPTT_INLINE Vec<T> tanh_slope(Vec<T> y) {
  return 1 - y * y;
}
template <class T>
BPTT_INLINE Vec<T> relu_slope(Vec<T> y) {
  return select<T>(y > 0, broadcast(T{1}), y * 0);
}
template <class T>
BPTT_INLINE Vec<T> sigmoid_slope(Vec<T> y) {
  return y * (1 - y);
}

// dx = dy slope(kept)
template <class T, Vec<T> (*Slope)(Vec<T>)>
void apply_back(Index n, const T* dy, const T* kept, T* dx) {
  for_each_vector<T>(n, [&](Index i, auto lanes) {
    store_first<T>(dx + i, load_first<T>(dy + i, lanes) * Slope(load_first<T>(kept + i, lanes)), lanes);
  });
}

template <class T>
void softmax(Index rows, Index columns, const T* x, T* y) {
  for (Index row = 0; row < rows; ++row, x += columns, y += columns) {
    const double sum = exponentials(columns, x, highest_of(columns, x), y);
    scale(columns, static_cast<T>(1 / sum), y);
  }
}

// dx = y (dy - sum(dy y))
template <class T>
void softmax_back(Index rows, Index columns, const T* dy, const T* y, T* dx) {
  for (Index row = 0; row < rows; ++row, dy += columns, y += columns, dx += columns) {
    Vec<T> products{};
    for_each_vector<T>(columns, [&](Index i, auto lanes) {
      products = fma(load_first<T>(dy + i, lanes), load_first<T>(y + i, lanes), products);
    });
    const T sum = sum_of_lanes<T>(products);
    for_each_vector<T>(columns, [&](Index i, auto lanes) {
      store_first<T>(dx + i, load_first<T>(y + i, lanes) * (load_first<T>(dy + i, lanes) - sum), lanes);
    });
  }
}

}  // namespace bptt::BPTT_ISA

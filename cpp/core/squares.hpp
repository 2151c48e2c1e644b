// Sums of squares that do not leave the range of float64, and their norms.
#pragma once

#include <cmath>
#include <limits>

#include "kernels/table.hpp"

namespace bptt {

// Adds in the larger of both units. The part in the smaller unit may vanish there: no digit of the sum shows it.
inline void add_squares(Squares& total, const Squares& part) {
  if (part.sum == 0) return;
  if (total.sum == 0 || total.unit == part.unit) {
    total = {total.sum + part.sum, part.unit};
    return;
  }
  const bool larger = part.unit > total.unit;
  const Squares& high = larger ? part : total;
  const Squares& low = larger ? total : part;
  const double ratio = low.unit / high.unit;
  total = {high.sum + low.sum * ratio * ratio, high.unit};
}

// A finite error may have a norm just above the largest float64. The norm says that the error is finite.
inline double norm_of(const Squares& squares) {
  const double norm = std::sqrt(squares.sum) * squares.unit;
  return std::isinf(norm) && std::isfinite(squares.sum) ? std::numeric_limits<double>::max() : norm;
}

// The squares of n elements. Those of float never leave float64; only out-of-range ones of double take a second pass.
template <class T>
Squares squares_of(const Kernels<T>& k, Index n, const T* x) {
  const double plain = k.sum_of_squares(n, x);
  const bool large = plain > 0x1p900, small = plain < 0x1p-900;
  if (sizeof(T) < sizeof(double) || !(large || small)) return {plain, 1};
  const double unit = large ? 0x1p600 : 0x1p-600;
  Squares scaled{0, unit};
  for (Index i = 0; i < n; ++i) {
    const double element = static_cast<double>(x[i]) / unit;
    scaled.sum += element * element;
  }
  return scaled;
}

}  // namespace bptt

// Sums of squares of errors, also where squares of float64 overflow or underflow. A part of a sum is either a sum of
// squares, or minus a norm whose square leaves float64.
#pragma once

#include <cmath>
#include <limits>

#include "kernels/table.hpp"

namespace bptt {

// Finite errors may have a norm just above the largest float64. This one says that they are finite.
inline double finite_if(bool finite, double norm) {
  return finite && std::isinf(norm) ? std::numeric_limits<double>::max() : norm;
}

class ErrorNorm {
 public:
  void add(double part) {
    if (part < 0) {
      beyond_ = both(beyond_, -part);
    } else {
      sum_ += part;
    }
  }

  double value() const {
    const double norm = std::sqrt(sum_);
    return beyond_ == 0 || std::isnan(norm) ? norm : both(norm, beyond_);
  }

 private:
  static double both(double a, double b) { return finite_if(std::isfinite(a) && std::isfinite(b), std::hypot(a, b)); }

  double sum_ = 0;
  double beyond_ = 0;
};

// A part: of n elements.
template <class T>
double squares_of(const Kernels<T>& k, Index n, const T* x) {
  const double sum = k.sum_of_squares(n, x);
  const bool large = sum > 0x1p900, small = sum < 0x1p-900;
  if (sizeof(T) < sizeof(double) || !(large || small)) return sum;
  const double unit = large ? 0x1p600 : 0x1p-600;
  double scaled = 0;
  for (Index i = 0; i < n; ++i) {
    const double element = static_cast<double>(x[i]) / unit;
    scaled += element * element;
  }
  return -finite_if(std::isfinite(scaled), std::sqrt(scaled) * unit);
}

}  // namespace bptt

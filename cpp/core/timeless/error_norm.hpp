// Sums of squares of errors, also where squares of float64 overflow or underflow. A part of a sum is either a sum of
// squares, or minus a norm whose square leaves float64.
#pragma once

#include <cmath>

#include "kernels/square_range.hpp"
#include "kernels/table.hpp"

namespace bptt {

class ErrorNorm {
 public:
  void add(double part) {
    if (part < 0) {
      beyond_ = both(beyond_, -part);
    } else {
      sum_ += part;
    }
  }

  void add_norm(double norm) {
    const double square = norm * norm;
    add(factor_before_squaring(square) == 1 ? square : -norm);
  }

  double value() const {
    const double norm = std::sqrt(sum_);
    return beyond_ == 0 || std::isnan(norm) ? norm : both(norm, beyond_);
  }

 private:
  static double both(double a, double b) { return capped_norm(std::isfinite(a) && std::isfinite(b), std::hypot(a, b)); }

  double sum_ = 0;
  double beyond_ = 0;
};

// A part: of n elements.
template <class T>
double squares_of(const Kernels<T>& k, Index n, const T* x) {
  const double sum = k.sum_of_squares(n, x);
  const double factor = factor_before_squaring(sum);
  if (sizeof(T) < sizeof(double) || factor == 1) return sum;
  double scaled = 0;
  for (Index i = 0; i < n; ++i) {
    const double element = static_cast<double>(x[i]) * factor;
    scaled += element * element;
  }
  return -capped_norm(std::isfinite(scaled), std::sqrt(scaled) / factor);
}

}  // namespace bptt

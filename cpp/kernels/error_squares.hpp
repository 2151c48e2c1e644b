// The sum of squares of an error, also where squares of float64 overflow or underflow.
#pragma once

#include "kernels/math.hpp"
#include "kernels/table.hpp"

namespace bptt::BPTT_ISA {

// Squares of float never leave float64. For double, two further sums hold the squares of a scaled-down and of a
// scaled-up copy; `total` chooses the sum whose squares are in range.
template <class T>
class ErrorSquares {
 public:
  BPTT_INLINE void add(Vec<T> x) {
    plain_.add(x);
    if constexpr (kWide) {
      large_.add(x * 0x1p-600);
      small_.add(x * 0x1p600);
    }
  }

  BPTT_INLINE Squares total() const {
    const double plain = plain_.total();
    if constexpr (kWide) {
      if (plain > 0x1p900) return {large_.total(), 0x1p600};
      if (plain < 0x1p-900) return {small_.total(), 0x1p-600};
    }
    return {plain, 1};
  }

 private:
  static constexpr bool kWide = sizeof(T) == sizeof(double);
  SquareSum plain_, large_, small_;
};

}  // namespace bptt::BPTT_ISA

// The sum of squares of an error, also where squares of float64 overflow or underflow.
#pragma once

#include "kernels/math.hpp"
#include "kernels/tile.hpp"

namespace bptt::BPTT_ISA {

// Of one row and panel. Squares of float never leave float64. The squares of double may: then `total` takes a second
// pass over the vectors, which it keeps for this.
template <class T>
class ErrorSquares {
 public:
  BPTT_INLINE void add(Vec<T> x) {
    sum_.add(x);
    if constexpr (kLeaves) kept_[count_++] = x;
  }

  // The sum; or minus the norm, if the squares leave float64.
  BPTT_INLINE double total() const {
    const double sum = sum_.total();
    if constexpr (kLeaves) {
      if (sum > 0x1p900) return -scaled_norm(kept_, count_, 0x1p-600);
      if (sum < 0x1p-900) return -scaled_norm(kept_, count_, 0x1p600);
    }
    return sum;
  }

 private:
  static constexpr bool kLeaves = sizeof(T) == sizeof(double);

  __attribute__((noinline)) static double scaled_norm(const Vec<T>* kept, int count, T factor) {
    SquareSum squares;
    for (int v = 0; v < count; ++v) squares.add(kept[v] * factor);
    const double total = squares.total();
    const double norm = __builtin_sqrt(total) / factor;
    return norm > __DBL_MAX__ && total <= __DBL_MAX__ ? __DBL_MAX__ : norm;  // finite errors have a finite norm
  }

  SquareSum sum_;
  Vec<T> kept_[kLeaves ? kMaxVectors : 1];
  int count_ = 0;
};

}  // namespace bptt::BPTT_ISA

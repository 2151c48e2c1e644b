// The sum of squares of an error, also where squares of float64 overflow or underflow.
#pragma once

#include "kernels/math.hpp"
#include "kernels/square_range.hpp"
#include "kernels/tile.hpp"

namespace bptt::BPTT_ISA {

// The sum over one row and panel. Squares of float never leave float64. The squares of double may: then `total` takes a
// second pass over the vectors, which are kept in `kept`. This array lies outside, so that the sum stays in registers.
template <class T>
class ErrorSquares {
 public:
  explicit BPTT_INLINE ErrorSquares(Vec<T>* kept) : kept_(kept), end_(kept) {}

  BPTT_INLINE void add(Vec<T> x) {
    sum_.add(x);
    if constexpr (kLeaves) *end_++ = x;
  }

  // The sum; or minus the norm, if the squares leave float64.
  BPTT_INLINE double total() const {
    const double sum = sum_.total();
    if constexpr (kLeaves) {
      const T factor = factor_before_squaring(sum);
      if (factor != 1) return -scaled_norm(kept_, end_, factor);
    }
    return sum;
  }

 private:
  static constexpr bool kLeaves = sizeof(T) == sizeof(double);

  // The pointers are not to const: GCC takes a pointer to const for a read of the whole array, and warns of it.
  __attribute__((noinline)) static double scaled_norm(Vec<T>* kept, Vec<T>* end, T factor) {
    SquareSum squares;
    for (; kept != end; ++kept) squares.add(*kept * factor);
    const double total = squares.total();
    return capped_norm(total <= __DBL_MAX__, __builtin_sqrt(total) / factor);
  }

  SquareSum sum_;
  Vec<T>* kept_;
  Vec<T>* end_;
};

// The sums of squares of dL/dh_t and dL/dc_t.
template <class T>
struct StepSquares {
  ErrorSquares<T>& dh;
  ErrorSquares<T>& dc;
};

}  // namespace bptt::BPTT_ISA

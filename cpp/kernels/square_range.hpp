// The range of float64 sums of squares: shared by the core and the kernels. Everything is inlined, because the kernels
// compile this header once for each instruction set.
#pragma once

namespace bptt {

// Multiply the numbers by this power of two before squaring them, if `sum` is the sum of their squares as they are.
// Anything but 1 says that squares overflow or underflow.
__attribute__((always_inline)) constexpr double factor_before_squaring(double sum) {
  if (sum > 0x1p900) return 0x1p-600;
  return sum < 0x1p-900 ? 0x1p600 : 1.0;
}

// The norm of finite numbers may lie above the largest float64. It then counts as the largest float64.
__attribute__((always_inline)) constexpr double capped_norm(bool finite, double norm) {
  return finite && norm > __DBL_MAX__ ? __DBL_MAX__ : norm;
}

}  // namespace bptt

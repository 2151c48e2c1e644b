#include "core/timeless/vectors.hpp"

#include <cmath>

#include "runtime/isa.hpp"

namespace bptt {

template <class T>
double norm_of(Index n, const T* x) {
  const double squares = kernels<T>().sum_of_squares(n, x);
  if (sizeof(T) == sizeof(float) || (squares > 1e-280 && squares < 1e300)) return std::sqrt(squares);
  // Divide by the largest magnitude first.
  double largest = 0;
  for (Index i = 0; i < n; ++i) {
    const double magnitude = std::abs(static_cast<double>(x[i]));
    if (!(magnitude <= largest)) largest = magnitude;  // a NaN stays
    if (std::isnan(largest)) return largest;
  }
  if (largest == 0 || std::isinf(largest)) return largest;
  double sum = 0;
  for (Index i = 0; i < n; ++i) sum += (static_cast<double>(x[i]) / largest) * (static_cast<double>(x[i]) / largest);
  return largest * std::sqrt(sum);
}

template <class T>
void scale_by(Index n, double factor, T* x) {
  if (static_cast<double>(static_cast<T>(factor)) == 0 || std::abs(factor) < 1e-30) {
    // A factor that float32 cannot hold well may still meet values large enough for the product to be ordinary.
    for (Index i = 0; i < n; ++i) x[i] = static_cast<T>(static_cast<double>(x[i]) * factor);
  } else {
    kernels<T>().scale(n, static_cast<T>(factor), x);
  }
}

template <class T>
Index first_nonfinite(Index n, const T* x) {
  for (Index i = 0; i < n; ++i) {
    if (!std::isfinite(x[i])) return i;
  }
  return -1;
}

AdamRule adam_at(AdamRule rule, Index step) {
  rule.correction1 = 1 - std::pow(rule.beta1, static_cast<double>(step));
  rule.correction2 = 1 - std::pow(rule.beta2, static_cast<double>(step));
  return rule;
}

#define BPTT_INSTANTIATE(T)                  \
  template double norm_of(Index, const T*);  \
  template void scale_by(Index, double, T*); \
  template Index first_nonfinite(Index, const T*);
BPTT_INSTANTIATE(float)
BPTT_INSTANTIATE(double)
#undef BPTT_INSTANTIATE

}  // namespace bptt

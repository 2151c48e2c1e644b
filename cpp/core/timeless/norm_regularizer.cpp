#include "core/timeless/norm_regularizer.hpp"

#include <cmath>

#include "kernels/square_range.hpp"

namespace bptt {
namespace {

// For a row whose squares sum up to `square`: multiply the row by this power of two first. Without this factor, 1 /
// norm of a long row is a subnormal number of T, which the kernels' floating-point mode flushes to zero.
template <class T>
T factor_before_dividing(double square) {
  if (sizeof(T) < sizeof(double)) return square > 0x1p200 ? T{0x1p-64} : T{1};
  return square > 1 ? static_cast<T>(factor_before_squaring(square)) : T{1};
}

// In float64: squares of float32 numbers neither overflow nor vanish. Several chains of sums run side by side.
template <class T>
double squared_norm(Index size, const T* v) {
  constexpr Index kChains = 8;
  double sums[kChains] = {};
  Index i = 0;
  for (; i + kChains <= size; i += kChains) {
    for (Index j = 0; j < kChains; ++j) {
      const double value = static_cast<double>(v[i + j]);
      sums[j] += value * value;
    }
  }
  for (; i < size; ++i) sums[0] += static_cast<double>(v[i]) * static_cast<double>(v[i]);
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

}  // namespace

template <class T>
Index unit_errors(Index rows, Index size, double least, const T* errors, const T* slopes, T* scaled) {
  Index count = 0;
  for (Index row = 0; row < rows; ++row, errors += size, slopes += size) {
    double square = squared_norm(size, errors);
    if (!(square >= least)) continue;  // nor does NaN count
    T* out = scaled + count++ * size;
    const T* from = errors;
    if (const T shrink = factor_before_dividing<T>(square); shrink != 1) {
      for (Index i = 0; i < size; ++i) out[i] = errors[i] * shrink;
      square = squared_norm(size, out);
      from = out;
    }
    const T factor = static_cast<T>(1 / std::sqrt(square));
    for (Index i = 0; i < size; ++i) out[i] = from[i] * factor * slopes[i];
  }
  return count;
}

template <class T>
double weigh_by_excess(Index rows, Index size, const T* back, T* scaled) {
  double total = 0;
  for (Index row = 0; row < rows; ++row, back += size, scaled += size) {
    const double excess = squared_norm(size, back) - 1;
    const T factor = static_cast<T>(4 * excess);
    for (Index i = 0; i < size; ++i) scaled[i] *= factor;
    total += excess * excess;
  }
  return total;
}

#define BPTT_INSTANTIATE(T)                                                 \
  template Index unit_errors(Index, Index, double, const T*, const T*, T*); \
  template double weigh_by_excess(Index, Index, const T*, T*);
BPTT_INSTANTIATE(float)
BPTT_INSTANTIATE(double)
#undef BPTT_INSTANTIATE

}  // namespace bptt

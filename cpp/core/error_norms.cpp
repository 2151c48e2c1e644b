#include "core/error_norms.hpp"

#include <cmath>

namespace bptt {
namespace {

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
    const double square = squared_norm(size, errors);
    if (!(square >= least)) continue;  // nor does NaN count
    const T factor = static_cast<T>(1 / std::sqrt(square));
    T* out = scaled + count++ * size;
    for (Index i = 0; i < size; ++i) out[i] = errors[i] * factor * slopes[i];
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

#define BPTT_INSTANTIATE(T)                                                   \
  template Index unit_errors(Index, Index, double, const T*, const T*, T*);   \
  template double weigh_by_excess(Index, Index, const T*, T*);
BPTT_INSTANTIATE(float)
BPTT_INSTANTIATE(double)
#undef BPTT_INSTANTIATE

}  // namespace bptt

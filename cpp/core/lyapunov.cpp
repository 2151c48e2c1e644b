#include "core/lyapunov.hpp"

#include <cmath>
#include <utility>
#include <vector>

namespace bptt {
namespace {

double dot(Index size, const double* a, const double* b) {
  double sum = 0;
  for (Index i = 0; i < size; ++i) sum += a[i] * b[i];
  return sum;
}

// Takes out of v what lies along the first `count` of the vectors: twice, because once leaves rounding in it.
void make_orthogonal(Index size, Index count, const std::vector<double>& vectors, double* v) {
  for (int pass = 0; pass < 2; ++pass) {
    for (Index j = 0; j < count; ++j) {
      const double* u = vectors.data() + j * size;
      const double along = dot(size, u, v);
      for (Index i = 0; i < size; ++i) v[i] -= along * u[i];
    }
  }
}

}  // namespace

void push_frame(Index time, Index size, Index count, const double* jacobians, double* frame, double* log_growth) {
  // Directions as rows: both the products and the sums then read along memory.
  std::vector<double> now(static_cast<std::size_t>(size * count)), next(now.size());
  for (Index j = 0; j < count; ++j) {
    for (Index i = 0; i < size; ++i) now[static_cast<std::size_t>(j * size + i)] = frame[i * count + j];
  }
  for (Index t = 0; t < time; ++t) {
    const double* jacobian = jacobians + t * size * size;
    for (Index j = 0; j < count; ++j) {
      double* v = next.data() + j * size;
      const double* before = now.data() + j * size;
      for (Index i = 0; i < size; ++i) v[i] = dot(size, jacobian + i * size, before);
      make_orthogonal(size, j, next, v);
      const double length = std::sqrt(dot(size, v, v));
      log_growth[t * count + j] = std::log(length);
      // What has vanished points nowhere, and stays so.
      for (Index i = 0; i < size; ++i) v[i] = length > 0 ? v[i] / length : 0.0;
    }
    std::swap(now, next);
  }
  for (Index j = 0; j < count; ++j) {
    for (Index i = 0; i < size; ++i) frame[i * count + j] = now[static_cast<std::size_t>(j * size + i)];
  }
}

}  // namespace bptt

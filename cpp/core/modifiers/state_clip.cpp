#include "core/modifiers/state_clip.hpp"

#include <cmath>

namespace bptt {
namespace {

// Brings finite entries whose squares overflow float64 where they do not, with their direction.
template <class T>
bool bring_into_range(const Kernels<T>& k, Index columns, T* x) {
  for (Index i = 0; i < columns; ++i) {
    if (!std::isfinite(x[i])) return false;
  }
  k.scale(columns, static_cast<T>(0x1p-600), x);  // float's squares never overflow float64
  return true;
}

template <class T>
void limit_row(const Kernels<T>& k, Index columns, double norm, T* x) {
  double squares = k.sum_of_squares(columns, x);
  if (squares <= norm * norm) return;
  if (std::isinf(squares) && bring_into_range(k, columns, x)) squares = k.sum_of_squares(columns, x);
  k.scale(columns, static_cast<T>(norm / std::sqrt(squares)), x);
}

}  // namespace

template <class T>
void StateClip::apply(const Kernels<T>& k, Index rows, Index columns, T* x) const {
  if (value < std::numeric_limits<double>::infinity()) k.clip(rows * columns, static_cast<T>(value), x);
  if (norm < std::numeric_limits<double>::infinity()) {
    for (Index row = 0; row < rows; ++row) limit_row(k, columns, norm, x + row * columns);
  }
}

template void StateClip::apply(const Kernels<float>&, Index, Index, float*) const;
template void StateClip::apply(const Kernels<double>&, Index, Index, double*) const;

}  // namespace bptt

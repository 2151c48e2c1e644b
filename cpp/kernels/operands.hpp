// How the operands of a product are stored. An element holds a group of consecutive k; `sum` goes over the groups in
// ascending order. Both operands of a product have the same form.
#pragma once

#include "kernels/vec.hpp"

namespace bptt::BPTT_ISA {

// As they are.
template <class T>
struct PlainOperands {
  static constexpr int group = 1;

  static BPTT_INLINE Vec<T> spread(T x) { return broadcast<T>(x); }
  static BPTT_INLINE Vec<T> multiply_add(Vec<T> x, Vec<T> w, Vec<T> sum) { return fma(x, w, sum); }
  // From vectors whose lanes are columns: one vector for each k of a group.
  static BPTT_INLINE Vec<T> join(const Vec<T> (&rows)[group]) { return rows[0]; }
  // From one column, where consecutive k lie side by side: n numbers, at most a vector of groups.
  static BPTT_INLINE Vec<T> along(const T* p, int n) { return load_first<T>(p, n); }
};

}  // namespace bptt::BPTT_ISA

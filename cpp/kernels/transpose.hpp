// A square of vectors turned about its diagonal, in registers.
#pragma once

#include "kernels/vec.hpp"

namespace bptt::BPTT_ISA {

template <int... I>
struct Indices {};
template <int N, int... I>
struct CountTo : CountTo<N - 1, N - 1, I...> {};
template <int... I>
struct CountTo<0, I...> {
  using type = Indices<I...>;
};

// One stage: blocks of D lanes change places between rows D apart. Lane l of the first result is a[l] where bit D of
// l is clear, else b[l - D]; of the second, a[l + D] and b[l].
template <class T, int D, int... L>
BPTT_INLINE void exchange(Vec<T>& a, Vec<T>& b, Indices<L...>) {
  constexpr int n = kLanes<T>;
  const Vec<T> first = __builtin_shufflevector(a, b, ((L & D) ? n + L - D : L)...);
  const Vec<T> second = __builtin_shufflevector(a, b, ((L & D) ? n + L : L + D)...);
  a = first;
  b = second;
}

template <class T, int D = kLanes<T> / 2>
BPTT_INLINE void transpose(Vec<T> (&rows)[kLanes<T>]) {
  if constexpr (D > 0) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes<T>; ++i) {
      if (!(i & D)) exchange<T, D>(rows[i], rows[i + D], typename CountTo<kLanes<T>>::type{});
    }
    transpose<T, D / 2>(rows);
  }
}

}  // namespace bptt::BPTT_ISA

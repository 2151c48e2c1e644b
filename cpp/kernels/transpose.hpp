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

// The lanes of a and b at the given indices; those of b count on from the last lane of a.
template <class T, int... I>
BPTT_INLINE Vec<T> pick_lanes(Vec<T> a, Vec<T> b) {
#if defined(__clang__) || __GNUC__ >= 12
  return __builtin_shufflevector(a, b, I...);
#else
  return __builtin_shuffle(a, b, Bits<T>{I...});  // GCC 11 lacks __builtin_shufflevector, and Clang lacks this form
#endif
}

// One stage: blocks of D lanes change places between two rows whose distance is D. Lane l of the first result is a[l]
// where bit D of l is clear, else b[l - D]; of the second, a[l + D] and b[l].
template <class T, int D, int... L>
BPTT_INLINE void exchange(Vec<T>& a, Vec<T>& b, Indices<L...>) {
  constexpr int n = kLanes<T>;
  const Vec<T> first = pick_lanes<T, ((L & D) ? n + L - D : L)...>(a, b);
  const Vec<T> second = pick_lanes<T, ((L & D) ? n + L : L + D)...>(a, b);
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

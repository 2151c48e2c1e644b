// exp, sigmoid and tanh on vectors.
//
// All three come from one reduction, e^x = 2^n (1 + p) with n = round(x / ln 2) and p = e^r - 1 on
// |r| <= ln(2)/2, where p = r + r^2 q(r) and q is a minimax polynomial for the relative error of p
// (1.3e-8 for float32, 1.8e-17 for float64).
//
//   function   range of the claim           largest error in ULP, float32 and float64
//   exp        all x (0 below, inf above)   1.1
//   sigmoid    |x| <= 87 / 708              2
//   tanh       all x                        2
//
// Above its range, sigmoid gives 1. Below its range, it gives 0 while subnormal numbers are flushed, as they are in
// every kernel: a closed gate must not let 1e38 through. NaN stays NaN. tests/test_activations.py tests these claims on
// every instruction set.
#pragma once

#include "kernels/vec.hpp"

namespace bptt::BPTT_ISA {

template <class T>
struct ExpConstants;

template <>
struct ExpConstants<float> {
  static constexpr float round_magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  static constexpr float log2_e = 1.44269504f;
  static constexpr float ln2_high = 0.693359375f;  // nine bits: n * ln2_high is exact, fused or not
  static constexpr float ln2_low = -2.12194440e-4f;
  static constexpr int mantissa = 23;
  static constexpr std::int32_t one = 0x3F800000;
  static constexpr float lowest = -104.0f;  // e^x is zero below, infinite above
  static constexpr float highest = 89.0f;
  static constexpr float farthest = 88.3f;  // e^x is finite up to here, and 1 / e^x no longer a normal number
  static constexpr float tanh_is_one = 9.1f;
  static constexpr float q[] = {0.50000000619f, 0.166665430399f, 0.0416662821748f, 0.00836657752643f,
                                0.00139464389956f};
};

template <>
struct ExpConstants<double> {
  static constexpr double round_magic = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr double log2_e = 1.4426950408889634;
  static constexpr double ln2_high = 0.693147180369123816490;  // low 21 bits zero: n * ln2_high is exact
  static constexpr double ln2_low = 1.90821492927058770002e-10;
  static constexpr int mantissa = 52;
  static constexpr std::int64_t one = 0x3FF0000000000000;
  static constexpr double lowest = -746.0;
  static constexpr double highest = 710.0;
  static constexpr double farthest = 709.3;
  static constexpr double tanh_is_one = 19.1;
  static constexpr double q[] = {0.5000000000000005544874,    0.1666666666666668596797,
                                 0.04166666666657369411884,   0.008333333333314614883295,
                                 0.001388888893235437864079,  0.0001984126990297397285184,
                                 0.0000248015044771019029947, 0.000002755722800908256994006,
                                 2.762631351399098814712e-7,  2.511445440740019128516e-8};
};

// Two at a time (Estrin): a chain half as long as one by one.
template <class T, int N>
BPTT_INLINE Vec<T> polynomial(Vec<T> x, Vec<T> square, const T (&coefficients)[N]) {
  constexpr int last = (N - 1) / 2 * 2;
  Vec<T> y = broadcast(coefficients[last]);
  if constexpr (last + 1 < N) y = fma(x, broadcast(coefficients[last + 1]), y);
#pragma GCC unroll 16
  for (int i = last - 2; i >= 0; i -= 2) {
    y = fma(y, square, fma(x, broadcast(coefficients[i + 1]), broadcast(coefficients[i])));
  }
  return y;
}

template <class T>
struct Exponential {
  Vec<T> shifted;  // x / ln 2, rounded, in the low bits
  Vec<T> p;  // e^x = 2^n (1 + p)
};

// Reduces e^(kx), k a power of two or minus one: k x is exact, and the first step does not wait for the product.
// k x must lie within [lowest, highest] or be NaN.
template <class T>
BPTT_INLINE Exponential<T> reduce_exp(Vec<T> x, T k = 1) {
  using C = ExpConstants<T>;
  const Vec<T> shifted = fma(x, broadcast(k * C::log2_e), broadcast(C::round_magic));
  const Vec<T> n = shifted - C::round_magic;
  const Vec<T> high = fma(n, broadcast(-C::ln2_high), k == 1 ? x : k == -1 ? -x : k * x);
  const Vec<T> r = fma(n, broadcast(-C::ln2_low), high);
  const Vec<T> square = r * r;
  const Vec<T> q = polynomial<T>(r, square, C::q);
  if constexpr (kFused) return {shifted, fma(square, q, r)};
  // Without a fused multiply-add, roundings lose a part of r: add it again.
  return {shifted, r + (square * q + ((high - r) - n * C::ln2_low))};
}

// 2^n for n in the normal range. The bits above n fall off the left end.
template <class T>
BPTT_INLINE Vec<T> power_of_two(Bits<T> n) {
  using C = ExpConstants<T>;
  return reinterpret_cast<Vec<T>>((n << C::mantissa) + C::one);
}
template <class T>
BPTT_INLINE Vec<T> power_of_two(const Exponential<T>& e) {
  return power_of_two<T>(reinterpret_cast<Bits<T>>(e.shifted));
}

// 2^n (1 + p) for n in the normal range. One rounding if there is a fused multiply-add; if not, p times the power could
// be subnormal and lost.
template <class T>
BPTT_INLINE Vec<T> assemble(const Exponential<T>& e) {
  const Vec<T> power = power_of_two<T>(e);
  if constexpr (kFused) return fma(power, e.p, power);
  return (1 + e.p) * power;
}

template <class T>
BPTT_INLINE Vec<T> exp(Vec<T> x) {
  using C = ExpConstants<T>;
  x = select<T>(x < C::lowest, broadcast(C::lowest), x);
  x = select<T>(x > C::highest, broadcast(C::highest), x);
  const Exponential<T> e = reduce_exp<T>(x);
  // Two factors, so that neither overflows where the result is subnormal or near the top.
  const Bits<T> magic = reinterpret_cast<Bits<T>>(broadcast(C::round_magic));
  const Bits<T> n = reinterpret_cast<Bits<T>>(e.shifted) - magic;
  const Bits<T> half = n >> 1;
  return (1 + e.p) * power_of_two<T>(half) * power_of_two<T>(n - half);
}

template <class T>
BPTT_INLINE Vec<T> sigmoid(Vec<T> x) {
  using C = ExpConstants<T>;
  const Vec<T> bounded = at_least(at_most(x, C::farthest), -C::farthest);
  const Vec<T> e = assemble<T>(reduce_exp<T>(bounded, -1));
  // 1 / (1 + e), and a step of Newton's method in which the sum is not rounded.
  const Vec<T> q = rough_reciprocal(1 + e);
  return fma(q, fma(-q, e, 1 - q), q);
}

// (e^2a - 1) / (e^2a + 1) for a = |x|. With e^2a = 2^n (1 + p), e^2a - 1 = 2^n p + (2^n - 1) keeps its relative
// accuracy down to 0, and the quotient with it.
template <class T>
BPTT_INLINE Vec<T> tanh(Vec<T> x) {
  using C = ExpConstants<T>;
  const Vec<T> a = at_most(absolute<T>(x), C::tanh_is_one);
  const Exponential<T> e = reduce_exp<T>(a, 2);
  const Vec<T> power = power_of_two<T>(e);
  const Vec<T> m = fma(power, e.p, power - 1);
  const Vec<T> sum = 2 + m;
  if constexpr (kFused) {
    const Vec<T> q = rough_reciprocal(sum);
    const Vec<T> quotient = m * q;
    const Vec<T> rest = fma(-quotient, m, fma(quotient, broadcast(T{-2}), m));  // m - quotient (2 + m)
    return copy_sign<T>(fma(rest, q, quotient), x);
  } else {
    // The rounding of the sum matters while the quotient is small, and 1 / sum = (1 - quotient) / 2.
    const Vec<T> quotient = m / sum;
    const Vec<T> lost = select<T>(m < 2, m - (sum - 2), Vec<T>{});
    return copy_sign<T>(quotient - quotient * lost * (T{0.5} * (1 - quotient)), x);
  }
}

}  // namespace bptt::BPTT_ISA

// exp, sigmoid, tanh, GELU and SiLU on vectors.
//
// All come from one reduction, e^x = 2^n (1 + p) with n = round(x / ln 2) and p = e^r - 1 on
// |r| <= ln(2)/2, where p = r + r^2 q(r) and q is a minimax polynomial for the relative error of p
// (1.3e-8 for float32, 1.8e-17 for float64).
//
//   function   range of the claim           largest error in ULP, float32 and float64
//   exp        all x (0 below, inf above)   1.1
//   sigmoid    |x| <= 87 / 708              2
//   tanh       all x                        2
//   gelu       all x                        7
//   silu       all x                        4
//
// gelu(x) = x P(X < x) for a standard normal X: the exact form, not the one with tanh. Slopes of gelu and silu have
// the same errors next to the larger one of their two terms, which cancel where the function has its minimum.
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

// e^x = significand * high * low. Two powers of two, so that neither overflows where e^x is subnormal or near the top.
template <class T>
struct WideExponential {
  Vec<T> significand;
  Vec<T> high;
  Vec<T> low;
};

template <class T>
BPTT_INLINE WideExponential<T> wide_exp(Vec<T> x) {
  using C = ExpConstants<T>;
  x = select<T>(x < C::lowest, broadcast(C::lowest), x);
  x = select<T>(x > C::highest, broadcast(C::highest), x);
  const Exponential<T> e = reduce_exp<T>(x);
  const Bits<T> magic = reinterpret_cast<Bits<T>>(broadcast(C::round_magic));
  const Bits<T> n = reinterpret_cast<Bits<T>>(e.shifted) - magic;
  const Bits<T> half = n >> 1;
  return {1 + e.p, power_of_two<T>(half), power_of_two<T>(n - half)};
}

template <class T>
BPTT_INLINE Vec<T> exp(Vec<T> x) {
  const WideExponential<T> e = wide_exp<T>(x);
  return e.significand * e.high * e.low;
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

template <class T>
struct NormalConstants;

// P(X < -a) = e^(-a^2 / 2) m(a) for a standard normal X. (a + shift) m(a) is a polynomial in
// t = (a - shift) / (a + shift), as in Shepherd and Laframboise (1981), with a relative error of 8.6e-9 for float32
// and 3.3e-17 for float64.
template <>
struct NormalConstants<float> {
  static constexpr float farthest = 14.5f;  // gelu(-a) and its slope are subnormal from here on
  static constexpr float shift = 4;
  static constexpr std::int32_t high_bits = ~0xFFF;  // half of the significand, whose square is exact
  static constexpr float m[] = {0.755285135384f,    -0.607896588303f,   0.387136901103f,    -0.186523441249f,
                                0.0604038305580f,   -0.00752527151652f, -0.00351255014733f, 0.00156992456055f,
                                0.000179347270486f, -0.000131976532296f};
};
template <>
struct NormalConstants<double> {
  static constexpr double farthest = 39;
  static constexpr double shift = 4.5;
  static constexpr std::int64_t high_bits = ~std::int64_t{0x7FFFFFF};
  static constexpr double m[] = {
      0.7632305289702031367392,      -0.6402577602526176957548,    0.446452517055677677734,
      -0.253141799950903513316,      0.1113825965702190763133,     -0.0338713261791627127192,
      0.004223613380633868870788,    0.001748830596142134088429,   -0.00091774651032483792889,
      0.000006380932793972415135589, 0.0001120427533537881156105,  -0.0000159320672946773083265,
      -0.00001423600889871924884031, 0.00000318722923506517243995, 0.000002142625640783396250827,
      -4.947514824047396877398e-7,   -3.777036918750678550322e-7,  5.56646276855220319137e-8,
      6.733654193023502697216e-8,    6.223336900686551382743e-10,  -8.28356533119572464607e-9,
      -1.65788197148150221051e-9};
};

template <class T>
struct NormalTail {
  Vec<T> a;  // |x|, bounded
  Vec<T> ratio;  // m(a)
  WideExponential<T> density;  // e^(-a^2 / 2)
};

template <class T>
BPTT_INLINE NormalTail<T> normal_tail(Vec<T> x) {
  using C = NormalConstants<T>;
  const Vec<T> a = at_most(absolute<T>(x), C::farthest);
  // The rounding of a^2 would be a large relative error of its exponential.
  const Vec<T> square = a * a;
  Vec<T> lost;
  if constexpr (kFused) {
    lost = fma(a, a, -square);
  } else {
    const Vec<T> high = reinterpret_cast<Vec<T>>(reinterpret_cast<Bits<T>>(a) & (Bits<T>{} + C::high_bits));
    lost = (high * high - square) + (a - high) * (a + high);
  }
  WideExponential<T> density = wide_exp<T>(T{-0.5} * square);
  density.significand = fma(density.significand, T{-0.5} * lost, density.significand);
  const Vec<T> reciprocal = 1 / (a + C::shift);
  const Vec<T> t = (a - C::shift) * reciprocal;
  return {a, polynomial<T>(t, t * t, C::m) * reciprocal, density};
}

// The powers of two come last, because P(X < -a) may be subnormal where a P(X < -a) is not.
template <class T>
BPTT_INLINE Vec<T> gelu(Vec<T> x) {
  const auto [a, ratio, density] = normal_tail<T>(x);
  const Vec<T> below = a * ratio * density.significand * density.high * density.low;  // a P(X < -a)
  return select<T>(x < 0, -below, x - below);
}

// d gelu / dx = P(X < x) + x e^(-x^2 / 2) / sqrt(2 pi)
template <class T>
BPTT_INLINE Vec<T> gelu_slope(Vec<T> x) {
  const auto [a, ratio, density] = normal_tail<T>(x);
  const Vec<T> term = fma(a, broadcast(static_cast<T>(0.3989422804014326779399)), -ratio);
  const Vec<T> at_a = term * density.significand * density.high * density.low;
  return select<T>(x < 0, -at_a, 1 + at_a);
}

// silu(x) is subnormal below `lowest`, and x above `highest`.
template <class T>
struct SiluConstants;
template <>
struct SiluConstants<float> {
  static constexpr float lowest = -95;
  static constexpr float highest = 60;
  static constexpr int exponent = 16;
  static constexpr float unit = 0x1p-16f;
};
template <>
struct SiluConstants<double> {
  static constexpr double lowest = -720;
  static constexpr double highest = 600;
  static constexpr int exponent = 24;
  static constexpr double unit = 0x1p-24;
};

// e^-x and 1 + e^-x, both times 2^-exponent, which keeps them in range where x / (1 + e^-x) is not subnormal.
template <class T>
struct Logistic {
  Vec<T> x;  // bounded from below
  Vec<T> e;
  Vec<T> sum;
};

template <class T>
BPTT_INLINE Logistic<T> logistic(Vec<T> x) {
  using C = SiluConstants<T>;
  x = at_least(x, C::lowest);
  Exponential<T> e = reduce_exp<T>(at_most(x, C::highest), -1);
  e.shifted = reinterpret_cast<Vec<T>>(reinterpret_cast<Bits<T>>(e.shifted) - C::exponent);
  const Vec<T> scaled = assemble<T>(e);
  return {x, scaled, scaled + C::unit};
}

template <class T>
BPTT_INLINE Vec<T> silu(Vec<T> x) {
  const Logistic<T> s = logistic<T>(x);
  return s.x * SiluConstants<T>::unit / s.sum;
}

// d silu / dx = s (1 + x (1 - s)) for s = sigmoid(x)
template <class T>
BPTT_INLINE Vec<T> silu_slope(Vec<T> x) {
  const Logistic<T> s = logistic<T>(x);
  const Vec<T> bounded = at_most(s.x, SiluConstants<T>::highest);  // an infinite x would meet a zero
  return fma(bounded, s.e / s.sum, broadcast(T{1})) * SiluConstants<T>::unit / s.sum;
}

}  // namespace bptt::BPTT_ISA

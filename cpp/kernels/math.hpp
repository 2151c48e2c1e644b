// exp, sigmoid and tanh on vectors.
//
// All three come from one reduction, e^x = 2^n (1 + p) with n = round(x / ln 2) and p = e^r - 1 on
// |r| <= ln(2)/2, where p = r + r^2 q(r) and q is a minimax polynomial for the relative error of p
// (1.3e-8 for float32, 1.8e-17 for float64). tanh takes an odd polynomial (4e-9, 1e-17) below 0.625.
//
//   function   range of the claim           largest error in ULP, float32 and float64
//   exp        all x (0 below, inf above)   1.5
//   sigmoid    |x| <= 87 / 708              2
//   tanh       all x                        2
//
// Outside its range sigmoid gives 1 above and a value below 1.2e-38 / 3.3e-308 below. NaN stays NaN. The claims
// are tested in tests/test_activations.py on every instruction set.
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
  static constexpr float normal = 87.0f;    // e^-x is a normal number up to here
  static constexpr float tanh_is_one = 9.1f;
  static constexpr float tanh_small = 0.625f;
  static constexpr float tanh_odd[] = {-0.333332850767f, 0.133315152075f, -0.0537451471821f, 0.0206552261071f,
                                       -0.00572163783359f};
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
  static constexpr double normal = 708.0;
  static constexpr double tanh_is_one = 19.1;
  static constexpr double tanh_small = 0.625;
  static constexpr double tanh_odd[] = {
      -0.3333333333333293075862,    0.1333333333327004255796,     -0.05396825393434765866033,
      0.02186948763708176011698,    -0.008863221709875729278054,  0.003591994309623623438224,
      -0.001454982921258993235684,  0.0005863890739672748202786,  -0.0002287004307259303942601,
      0.00007728923483495187266985, -0.00001613921219232986859178};
  static constexpr double q[] = {0.5000000000000005544874,    0.1666666666666668596797,
                                 0.04166666666657369411884,   0.008333333333314614883295,
                                 0.001388888893235437864079,  0.0001984126990297397285184,
                                 0.0000248015044771019029947, 0.000002755722800908256994006,
                                 2.762631351399098814712e-7,  2.511445440740019128516e-8};
};

template <class T, int N>
BPTT_INLINE Vec<T> polynomial(Vec<T> x, const T (&coefficients)[N]) {
  Vec<T> y = broadcast(coefficients[N - 1]);
#pragma GCC unroll 16
  for (int i = N - 2; i >= 0; --i) y = fma(y, x, broadcast(coefficients[i]));
  return y;
}

template <class T>
struct Exponential {
  Vec<T> shifted;  // x / ln 2, rounded, in the low bits
  Vec<T> n;        // the same as a number
  Vec<T> p;        // e^x = 2^n (1 + p)
};

// x must lie within [lowest, highest] or be NaN.
template <class T>
BPTT_INLINE Exponential<T> reduce_exp(Vec<T> x) {
  using C = ExpConstants<T>;
  const Vec<T> shifted = fma(x, broadcast(C::log2_e), broadcast(C::round_magic));
  const Vec<T> n = shifted - C::round_magic;
  Vec<T> r = fma(n, broadcast(-C::ln2_high), x);
  r = fma(n, broadcast(-C::ln2_low), r);
  const Vec<T> q = polynomial<T>(r, C::q);
  return {shifted, n, fma(r * r, q, r)};
}

// 2^n for n in the normal range. The bits above n fall off the left end.
template <class T>
BPTT_INLINE Vec<T> power_of_two(Bits<T> n) {
  using C = ExpConstants<T>;
  return reinterpret_cast<Vec<T>>((n << C::mantissa) + C::one);
}

// 2^n (1 + p) for n in the normal range. One rounding in every form; an unfused product with p could be subnormal and
// lost.
template <class T>
BPTT_INLINE Vec<T> assemble(const Exponential<T>& e) {
#if defined(BPTT_ISA_AVX512)
  if constexpr (sizeof(T) == 4) {
    return _mm512_maskz_scalef_ps(0xFFFF, 1 + e.p, e.n);
  } else {
    return _mm512_maskz_scalef_pd(0xFF, 1 + e.p, e.n);
  }
#else
  const Vec<T> s = power_of_two<T>(reinterpret_cast<Bits<T>>(e.shifted));
  if constexpr (kFused) return fma(s, e.p, s);
  return (1 + e.p) * s;
#endif
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
  const Vec<T> e = assemble<T>(reduce_exp<T>(-at_most(absolute<T>(x), C::normal)));
  // The smaller of the two results, e / (1 + e), keeps its relative accuracy to the end. What the rounding of
  // 1 + e lost is put back to first order, with 1/sum = 1 - ratio: worth up to one ULP.
  const Vec<T> sum = 1 + e;
  const Vec<T> lost = e - (sum - 1);
  const Vec<T> ratio = e / sum;
  const Vec<T> small = fma(ratio * lost, ratio - 1, ratio);
  return select<T>(x < 0, small, 1 - small);
}

template <class T>
BPTT_INLINE Vec<T> tanh(Vec<T> x) {
  using C = ExpConstants<T>;
  const Vec<T> a = at_most(absolute<T>(x), C::tanh_is_one);
  const Vec<T> large = copy_sign<T>(1 - 2 / (assemble<T>(reduce_exp<T>(a + a)) + 1), x);
  const Vec<T> square = x * x;
  const Vec<T> small = fma(x * square, polynomial<T>(square, C::tanh_odd), x);
  return select<T>(a < C::tanh_small, small, large);
}

}  // namespace bptt::BPTT_ISA

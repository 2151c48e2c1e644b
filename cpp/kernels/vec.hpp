// The vector type of one instruction set: what every kernel is written in.
//
// A translation unit that includes this header has named its instruction set by defining BPTT_ISA (the
// namespace) and one of BPTT_ISA_AVX512, BPTT_ISA_AVX2 or BPTT_ISA_GENERIC. Everything below lives in that
// namespace, so that code compiled with wider flags can never be picked by the linker for a narrower one.
// For the same reason no header with inline functions of the standard library is included here.
//
// Arithmetic and comparisons are the compiler's vector extensions; only what they lack is an intrinsic.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(BPTT_ISA_AVX512) || defined(BPTT_ISA_AVX2)
#include <immintrin.h>
#endif
#if defined(__aarch64__)
#include <arm_neon.h>
#elif defined(BPTT_ISA_GENERIC) && defined(__x86_64__)
#include <emmintrin.h>
#endif

#define BPTT_INLINE __attribute__((always_inline)) inline

namespace bptt::BPTT_ISA {

#if defined(BPTT_ISA_AVX512)
inline constexpr int kVectorBytes = 64;
inline constexpr int kRegisters = 32;
#elif defined(BPTT_ISA_AVX2)
inline constexpr int kVectorBytes = 32;
inline constexpr int kRegisters = 16;
#else
inline constexpr int kVectorBytes = 16;
#if defined(__aarch64__)
inline constexpr int kRegisters = 32;
#else
inline constexpr int kRegisters = 16;
#endif
#endif

template <class T>
struct VectorOf;
template <>
struct VectorOf<float> {
  typedef float type __attribute__((vector_size(kVectorBytes)));
  typedef float unaligned __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));
  typedef std::int32_t mask __attribute__((vector_size(kVectorBytes)));
  using integer = std::int32_t;
};
template <>
struct VectorOf<double> {
  typedef double type __attribute__((vector_size(kVectorBytes)));
  typedef double unaligned __attribute__((vector_size(kVectorBytes), aligned(8), may_alias));
  typedef std::int64_t mask __attribute__((vector_size(kVectorBytes)));
  using integer = std::int64_t;
};

template <class T>
using Vec = typename VectorOf<T>::type;

// The largest number of T, and the smallest that is not subnormal.
template <class T>
struct Limits;
template <>
struct Limits<float> {
  static constexpr float largest = __FLT_MAX__, smallest = __FLT_MIN__;
};
template <>
struct Limits<double> {
  static constexpr double largest = __DBL_MAX__, smallest = __DBL_MIN__;
};
template <class T>
using Bits = typename VectorOf<T>::mask;  // comparison results, and the integer view of a Vec

template <class T>
inline constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

template <class T>
BPTT_INLINE Vec<T> broadcast(T x) {
  return x - Vec<T>{};  // x - 0: exact for every x, NaN and signed zero included
}

template <class T>
BPTT_INLINE Vec<T> load(const T* p) {
  return *reinterpret_cast<const typename VectorOf<T>::unaligned*>(p);
}

template <class T>
BPTT_INLINE void store(T* p, Vec<T> x) {
  *reinterpret_cast<typename VectorOf<T>::unaligned*>(p) = x;
}

// Whether fma rounds once.
#if defined(BPTT_ISA_GENERIC) && !defined(__aarch64__)
inline constexpr bool kFused = false;
#else
inline constexpr bool kFused = true;
#endif

BPTT_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
#if defined(BPTT_ISA_AVX512)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(BPTT_ISA_AVX2)
  return _mm256_fmadd_ps(a, b, c);
#elif defined(__aarch64__)
  return vfmaq_f32(c, a, b);
#else
  return a * b + c;  // baseline x86-64 has no fused multiply-add: two roundings
#endif
}

BPTT_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
#if defined(BPTT_ISA_AVX512)
  return _mm512_fmadd_pd(a, b, c);
#elif defined(BPTT_ISA_AVX2)
  return _mm256_fmadd_pd(a, b, c);
#elif defined(__aarch64__)
  return vfmaq_f64(c, a, b);
#else
  return a * b + c;
#endif
}

// With AVX-512 the forms that take a mask: the plain ones trip GCC 12's warning of uninitialised variables, and cost
// the same.
BPTT_INLINE Vec<float> square_root(Vec<float> x) {
#if defined(BPTT_ISA_AVX512)
  return _mm512_maskz_sqrt_ps(0xFFFF, x);
#elif defined(BPTT_ISA_AVX2)
  return _mm256_sqrt_ps(x);
#else
  for (int i = 0; i < kLanes<float>; ++i) x[i] = __builtin_sqrtf(x[i]);
  return x;
#endif
}

BPTT_INLINE Vec<double> square_root(Vec<double> x) {
#if defined(BPTT_ISA_AVX512)
  return _mm512_maskz_sqrt_pd(0xFF, x);
#elif defined(BPTT_ISA_AVX2)
  return _mm256_sqrt_pd(x);
#else
  for (int i = 0; i < kLanes<double>; ++i) x[i] = __builtin_sqrt(x[i]);
  return x;
#endif
}

#if defined(BPTT_ISA_AVX2)
BPTT_INLINE __m256i first_lanes(int n, float) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
BPTT_INLINE __m256i first_lanes(int n, double) {
  return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}
BPTT_INLINE Vec<float> load_some(const float* p, int n) { return _mm256_maskload_ps(p, first_lanes(n, 0.0f)); }
BPTT_INLINE Vec<double> load_some(const double* p, int n) { return _mm256_maskload_pd(p, first_lanes(n, 0.0)); }
BPTT_INLINE void store_some(float* p, Vec<float> x, int n) { _mm256_maskstore_ps(p, first_lanes(n, 0.0f), x); }
BPTT_INLINE void store_some(double* p, Vec<double> x, int n) { _mm256_maskstore_pd(p, first_lanes(n, 0.0), x); }
#elif defined(BPTT_ISA_AVX512)
BPTT_INLINE __mmask16 first_lanes(int n, float) { return static_cast<__mmask16>((1u << n) - 1); }
BPTT_INLINE __mmask8 first_lanes(int n, double) { return static_cast<__mmask8>((1u << n) - 1); }
BPTT_INLINE Vec<float> load_some(const float* p, int n) { return _mm512_maskz_loadu_ps(first_lanes(n, 0.0f), p); }
BPTT_INLINE Vec<double> load_some(const double* p, int n) { return _mm512_maskz_loadu_pd(first_lanes(n, 0.0), p); }
BPTT_INLINE void store_some(float* p, Vec<float> x, int n) { _mm512_mask_storeu_ps(p, first_lanes(n, 0.0f), x); }
BPTT_INLINE void store_some(double* p, Vec<double> x, int n) { _mm512_mask_storeu_pd(p, first_lanes(n, 0.0), x); }
#else
template <class T>
__attribute__((noinline)) Vec<T> load_some(const T* p, int n) {
  T lanes[kLanes<T>] = {};
  for (int i = 0; i < n; ++i) lanes[i] = p[i];
  return load(lanes);
}
template <class T>
__attribute__((noinline)) void store_some(T* p, Vec<T> x, int n) {
  for (int i = 0; i < n; ++i) p[i] = x[i];
}
#endif

// Masked access costs nothing with AVX-512; elsewhere a test that is nearly always true is cheaper.
BPTT_INLINE bool all_lanes(int n, int lanes) {
#if defined(BPTT_ISA_AVX512)
  return __builtin_constant_p(n) && n == lanes;
#else
  return __builtin_expect(n == lanes, 1);
#endif
}

// The first n of kLanes elements, the others zero; n in 0..kLanes. Nothing past p[n-1] is touched.
template <class T>
BPTT_INLINE Vec<T> load_first(const T* p, int n) {
  return all_lanes(n, kLanes<T>) ? load(p) : load_some(p, n);
}

template <class T>
BPTT_INLINE void store_first(T* p, Vec<T> x, int n) {
  if (all_lanes(n, kLanes<T>)) {
    store(p, x);
  } else {
    store_some(p, x, n);
  }
}

// Calls f with the number of lanes, as a constant where it is all of them, so that f's loads and stores lose
// their test of it.
template <class T>
struct AllLanes {
  constexpr operator int() const { return kLanes<T>; }
};
template <class T, class F>
BPTT_INLINE void with_lanes(int valid, F f) {
  if (valid == kLanes<T>) {
    f(AllLanes<T>{});
  } else {
    f(valid);
  }
}

// The first n lanes of x, the others zero.
template <class T>
BPTT_INLINE Vec<T> keep_first(Vec<T> x, int n) {
  T lanes[kLanes<T>];
  store(lanes, x);
  return load_first<T>(lanes, n);
}

template <class T>
BPTT_INLINE Vec<T> absolute(Vec<T> x) {
  using I = typename VectorOf<T>::integer;
  constexpr I all_but_sign = static_cast<I>(~(std::uint64_t{1} << 63) >> (64 - 8 * sizeof(T)));
  return reinterpret_cast<Vec<T>>(reinterpret_cast<Bits<T>>(x) & (Bits<T>{} + all_but_sign));
}

// The magnitude of x with the sign of s.
template <class T>
BPTT_INLINE Vec<T> copy_sign(Vec<T> x, Vec<T> s) {
  using I = typename VectorOf<T>::integer;
  constexpr I sign = static_cast<I>(std::uint64_t{1} << (8 * sizeof(T) - 1));
  const Bits<T> bits = Bits<T>{} + sign;
  return reinterpret_cast<Vec<T>>((reinterpret_cast<Bits<T>>(x) & ~bits) | (reinterpret_cast<Bits<T>>(s) & bits));
}

template <class T>
BPTT_INLINE Vec<T> select(Bits<T> condition, Vec<T> yes, Vec<T> no) {
  return condition ? yes : no;
}

// Whether a comparison holds in every lane.
template <class T>
BPTT_INLINE bool every_lane(Bits<T> condition) {
#if defined(BPTT_ISA_AVX512)
  const auto bits = reinterpret_cast<__m512i>(condition);
  return _mm512_movepi8_mask(bits) == ~__mmask64{0};
#elif defined(BPTT_ISA_AVX2)
  return _mm256_movemask_epi8(reinterpret_cast<__m256i>(condition)) == -1;
#elif defined(__aarch64__)
  return vminvq_u8(reinterpret_cast<uint8x16_t>(condition)) == 0xFF;
#elif defined(__x86_64__)
  return _mm_movemask_epi8(reinterpret_cast<__m128i>(condition)) == 0xFFFF;
#else
  bool every = true;
  for (int i = 0; i < kLanes<T>; ++i) every = every && condition[i] != 0;
  return every;
#endif
}

// The smaller of each x and the bound; NaN stays NaN, which is why the bound comes first: the instruction gives its
// second operand where they do not compare.
BPTT_INLINE Vec<float> at_most(Vec<float> x, float bound) {
#if defined(BPTT_ISA_AVX512)
  return _mm512_maskz_min_ps(0xFFFF, broadcast(bound), x);
#elif defined(BPTT_ISA_AVX2)
  return _mm256_min_ps(broadcast(bound), x);
#elif defined(__x86_64__)
  return _mm_min_ps(broadcast(bound), x);
#else
  return select<float>(x > bound, broadcast(bound), x);
#endif
}
BPTT_INLINE Vec<double> at_most(Vec<double> x, double bound) {
#if defined(BPTT_ISA_AVX512)
  return _mm512_maskz_min_pd(0xFF, broadcast(bound), x);
#elif defined(BPTT_ISA_AVX2)
  return _mm256_min_pd(broadcast(bound), x);
#elif defined(__x86_64__)
  return _mm_min_pd(broadcast(bound), x);
#else
  return select<double>(x > bound, broadcast(bound), x);
#endif
}

// The larger of each x and the bound; NaN stays NaN.
BPTT_INLINE Vec<float> at_least(Vec<float> x, float bound) {
#if defined(BPTT_ISA_AVX512)
  return _mm512_maskz_max_ps(0xFFFF, broadcast(bound), x);
#elif defined(BPTT_ISA_AVX2)
  return _mm256_max_ps(broadcast(bound), x);
#elif defined(__x86_64__)
  return _mm_max_ps(broadcast(bound), x);
#else
  return select<float>(x < bound, broadcast(bound), x);
#endif
}
BPTT_INLINE Vec<double> at_least(Vec<double> x, double bound) {
#if defined(BPTT_ISA_AVX512)
  return _mm512_maskz_max_pd(0xFF, broadcast(bound), x);
#elif defined(BPTT_ISA_AVX2)
  return _mm256_max_pd(broadcast(bound), x);
#elif defined(__x86_64__)
  return _mm_max_pd(broadcast(bound), x);
#else
  return select<double>(x < bound, broadcast(bound), x);
#endif
}

// 1 / x to at least 14 bits, good to start one step of Newton's method from. Division is what the activations would
// otherwise wait for.
BPTT_INLINE Vec<float> rough_reciprocal(Vec<float> x) {
#if defined(BPTT_ISA_AVX512)
  return _mm512_maskz_rcp14_ps(0xFFFF, x);
#else
  return 1 / x;
#endif
}
BPTT_INLINE Vec<double> rough_reciprocal(Vec<double> x) { return 1 / x; }

// Sum of the squares of the elements, in float64 and in one fixed order of lanes.
class SquareSum {
 public:
  BPTT_INLINE void add(Vec<float> x) {
    typedef float Half __attribute__((vector_size(kVectorBytes / 2)));
    Half low, high;
    __builtin_memcpy(&low, &x, sizeof(Half));
    __builtin_memcpy(&high, reinterpret_cast<const char*>(&x) + sizeof(Half), sizeof(Half));
    const Vec<double> a = __builtin_convertvector(low, Vec<double>);
    const Vec<double> b = __builtin_convertvector(high, Vec<double>);
    even_ = fma(a, a, even_);
    odd_ = fma(b, b, odd_);
  }
  BPTT_INLINE void add(Vec<double> x) { even_ = fma(x, x, even_); }
  BPTT_INLINE double total() const {
    const Vec<double> sum = even_ + odd_;
    double total = 0;
    for (int i = 0; i < kLanes<double>; ++i) total += sum[i];
    return total;
  }

 private:
  Vec<double> even_{};
  Vec<double> odd_{};
};

}  // namespace bptt::BPTT_ISA

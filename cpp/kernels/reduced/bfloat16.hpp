// Operands rounded to bfloat16: the upper half of a float32, rounded to nearest, ties to even.
//
// The instruction adds the products of a pair of numbers one after the other, each with one rounding, the product of
// the upper halves first. With the first k of a pair in the upper half, this is the sum that float32 kernels compute
// from rounded operands: both forms below have the same bits. Products of such operands are exact in float32.
#pragma once

#include "kernels/product.hpp"

namespace bptt::BPTT_ISA {

#if defined(BPTT_ISA_BFLOAT16)

// An element holds the bits of a pair of numbers.
struct Bfloat16Operands {
  static constexpr int group = 2;
  using Tiles = Bfloat16Operands;  // the form of the operands, as far as tiles of products know it
  static constexpr bool pairs_panels = true;  // the instruction takes long, so that a row needs many sums at once
  // Fills the place after an odd number of rows: times 0, -0 changes no sum, not even one that is -0.
  static constexpr float padding = -0.0f;

  static BPTT_INLINE Vec<float> spread(float pair) {
    return reinterpret_cast<Vec<float>>(_mm512_set1_epi32(__builtin_bit_cast(int, pair)));
  }
  static BPTT_INLINE Vec<float> multiply_add(Vec<float> x, Vec<float> w, Vec<float> sum) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(x), reinterpret_cast<__m512bh>(w));
  }
  static BPTT_INLINE Vec<float> join(const Vec<float> (&rows)[group]) {
    alignas(64) static constexpr std::uint16_t kOrder[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                             21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                             11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const __m512i halves = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(rows[0], rows[1]));
    return reinterpret_cast<Vec<float>>(
        _mm512_maskz_permutexvar_epi16(~__mmask32{0}, _mm512_load_si512(kOrder), halves));
  }
  static BPTT_INLINE Vec<float> along(const float* p, int n) {
    return pairs(load_first<float>(p, n < 16 ? n : 16), n > 16 ? load_first<float>(p + 16, n - 16) : Vec<float>{});
  }
  // The same of the left operand, with padding.
  static BPTT_INLINE Vec<float> left(const float* p, int n) {
    if (n == 32) return pairs(load(p), load(p + 16));
    const __mmask32 valid = (std::uint32_t{1} << n) - 1;
    if (n > 16) return left_where(valid, p);
    const Vec<float> rest = Vec<float>{} + padding;
    return pairs(_mm512_mask_loadu_ps(rest, static_cast<__mmask16>(valid), p), rest);
  }
  static BPTT_INLINE Vec<float> left_where(__mmask32 valid, const float* p) {
    const Vec<float> rest = Vec<float>{} + padding;
    return pairs(_mm512_mask_loadu_ps(rest, static_cast<__mmask16>(valid), p),
                 _mm512_mask_loadu_ps(rest, static_cast<__mmask16>(valid >> 16), p + 16));
  }

 private:
  static BPTT_INLINE Vec<float> pairs(Vec<float> first, Vec<float> second) {
    const __m512i halves = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(second, first));
    return reinterpret_cast<Vec<float>>(_mm512_maskz_rol_epi32(0xFFFF, halves, 16));
  }
};

#else

struct Bfloat16Operands : PlainOperands<float> {
  using Tiles = PlainOperands<float>;
  static constexpr bool pairs_panels = false;
  static constexpr float padding = 0;  // groups of one have no place to fill

  static BPTT_INLINE Vec<float> join(const Vec<float> (&rows)[group]) { return rounded(rows[0]); }
  static BPTT_INLINE Vec<float> left(const float* p, int n) { return rounded(load_first<float>(p, n)); }

  // As the instruction rounds: subnormal numbers are zero, and NaN stays NaN.
  static BPTT_INLINE Vec<float> rounded(Vec<float> x) {
    typedef std::uint32_t Words __attribute__((vector_size(kVectorBytes)));
    const Words bits = reinterpret_cast<Words>(x);
    const Words nearest = bits + 0x7FFF + ((bits >> 16) & 1);
    const Words quiet = bits | 0x400000u;
    const Words kept = reinterpret_cast<Words>(
        select<float>(x == x, reinterpret_cast<Vec<float>>(nearest), reinterpret_cast<Vec<float>>(quiet)));
    const Words sign = bits & 0x80000000u;
    const Bits<float> tiny = reinterpret_cast<Bits<float>>((bits & 0x7F800000u) == 0);
    return select<float>(tiny, reinterpret_cast<Vec<float>>(sign), reinterpret_cast<Vec<float>>(kept & 0xFFFF0000u));
  }
};

#endif

#if defined(BPTT_ISA_BFLOAT16)
inline void pack_bfloat16(const PackPanels<float>& args) { pack<float, Bfloat16Operands>(args); }
#else
inline void pack_bfloat16(const PackPanels<float>& args) {
  pack<float, PlainOperands<float>>(args);
  float* const end = args.packed + panel_at<float>(args.shape, args.panel_end).offset;
  float* const whole = args.packed + packed_size<float>(args.shape);
  for (float* p = args.packed + panel_at<float>(args.shape, args.panel_begin).offset; p < end && p < whole;
       p += kLanes<float>) {
    store(p, Bfloat16Operands::rounded(load(p)));
  }
}
#endif

}  // namespace bptt::BPTT_ISA

// Operands as int8, multiplied by instructions for four consecutive k at once.
#pragma once

#include "kernels/reduced/int8.hpp"

namespace bptt::BPTT_ISA {

using Words = Bits<float>;

#if defined(BPTT_ISA_INT8)

// `vpdpbusd` multiplies numbers without a sign by numbers with a sign: rows are stored with 128 added, and sums start
// from -128 times the sum of a column.
struct DotForm {
  static constexpr int group = 4;
  static constexpr bool corrects = true;
  static constexpr float offset = 128;
  static constexpr int most_rows = 6;

  struct Left {
    Words x;
  };
  static BPTT_INLINE Left spread(float x) {
    return {reinterpret_cast<Words>(_mm512_set1_epi32(__builtin_bit_cast(int, x)))};
  }
  static BPTT_INLINE Words multiply_add(Left left, Words w, Words sum) {
    return reinterpret_cast<Words>(_mm512_dpbusd_epi32(
        reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(left.x), reinterpret_cast<__m512i>(w)));
  }
  // A vector of numbers, in a quarter of a vector of elements.
  static BPTT_INLINE void put(Vec<float> rounded, float* to) {
    const __m128i sixteen = _mm512_maskz_cvtepi32_epi8(0xFFFF, reinterpret_cast<__m512i>(rounded));
    _mm_store_si128(reinterpret_cast<__m128i*>(to), sixteen);
  }
  static BPTT_INLINE Vec<float> join(const Vec<float> (&rounded)[group]) {
    alignas(64) float joined[kLanes<float>];
#pragma GCC unroll 4
    for (int j = 0; j < group; ++j) put(rounded[j], joined + j * kLanes<float> / group);
    return load(joined);
  }

#else

// `vpmaddubsw` multiplies magnitudes of the row by weights that take the sign of the row, and adds two products, which
// is at most 32258, and fits into 16 bits.
struct DotForm {
  static constexpr int group = 4;
  static constexpr bool corrects = false;
  static constexpr float offset = 0;
  static constexpr int most_rows = 2;

  struct Left {
    __m256i x;
    __m256i magnitude;
  };
  static BPTT_INLINE Left spread(float x) {
    const __m256i four = _mm256_set1_epi32(__builtin_bit_cast(int, x));
    return {four, _mm256_abs_epi8(four)};
  }
  static BPTT_INLINE Words multiply_add(Left left, Words w, Words sum) {
    const __m256i pairs = _mm256_maddubs_epi16(left.magnitude, _mm256_sign_epi8(reinterpret_cast<__m256i>(w), left.x));
    return sum + reinterpret_cast<Words>(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  static BPTT_INLINE Vec<float> join(const Vec<float> (&rounded)[group]) {
    __m256i word[group];
#pragma GCC unroll 4
    for (int j = 0; j < group; ++j) {
      const Words integers = reinterpret_cast<Words>(rounded[j]) - __builtin_bit_cast(std::int32_t, kInt8Round);
      word[j] = reinterpret_cast<__m256i>(integers);
    }
    const __m256i halves =
        _mm256_packs_epi16(_mm256_packs_epi32(word[0], word[1]), _mm256_packs_epi32(word[2], word[3]));
    return reinterpret_cast<Vec<float>>(_mm256_permutevar8x32_epi32(halves, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
  }

#endif

  static BPTT_INLINE float correction(const float* data, Index elements) {
    const auto* numbers = reinterpret_cast<const signed char*>(data);
    std::int32_t sum = 0;
    for (Index k = 0; k < elements * group; ++k) sum += numbers[k];
    return __builtin_bit_cast(float, sum * -128);
  }
  static BPTT_INLINE void sum(const OperandBlock& block, const Panel<float>& panel, const float* weights, const float*,
                              float* sums);
};

// M rows by N vectors of exact sums, as float32.
template <int M, int N>
void sum_tile(Index groups, const float* a, Index a_row, const float* b, float* sums) {
  Words acc[M][N];
#pragma GCC unroll 6
  for (int r = 0; r < M; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) {
      acc[r][v] = DotForm::corrects ? reinterpret_cast<Words>(load(b + v * kLanes<float>)) : Words{};
    }
  }
  if (DotForm::corrects) b += N * kLanes<float>;
  for (Index k = 0; k < groups; ++k, b += N * kLanes<float>) {
    Words w[N];
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) w[v] = reinterpret_cast<Words>(load(b + v * kLanes<float>));
#pragma GCC unroll 6
    for (int r = 0; r < M; ++r) {
      const DotForm::Left x = DotForm::spread(a[r * a_row + k]);
#pragma GCC unroll 4
      for (int v = 0; v < N; ++v) acc[r][v] = DotForm::multiply_add(x, w[v], acc[r][v]);
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < M; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) {
      store(sums + (r * N + v) * kLanes<float>, __builtin_convertvector(acc[r][v], Vec<float>));
    }
  }
}

template <int N>
__attribute__((noinline)) void sum_vectors(const OperandBlock& block, const float* weights, float* sums) {
  for (Index row = 0; row < block.rows;) {
    const float* a = block.data + row * block.row;
    float* const to = sums + row * N * kLanes<float>;
    const Index left = block.rows - row;
    if (DotForm::most_rows == 6 && left >= 6) {
      sum_tile<DotForm::most_rows, N>(block.depth, a, block.row, weights, to);
      row += 6;
    } else if (DotForm::most_rows == 6 && left >= 4) {
      sum_tile<DotForm::most_rows == 6 ? 4 : 1, N>(block.depth, a, block.row, weights, to);
      row += 4;
    } else if (left >= 2) {
      sum_tile<2, N>(block.depth, a, block.row, weights, to);
      row += 2;
    } else {
      sum_tile<1, N>(block.depth, a, block.row, weights, to);
      row += 1;
    }
  }
}

BPTT_INLINE void DotForm::sum(const OperandBlock& block, const Panel<float>& panel, const float* weights, const float*,
                              float* sums) {
  switch (panel.vectors) {
    case 1:
      return sum_vectors<1>(block, weights, sums);
    case 2:
      return sum_vectors<2>(block, weights, sums);
    case 3:
      return sum_vectors<3>(block, weights, sums);
    default:
      return sum_vectors<4>(block, weights, sums);
  }
}

}  // namespace bptt::BPTT_ISA

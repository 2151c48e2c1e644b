// Operands as int8: each column of weights and each row of the left operand has a scale, and its numbers are the
// nearest multiples of the scale, from -127 to 127 times. Rows are converted here, with the scale of the whole row.
//
// Sums over up to kInt8Depth k are integers below 2^24. Any arithmetic that is exact there gives the same bits, float32
// among them. Each such sum is scaled and added to the output, with a rounding after every operation. Numbers from 1e33
// on may overflow on the way.
#pragma once

#include "kernels/reduced/products.hpp"

namespace bptt::BPTT_ISA {

inline constexpr Index kInt8Depth = 1024;  // of an exact sum
inline constexpr Index kInt8Rows = 32;  // of a block, at most
// The smallest magnitude of a row that is not 0 as a whole: what divides by a scale must be finite.
inline constexpr float kInt8Least = 0x1p-116f;

struct Int8Scale {
  float scale;  // NaN if there is NaN or infinity among the numbers
  float inverse;  // 0: all integers are 0
};

BPTT_INLINE std::int32_t largest_lane(Bits<float> lanes) {
  typedef std::int32_t Four __attribute__((vector_size(16)));
  Four four;
#if defined(BPTT_ISA_AVX512)
  typedef std::int32_t Eight __attribute__((vector_size(32)));
  const auto all = reinterpret_cast<__m512i>(lanes);
  const auto low = reinterpret_cast<Eight>(_mm512_maskz_extracti32x8_epi32(0xFF, all, 0));
  const auto high = reinterpret_cast<Eight>(_mm512_maskz_extracti32x8_epi32(0xFF, all, 1));
  const auto eight = reinterpret_cast<__m256i>(low > high ? low : high);
  const auto some = reinterpret_cast<Four>(_mm256_castsi256_si128(eight));
  const auto rest = reinterpret_cast<Four>(_mm256_extracti128_si256(eight, 1));
  four = some > rest ? some : rest;
#else
  Four fours[kVectorBytes / 16];
  __builtin_memcpy(fours, &lanes, sizeof(fours));
  four = fours[0];
  for (const Four& some : fours) four = some > four ? some : four;
#endif
  const std::int32_t even = four[0] > four[2] ? four[0] : four[2], odd = four[1] > four[3] ? four[1] : four[3];
  return even > odd ? even : odd;
}

// From the bits of the largest magnitude. A scale has 17 bits, so that its multiples are exact in float32. Multiples
// that are converted once more have the same scale and integers.
BPTT_INLINE Int8Scale int8_scale_of(std::int32_t bits) {
  if (bits >= 0x7F800000) return {__builtin_nanf(""), 0};
  const float largest = __builtin_bit_cast(float, bits);
  if (largest < kInt8Least) return {0, 0};
  const auto scale = __builtin_bit_cast(std::int32_t, largest / 127);
  return {__builtin_bit_cast(float, (scale + 0x40) & ~0x7F), 127 / largest};
}

__attribute__((noinline)) inline Int8Scale int8_scale(const float* p, Index n) {
  Bits<float> most{};
  for (Index k = 0; k < n; k += kLanes<float>) {
    const int some = static_cast<int>(minimum(kLanes<float>, n - k));
    const Bits<float> bits = reinterpret_cast<Bits<float>>(absolute<float>(load_first<float>(p + k, some)));
    most = bits > most ? bits : most;  // in this order of bits, NaN is above infinity, and infinity above all numbers
  }
  return int8_scale_of(largest_lane(most));
}

// Adding this leaves the nearest integer, ties to even, in the lowest bits.
inline constexpr float kInt8Round = 0x1.8p23f;

// Numbers as integers, in elements of the form; up to the next whole vector, the others are 0.
template <class Form>
__attribute__((noinline)) void to_int8(const float* p, Index n, float inverse, float offset, float* to) {
  constexpr Index kAcross = kLanes<float> * Form::group;
  for (Index k = 0; k < n; k += kAcross, to += kLanes<float>) {
    Vec<float> rounded[Form::group];
#pragma GCC unroll 4
    for (Index j = 0; j < Form::group; ++j) {
      const Index left = n - k - j * kLanes<float>;
      const int some = static_cast<int>(maximum(0, minimum(kLanes<float>, left)));
      const Vec<float> x = inverse == 0 ? Vec<float>{} : load_first<float>(p + k + j * kLanes<float>, some);
      rounded[j] = x * inverse + (kInt8Round + offset);
    }
    store(to, Form::join(rounded));
  }
}

// out = init + sums, scaled.
__attribute__((noinline)) inline void add_scaled(const OperandBlock& block, const Panel<float>& panel,
                                                 const float* sums, const float* scales, const PanelOutput<float>& io) {
  const Index width = panel.vectors * kLanes<float>;
  for (int v = 0; v < panel.vectors; ++v) {
    with_lanes<float>(panel.valid(v), [&](auto n) {
      const Vec<float> scale = load(scales + v * kLanes<float>);
      for (Index r = 0; r < block.rows; ++r) {
        const Vec<float> init = io.init[v] ? load_first<float>(io.init[v] + r * io.init_row, n) : Vec<float>{};
        const Vec<float> sum = load_first<float>(sums + r * width + v * kLanes<float>, n);
        store_first<float>(io.out[v] + r * io.out_row, init + sum * scale * block.scales[2 * r], n);
      }
    });
  }
}

// A panel holds its scales, and then for each kInt8Depth of k a correction for each column, if the form has any, and
// the weights.
template <class Form>
struct Int8Layout {
  static constexpr Index kHeads = Form::corrects ? 1 : 0;

  static BPTT_INLINE PanelShape stored(PanelShape s) {
    const Index blocks = (s.depth + kInt8Depth - 1) / kInt8Depth;
    s.depth = 1 + blocks * kHeads + (s.depth + Form::group - 1) / Form::group;
    return s;
  }
  // The place of a block's correction, or of its weights.
  static BPTT_INLINE Index block_at(Index k) { return 1 + k / kInt8Depth * kHeads + k / Form::group; }

  static void convert(const OperandBlock& block, Index depth, const float* a, Index a_row) {
    const Index some = minimum(kInt8Depth, depth - block.at);
    for (Index r = 0; r < block.rows; ++r) {
      const float* const row = a + r * a_row;
      float* const scales = block.scales + 2 * r;
      if (block.at == 0) {
        const Int8Scale scale = int8_scale(row, depth);
        scales[0] = scale.scale;
        scales[1] = scale.inverse;
      }
      to_int8<Form>(row + block.at, some, scales[1], Form::offset, block.data + r * block.row);
    }
  }

  static int multiply(const PanelProduct& args) {
    alignas(64) float sums[kInt8Rows * kMaxVectors * kLanes<float>];
    const PanelPlaces<Int8Layout> places(args);
    const Panel<float> panel = places.panel(args.panel);
    const float* const scales = args.packed + panel.offset;
    const float* const weights = scales + block_at(args.block->at) * panel.vectors * kLanes<float>;
    Form::sum(*args.block, panel, weights, args.packed + places.panel(args.next).offset, sums);
    add_scaled(*args.block, panel, sums, scales, places.output(panel));
    return 1;
  }

  // A column of the matrix is a row of the source.
  static void pack(const PackPanels<float>& args) {
    alignas(64) float data[kInt8Depth];
    const PanelShape shape = stored(args.shape);
    for (Index p = args.panel_begin; p < args.panel_end; ++p) {
      const Panel<float> panel = panel_at<float>(shape, p);
      const Index width = panel.vectors * kLanes<float>;
      for (Index lane = 0; lane < width; ++lane) {
        const int v = static_cast<int>(lane / kLanes<float>);
        const bool exists = lane % kLanes<float> < panel.valid(v);
        const float* const column = args.source + (panel.column(v) + lane % kLanes<float>)*args.n_stride;
        const Int8Scale scale = exists ? int8_scale(column, args.shape.depth) : Int8Scale{};
        float* to = args.packed + panel.offset + lane;
        *to = scale.scale;
        to += width;
        for (Index k = 0; k < args.shape.depth; k += kInt8Depth) {
          const Index some = minimum(kInt8Depth, args.shape.depth - k);
          const Index elements = (some + Form::group - 1) / Form::group;
          to_int8<Form>(column + k, exists ? some : 0, scale.inverse, 0, data);
          if (Form::corrects) {
            *to = exists ? Form::correction(data, elements) : 0;
            to += width;
          }
          for (Index i = 0; i < elements; ++i, to += width) *to = exists ? data[i] : 0;
        }
      }
    }
  }
};

// Any CPU: integers as float32, multiplied by the kernels of float32.
struct EmulatedInt8 {
  static constexpr int group = 1;
  static constexpr bool corrects = false;
  static constexpr float offset = 0;

  static BPTT_INLINE Vec<float> join(const Vec<float> (&rounded)[group]) { return rounded[0] - kInt8Round; }
  static BPTT_INLINE float correction(const float*, Index) { return 0; }
  static BPTT_INLINE void sum(const OperandBlock& block, const Panel<float>& panel, const float* weights,
                              const float* after, float* sums) {
    PanelOutput<float> to{};
    to.out_row = panel.vectors * kLanes<float>;
    for (int v = 0; v < panel.vectors; ++v) to.out[v] = sums + v * kLanes<float>;
    multiply_panel<float>(panel, {block.rows, block.depth, block.data, block.row, weights - panel.offset, after}, to);
  }
};

}  // namespace bptt::BPTT_ISA

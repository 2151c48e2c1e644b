// The form of small layers whose products have bfloat16 operands.
#pragma once

#include "kernels/cells/small_steps.hpp"
#include "kernels/reduced/bfloat16.hpp"

namespace bptt::BPTT_ISA {

#if defined(BPTT_ISA_BFLOAT16)

struct SmallBfloat16 {
  using Number = float;
  using Operands = Bfloat16Operands;
  static constexpr int panels = 2;  // vdpbf16ps takes long
  static constexpr bool serves_rnn = false;  // one gate: a kernel would not be worth its size

  using Left = const float*;
  struct Place {
    alignas(64) float pairs[kMostSmallUnits / Operands::group];
  };
  static BPTT_INLINE Left convert(const float* row, Index n, Place& place) {
    constexpr Index kAcross = kLanes<float> * Operands::group;
#pragma GCC unroll 2
    for (Index k = 0; k < kMostSmallUnits; k += kAcross) {
      const auto valid = static_cast<__mmask32>(~std::uint64_t{0} >> (kMostSmallUnits - n) >> k);
      store(place.pairs + k / Operands::group, Operands::left_where(valid, row + k));
    }
    return place.pairs;
  }

  static BPTT_INLINE Index stored(Index depth) { return (depth + Operands::group - 1) / Operands::group; }

  template <int P, int N>
  static BPTT_INLINE void add_products(Vec<float> (&sum)[P][N], Index depth, Left a, const float* w, Index w_row,
                                       Index w_panel) {
    for (Index k = 0; k < stored(depth); ++k, w += w_row) {
      const Vec<float> x = Operands::spread(a[k]);
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
        for (int n = 0; n < N; ++n) {
          sum[p][n] = Operands::multiply_add(x, load(w + p * w_panel + n * kLanes<float>), sum[p][n]);
        }
      }
    }
  }
};

constexpr SmallKernels<float> small_bfloat16() { return small_kernels<SmallBfloat16>(); }

#else

constexpr SmallKernels<float> small_bfloat16() { return {}; }

#endif

}  // namespace bptt::BPTT_ISA

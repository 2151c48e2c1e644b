// The form of small layers whose products have int8 operands.
#pragma once

#include "kernels/cells/small_steps.hpp"
#include "kernels/reduced/int8_dot.hpp"

namespace bptt::BPTT_ISA {

struct SmallInt8 {
  using Number = float;
  using Form = DotForm;
  static constexpr int panels = 1;  // vpdpbusd is fast: more at once keep the activations waiting
  static constexpr bool serves_rnn = false;  // one gate: a kernel would not be worth its size

  struct Left {
    const float* groups;
    float scale;
  };
  struct Place {
    alignas(64) float groups[kMostSmallUnits / Form::group];
  };
  // As int8_scale and to_int8, without loops.
  static __attribute__((noinline)) Left convert(const float* row, Index n, Place& place) {
    Vec<float> x[kVectors];
    Bits<float> most{};
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) {
      const auto valid = static_cast<__mmask16>(~std::uint64_t{0} >> (kMostSmallUnits - n) >> (j * kLanes<float>));
      x[j] = _mm512_maskz_loadu_ps(valid, row + j * kLanes<float>);
      const Bits<float> bits = reinterpret_cast<Bits<float>>(absolute<float>(x[j]));
      most = bits > most ? bits : most;
    }
    const Int8Scale scale = int8_scale_of(largest_lane(most));
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) {
      const Vec<float> kept = scale.inverse == 0 ? Vec<float>{} : x[j];
      Form::put(kept * scale.inverse + (kInt8Round + Form::offset), place.groups + j * kLanes<float> / Form::group);
    }
    return {place.groups, scale.scale};
  }

  static BPTT_INLINE Index groups(Index depth) { return (depth + Form::group - 1) / Form::group; }
  // The scales and the corrections come before the weights.
  static BPTT_INLINE Index stored(Index depth) { return 2 + groups(depth); }

  // Exact sums, scaled and added as in add_scaled.
  template <int P, int N>
  static BPTT_INLINE void add_products(Vec<float> (&sum)[P][N], Index depth, const Left& a, const float* w, Index w_row,
                                       Index w_panel) {
    const float* const scales = w;
    Words exact[P][N];
    w += w_row;
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) exact[p][n] = reinterpret_cast<Words>(load(w + p * w_panel + n * kLanes<float>));
    }
    w += w_row;
    for (Index k = 0; k < groups(depth); ++k, w += w_row) {
      const auto x = Form::spread(a.groups[k]);
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
        for (int n = 0; n < N; ++n) {
          const Words words = reinterpret_cast<Words>(load(w + p * w_panel + n * kLanes<float>));
          exact[p][n] = Form::multiply_add(x, words, exact[p][n]);
        }
      }
    }
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) {
        const Vec<float> scale = load(scales + p * w_panel + n * kLanes<float>);
        sum[p][n] = sum[p][n] + __builtin_convertvector(exact[p][n], Vec<float>) * scale * a.scale;
      }
    }
  }

 private:
  static constexpr int kVectors = kMostSmallUnits / kLanes<float>;
};

}  // namespace bptt::BPTT_ISA

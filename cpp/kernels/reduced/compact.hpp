// Numbers of a tape in 16 bits: bfloat16, rounded to nearest even, but for numbers close to 1 and -1.
//
// A gate f close to 1 carries an error over 1 / (1 - f) steps. Rounding f itself would change that number of steps, so
// a magnitude above 1/2 and up to 1 is kept by its distance from 1, which float32 computes exactly. The distance is
// multiplied by 2^120: then it is larger than all numbers that are kept as they are. Larger ones become infinite.
#pragma once

#include "kernels/elementwise.hpp"

namespace bptt::BPTT_ISA {

typedef Compact Compacts __attribute__((vector_size(kVectorBytes / 2)));

inline constexpr float kOneScale = 0x1p120f;
inline constexpr float kLeastDistance = 0x1p80f;  // stands for 0. The next one is 2^96
inline constexpr float kLargestKept = 0x1p79f;

inline void compact(Index n, const float* x, Compact* y) {
  for_each_vector<float>(n, [&](Index i, auto lanes) {
    const Vec<float> v = load_first<float>(x + i, lanes);
    const Vec<float> size = absolute<float>(v);
    const Vec<float> distance = at_least((1 - size) * kOneScale, kLeastDistance);
    Vec<float> kept = select<float>(size > kLargestKept, broadcast(__builtin_inff()), size);
    kept = select<float>((size > 0.5f) & (size <= 1), distance, kept);
    kept = select<float>(size == size, kept, broadcast(__builtin_nanf("")));  // other NaNs may overflow below
    const Bits<float> bits = reinterpret_cast<Bits<float>>(kept);
    const Bits<float> sign = (reinterpret_cast<Bits<float>>(v) >> 16) & 0x8000;
    const Bits<float> rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16) | sign;
    const Compacts result = __builtin_convertvector(rounded, Compacts);
    __builtin_memcpy(y + i, &result, static_cast<std::size_t>(static_cast<int>(lanes)) * sizeof(Compact));
  });
}

inline void expand(Index n, const Compact* x, float* y) {
  for_each_vector<float>(n, [&](Index i, auto lanes) {
    Compacts kept{};
    __builtin_memcpy(&kept, x + i, static_cast<std::size_t>(static_cast<int>(lanes)) * sizeof(Compact));
    const Bits<float> bits = __builtin_convertvector(kept, Bits<float>) << 16;
    const Vec<float> v = reinterpret_cast<Vec<float>>(bits);
    const Vec<float> size = absolute<float>(v);
    const Vec<float> near_one = copy_sign<float>(1 - size * (1 / kOneScale), v);
    store_first<float>(y + i, select<float>((size >= kLeastDistance) & (size <= kOneScale), near_one, v), lanes);
  });
}

}  // namespace bptt::BPTT_ISA

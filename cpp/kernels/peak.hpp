// The bound of every matrix kernel: fused multiply-adds on registers alone.
#pragma once

#include "kernels/vec.hpp"

namespace bptt::BPTT_ISA {

// 12 chains hide the latency of two units of 4 to 6 cycles. Returns the floating-point operations of one round.
template <class T>
Index multiply_add(Index rounds, T* lanes) {
  constexpr int chains = 12;
  Vec<T> acc[chains];
  for (int i = 0; i < chains; ++i) acc[i] = load(lanes) * static_cast<T>(i);
  const Vec<T> factor = load(lanes);
  for (Index r = 0; r < rounds; ++r) {
#pragma GCC unroll 12
    for (int i = 0; i < chains; ++i) acc[i] = fma(acc[i], factor, factor);
  }
  Vec<T> sum{};
  for (int i = 0; i < chains; ++i) sum = sum + acc[i];
  store(lanes, sum);
  return 2 * chains * kLanes<T>;
}

}  // namespace bptt::BPTT_ISA

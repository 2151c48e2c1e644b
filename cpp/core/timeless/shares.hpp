// Work on rows that do not depend on one another, divided among threads.
#pragma once

#include <algorithm>

#include "kernels/table.hpp"
#include "runtime/float_mode.hpp"
#include "runtime/interrupt.hpp"
#include "runtime/team.hpp"

namespace bptt {

inline constexpr Index kWorthATeam = 1 << 17;  // elements

// Calls f(begin, end) for parts of 0..count that together are the whole, on several threads where there are many
// elements: a row has `each`. Stops early if an interrupt comes.
template <class F>
void share_rows(Index count, Index each, Interrupt& interrupt, F f) {
  const Index size = std::max<Index>(1, each);
  const int wanted = count < kWorthATeam / size ? 1 : get_num_threads();
  const Index step = std::max<Index>(1, kPiece / size);
  run_team(wanted, [&](int index, int threads) {
    const FlushSubnormals mode;
    const Range mine = slice_of(count, index, threads);
    for (Index begin = mine.begin; begin < mine.end && !interrupt.stopped(); begin += step) {
      f(begin, std::min(begin + step, mine.end));
      if (index == 0) interrupt.poll();
    }
  });
}

}  // namespace bptt

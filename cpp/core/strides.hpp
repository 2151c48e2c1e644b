// How far apart rows lie. A column of rows that are a large power of two apart falls into a few cache sets, whose lines
// evict one another.
#pragma once

#include <cstddef>

#include "kernels/table.hpp"

namespace bptt {

// How far apart to put rows of so many elements: an odd number of cache lines. Short rows stay dense.
inline Index padded_row(Index width, std::size_t element) {
  const Index line = static_cast<Index>(64 / element);
  const Index lines = (width + line - 1) / line;
  return lines < 8 ? width : (lines | 1) * line;
}

// Whether a column of rows so far apart has less than a thousand lines to stay in, in a second-level cache of 1 MiB.
inline bool shares_cache_sets(Index row, std::size_t element) {
  return static_cast<std::size_t>(row) * element % 2048 == 0;
}

}  // namespace bptt

// Rows of unequal length: from the caller's arrays, (T, B, width) as long as the longest row, to the
// order in which they run (addressing.hpp), and back. Of any type: widths and distances are in bytes.
#pragma once

#include "core/addressing.hpp"

namespace bptt {

// Where the rows of a caller's array lie, row b at step t at t * step + b * row. Rank r runs row order[r].
struct RowPlaces {
  const std::int64_t* order;
  Index step;
  Index row;
};

// Whether `order` has every row once.
bool is_order(const std::int64_t* order, Index batch);

// Padding becomes zero.
void gather_rows(const Rows& rows, const RowPlaces& places, Index width, const char* from, char* to);

// `from_row`: from one packed row to the next. What lies past a row's end becomes zero.
void scatter_rows(const Rows& rows, const RowPlaces& places, Index width, const char* from, Index from_row, char* to);

}  // namespace bptt

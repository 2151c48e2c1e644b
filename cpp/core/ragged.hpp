// Rows of unequal length: from the caller's arrays, (T, B, width) as long as the longest row, to the
// order in which they run (addressing.hpp), and back. Of any type: widths and distances are in bytes.
//
// A row with skipped steps runs as the shorter row of its other steps. Its step number k is then a later time step.
#pragma once

#include "core/addressing.hpp"

namespace bptt {

// Where the rows of a caller's array lie, row b at step t at t * step + b * row. Rank r runs row order[r].
struct RowPlaces {
  const std::int64_t* order;
  Index step;
  Index row;
  const std::int64_t* times = nullptr;  // (rows.total()): the time step of each packed row; null: no step is skipped
};

// Whether `order` has every row once.
bool is_order(const std::int64_t* order, Index batch);

// Whether the times of each row rise, and lie below rows.time().
bool are_times(const Rows& rows, const std::int64_t* times);

// Padding becomes zero.
void gather_rows(const Rows& rows, const RowPlaces& places, Index width, const char* from, char* to);

// `from_row`: from one packed row to the next. Steps that a row does not have become zero.
void scatter_rows(const Rows& rows, const RowPlaces& places, Index width, const char* from, Index from_row, char* to);

// The norms of packed rows, combined over the batch: at each time step, or without `times` at each step number.
void combine_norms(const Rows& rows, const std::int64_t* times, const double* of_rows, double* over_time);

}  // namespace bptt

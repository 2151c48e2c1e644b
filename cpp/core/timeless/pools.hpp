// The mean and the maximum over the steps of each row.
#pragma once

#include "kernels/table.hpp"
#include "runtime/interrupt.hpp"

namespace bptt {

struct PoolSteps {
  Index steps;
  Index rows;
  Index columns;
  Index step_stride;  // from a row's step to its next one, in elements
  Index row_stride;
  const bool* valid;  // (steps, rows), the steps that count; null: all. Others are never read.

  bool counts(Index step, Index row) const { return !valid || valid[step * rows + row]; }
};

// y (rows, columns): zeros for a row without steps that count.
template <class T>
void mean_pool(const PoolSteps& shape, const T* x, T* y, Interrupt& interrupt);
template <class T>
void mean_pool_back(const PoolSteps& shape, const T* dy, T* dx, Interrupt& interrupt);

// `source` (rows, columns): the first step that has the maximum; -1 for a row without steps that count. A NaN is the
// maximum.
template <class T>
void max_pool(const PoolSteps& shape, const T* x, T* y, std::int64_t* source, Interrupt& interrupt);
template <class T>
void max_pool_back(const PoolSteps& shape, const T* dy, const std::int64_t* source, T* dx, Interrupt& interrupt);

}  // namespace bptt

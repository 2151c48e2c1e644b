// Pascanu's regulariser, the part on rows of its two products: see src/bptt/optim/regularizers.py.
#pragma once

#include "kernels/table.hpp"

namespace bptt {

// Writes errors / |errors| times the slope, row by row, for the rows whose squared norm is at least `least`. Returns
// the number of these rows: they are the first of `scaled`.
template <class T>
Index unit_errors(Index rows, Index size, double least, const T* errors, const T* slopes, T* scaled);

// Multiplies each row of `scaled` by 4 * excess, with excess = |back|^2 - 1 of its row of `back`. Returns the sum of
// excess^2.
template <class T>
double weigh_by_excess(Index rows, Index size, const T* back, T* scaled);

}  // namespace bptt

// Losses: the mean over the rows that the mask leaves, and its gradient.
#pragma once

#include "kernels/table.hpp"

namespace bptt {

// Rows that count. A null mask: all rows.
Index count_rows(const bool* mask, Index rows);

// The first row that counts and whose label is not in [0, classes); -1 if there is none.
Index first_bad_label(const std::int64_t* labels, const bool* mask, Index rows, Index classes);

// The mean of `terms` terms per row that counts; 0 if no row counts. Sets args.scale, and fills args.dy unless it is
// null.
template <class T>
double mean_loss(LossRows<T>& args, Index terms, double (*kernel)(const LossRows<T>&));

}  // namespace bptt

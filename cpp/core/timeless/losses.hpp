// Losses: a scaled sum over the rows that the mask leaves, and its gradient.
#pragma once

#include "kernels/table.hpp"

namespace bptt {

// The first row that counts and whose label is not in [0, classes); -1 if there is none.
Index first_bad_label(const std::int64_t* labels, const bool* mask, Index rows, Index classes);

}  // namespace bptt

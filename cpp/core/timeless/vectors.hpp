// Flat vectors, such as all gradients of a model.
#pragma once

#include "kernels/table.hpp"

namespace bptt {

// The 2-norm, summed in float64; also where squares of float64 values leave its range and the norm does not.
template <class T>
double norm_of(Index n, const T* x);

// x *= factor; also by a factor that T cannot hold well.
template <class T>
void scale_by(Index n, double factor, T* x);

// Index of the first inf or NaN, -1 if there is none.
template <class T>
Index first_nonfinite(Index n, const T* x);

// Adam's rule at a step, counted from 1: with the corrections of its moments' bias.
AdamRule adam_at(AdamRule rule, Index step);

}  // namespace bptt

// Lyapunov exponents by the QR method (Benettin et al. 1980): a frame of directions is pushed through one step's
// Jacobian after the other and made orthonormal again; how much it had grown is what is averaged.
#pragma once

#include "kernels/table.hpp"

namespace bptt {

// frame (size, count), orthonormal columns, is moved on by jacobians (time, size, size), row-major both;
// log_growth (time, count): the logarithm of each column's growth, -inf where it vanished.
void push_frame(Index time, Index size, Index count, const double* jacobians, double* frame, double* log_growth);

}  // namespace bptt

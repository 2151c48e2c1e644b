// The cell of a modified step. Its kernel runs as a whole, or in stages where something happens between: the second
// product of a cell that has two, layer norm, a clip of the cell state's error.
#pragma once

#include "core/modifiers/context.hpp"

namespace bptt::cell_stages {

// a, h', c' -> h, c
template <class T>
void forward(ForwardContext<T>& f);

// dL/dh, dL/dc -> gate gradients, dL/dc', and what reaches h' without the weights
template <class T>
void backward(BackwardContext<T>& b);

}  // namespace bptt::cell_stages

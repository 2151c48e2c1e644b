// Activations as layers, and their gradients.
#pragma once

#include "kernels/table.hpp"
#include "runtime/interrupt.hpp"

namespace bptt {

template <class T>
void elementwise(Elementwise kind, Index n, const T* x, T* y, Interrupt& interrupt);

// `kept` is y, but x for gelu and silu.
template <class T>
void elementwise_back(Elementwise kind, Index n, const T* dy, const T* kept, T* dx, Interrupt& interrupt);

template <class T>
void softmax(Index rows, Index columns, const T* x, T* y, Interrupt& interrupt);

template <class T>
void softmax_back(Index rows, Index columns, const T* dy, const T* y, T* dx, Interrupt& interrupt);

}  // namespace bptt

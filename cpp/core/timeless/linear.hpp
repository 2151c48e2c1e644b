// y = x W^T + b and its gradients, on N rows.
#pragma once

#include "kernels/table.hpp"
#include "runtime/interrupt.hpp"

namespace bptt {

template <class T>
struct LinearArgs {
  Index rows;
  Index input;
  Index output;
  const T* x;       // (N, input)
  const T* weight;  // (output, input)
  const T* bias;    // (output) or null
};

template <class T>
void linear_forward(const LinearArgs<T>& args, T* y, Interrupt& interrupt);  // (N, output)

// Adds to dweight and dbias, and overwrites dx; null: not computed.
template <class T>
void linear_backward(const LinearArgs<T>& args, const T* dy, T* dweight, T* dbias, T* dx, Interrupt& interrupt);

}  // namespace bptt

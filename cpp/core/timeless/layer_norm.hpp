// Layer norm of rows as a layer: y = gain (x - mean) / sqrt(variance + epsilon) + bias.
#pragma once

#include "kernels/table.hpp"
#include "runtime/interrupt.hpp"

namespace bptt {

template <class T>
struct LayerNormForward {
  Index rows;
  Index columns;
  const T* x;
  const T* gain;  // (columns) or null
  const T* bias;  // (columns) or null
  double epsilon;
  T* hat;    // (rows, columns), what the gradient needs; or null
  T* scale;  // (rows); or null
  T* y;
};

template <class T>
struct LayerNormBackward {
  Index rows;
  Index columns;
  const T* dy;
  const T* hat;
  const T* scale;
  const T* gain;  // or null
  T* dgain;       // added to; or null
  T* dbias;       // added to; or null
  T* dx;          // or null
};

template <class T>
void layer_norm_forward(const LayerNormForward<T>& args, Interrupt& interrupt);

template <class T>
void layer_norm_backward(const LayerNormBackward<T>& args, Interrupt& interrupt);

}  // namespace bptt

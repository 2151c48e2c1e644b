// What is parallel in time of the backward pass: from the gate gradients of a chunk of steps, in large products, the
// gradients of the weights and of the layer's input.
#pragma once

#include "core/recurrent.hpp"
#include "runtime/team.hpp"

namespace bptt {

// The rows of a chunk's steps, one step after the other: gate gradients, and what the products of those steps read.
template <class T>
struct ChunkOperands {
  Index rows;
  const T* dgates;  // (rows, dgates * H)
  Index dgates_row;
  const T* x;  // (rows, input)
  Index input;
  const T* h;  // (rows, P): the states that steps started from
  Index h_row;
  const T* last_in;     // (rows, H): what the last gate's product read, of a cell with two products
  const T* inner;       // (rows, H): h before its projection
  const T* dprojected;  // (rows, P)
};

// Adds what a chunk has for one of a crew: its part of the weights' rows, so that every sum has one order.
template <class T>
void add_weight_gradients(const Recurrent& net, const Kernels<T>& kernels, const ChunkOperands<T>& chunk,
                          const DirectionParameters<T>& gradients, int index, int threads, T* scratch);

// dx = dgates W for some rows of a chunk.
template <class T>
void multiply_input_gradients(const Kernels<T>& kernels, const ChunkOperands<T>& chunk, Range rows, PanelShape shape,
                              const T* packed, T* dx);

}  // namespace bptt

// The arguments of the modifiers of one step. A modifier is an option that changes a step outside the fused kernel of
// the cell: a function for the forward pass, and a function for the backward pass that inverts it, in one file. They
// read and write the rows before and after the kernel, which are in a level-1 or level-2 cache at that time.
// modified_step.cpp calls them in order.
#pragma once

#include "core/modifiers/row_sums.hpp"
#include "core/modifiers/step_arrays.hpp"
#include "core/products.hpp"

namespace bptt {

template <class T>
struct ForwardContext {
  const Recurrent& net;
  const Kernels<T>& k;
  const PackedForward<T>& weights;
  StepInterventions<T> interventions;
  ForwardArrays<T> arrays;
  ForwardStep<T> step;  // as for the kernel alone, until modifiers put other arrays before and after the kernel
};

template <class T>
struct BackwardContext {
  const Recurrent& net;
  const Kernels<T>& k;
  const PackedBackward<T>& weights;
  const DirectionParameters<const T>& parameters;
  const StateClip& clip;
  const RowSums& columns;
  const typename Tape<T>::Direction& tape;
  Index tape_row;  // of the step's first row
  StepInterventions<T> interventions;
  BackwardArrays<T> arrays;
  ChunkRows<T> chunk;
  T* sums;  // (rows, columns.total)
  RowSpan<T> dgates;  // where the layer's gate gradients go
  BackwardStep<T> step;

  // The rows of an array of the tape.
  T* taped(const Buffer<T>& buffer, Index width) const { return buffer.data() + tape_row * width; }
};

// The error of the state that a step started from: dL/dh' in dh, from the step's gate gradients, and dL/dc' in carry.
template <class T>
struct StateErrorContext {
  const Recurrent& net;
  const Kernels<T>& k;
  const PackedBackward<T>& weights;
  StepInterventions<T> interventions;
  BackwardArrays<T> arrays;
  Index rows;
  RowSpan<const T> dgates;
  T* dh;  // (rows, P)
  T* carry;  // (rows, H) or null

  Index size() const { return rows * net.output; }
};

// Copies rows into an array without gaps.
template <class T>
void copy_rows(Index rows, Index width, RowSpan<const T> from, T* to) {
  for (Index r = 0; r < rows; ++r) {
    std::memcpy(to + r * width, from.data + r * from.row, static_cast<std::size_t>(width) * sizeof(T));
  }
}

}  // namespace bptt

// What is parallel in time of the backward pass: from the gate gradients of a chunk of steps, in large products, the
// gradients of the weights and of the layer's input.
#pragma once

#include "core/recurrent.hpp"
#include "runtime/team.hpp"

namespace bptt {

// Rows of a chunk's steps, in runs of rows that lie one after the other: gate gradients, and what the products of those
// steps read.
template <class T>
struct ChunkOperands {
  Index runs;
  Index rows;   // of a run
  Index run;    // rows from one run to the next
  Index x_run;  // the same in x
  Index h_run;  // and in h
  const T* dgates;  // (runs, rows, dgates * H)
  Index dgates_row;
  const T* x;  // (runs, rows, input)
  Index input;
  const T* h;  // (runs, rows, P): the states that steps started from
  Index h_row;
  const T* last_in;     // (runs, rows, H): what the last gate's product read, of a cell with two products
  const T* inner;       // (runs, rows, H): h before its projection
  const T* dprojected;  // (runs, rows, P)
};

// Adds (or sets) what a chunk has for one of a crew: its part of the weights' rows, so that every sum has one order.
template <class T>
void add_weight_gradients(const Recurrent& net, const Kernels<T>& kernels, const ChunkOperands<T>& chunk,
                          const DirectionParameters<T>& gradients, bool sets, int index, int threads, T* scratch);

// dx = dgates W for rows that lie one after the other.
template <class T>
void multiply_input_gradients(const Kernels<T>& kernels, Index rows, const T* dgates, Index dgates_row,
                              PanelShape shape, const T* packed, T* dx, Index dx_row);

}  // namespace bptt

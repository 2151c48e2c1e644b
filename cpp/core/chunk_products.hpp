// What is parallel in time of the backward pass: from the gate gradients of a chunk of steps, in large products, the
// gradients of the weights and of the layer's input.
#pragma once

#include "core/backward_work.hpp"

namespace bptt {

template <class T>
struct ChunkOperands;

// `halves`: the weights' gradients are summed over each half of the batch apart.
template <class T>
class ChunkProducts {
 public:
  ChunkProducts(const Recurrent& net, const BackwardRows& places, Index dgates_row, bool halves)
      : net_(net), k_(kernels<T>()), places_(places), rows_(places.rows), dgates_row_(dgates_row), halves_(halves) {}

  // The states that a ragged chunk's steps started from, row by row beside its gate gradients (`surrounded` steps have
  // put them there), and zeros in the room.
  void align(const Work<T>& w, const Chunk& chunk, bool surrounded, const Crew& crew) const;

  // Adds what the chunk has to the weights' gradients; one of a crew takes its part of their rows, so that every sum
  // has one order. With halves, one thread adds one after the other; several sum them apart, and add_halves adds them
  // when all have been there.
  void sum_gradients(const Work<T>& w, const Chunk& chunk, const Crew& crew, T* scratch) const;
  void add_halves(const Work<T>& w, const Crew& crew) const;

  // dx of some rows of a dense batch, step by step.
  void multiply_input_by_steps(const Work<T>& w, const Chunk& chunk, Range mine) const;
  // A crew's dx of the whole chunk, where rows are not halved.
  void multiply_input(const Work<T>& w, const Chunk& chunk, const Crew& crew) const;

 private:
  // Rows of the chunk in arrays that are not halved.
  Index rows_in(const Chunk& chunk) const;
  ChunkOperands<T> operands(const Work<T>& w, const Chunk& chunk, const Range* some) const;
  void multiply_input_rows(const Work<T>& w, Index t, Index low, Range rows) const;

  const Recurrent& net_;
  const Kernels<T>& k_;
  BackwardRows places_;
  const Rows& rows_;
  Index dgates_row_;
  bool halves_;
};

}  // namespace bptt

// The part of the backward pass that is parallel in time: large products over the gate gradients of a chunk of steps
// give the gradients of the weights and of the layer's input.
#pragma once

#include "core/backward_run.hpp"
#include "core/schedule.hpp"

namespace bptt {

template <class T>
struct ChunkOperands;

// `halves`: the weights' gradients are summed over each half of the batch separately.
template <class T>
class ChunkProducts {
 public:
  ChunkProducts(const BackwardAddresses<T>& addresses, bool halves)
      : net_(addresses.net()), k_(kernels<T>(net_.options.precision)), addresses_(addresses), rows_(addresses.rows()),
        halves_(halves) {}

  // Copies the states that a ragged chunk's steps started from, row by row as its gate gradients are stored (modified
  // steps have done so), and zeros the padding.
  void align(const BackwardRun<T>& run, const Chunk& chunk, bool modified, const Crew& crew) const;

  // Adds a chunk's part to the weights' gradients. Each thread of a crew takes some rows of the weights, so that every
  // sum has one order. With halves, one thread adds one half after the other. Several threads sum the halves
  // separately, and add_halves adds these sums when all threads are ready.
  void sum_gradients(const BackwardRun<T>& run, const Chunk& chunk, const Crew& crew, T* scratch) const;
  void add_halves(const BackwardRun<T>& run, const Crew& crew) const;

  // dx of some rows of a dense batch, step by step.
  void multiply_input_by_steps(const BackwardRun<T>& run, const Chunk& chunk, Range mine) const;
  // A crew's dx of the whole chunk, where rows are not halved.
  void multiply_input(const BackwardRun<T>& run, const Chunk& chunk, const Crew& crew) const;

 private:
  ChunkOperands<T> operands(const BackwardRun<T>& run, const Chunk& chunk, const Range* some) const;
  void multiply_input_rows(const BackwardRun<T>& run, Index t, Index low, Range rows) const;

  const Recurrent& net_;
  const Kernels<T>& k_;
  const BackwardAddresses<T>& addresses_;
  const Rows& rows_;
  bool halves_;
};

}  // namespace bptt

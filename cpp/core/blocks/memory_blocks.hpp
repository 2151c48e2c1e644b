// Memory blocks of Hochreiter and Schmidhuber (1997). The equations are in src/bptt/layers/memory_blocks.py.
//
// The H units of a step come in the order M = K blocks * cells cell inputs, K input gates, K output gates. Rows and
// columns of the recurrent weights have this order: column j < M reads the output of cell j, column j >= M a gate.
// One thread runs everything, because such nets have few units and are trained row by row.
#pragma once

#include "core/addressing.hpp"
#include "core/modifiers/state_clip.hpp"
#include "runtime/interrupt.hpp"

namespace bptt {

struct MemoryBlocks {
  Index input;
  Index blocks;
  Index cells;  // of one block
  Index biases;  // of the last units: of all H, of the 2K gates, or none
  bool squash;  // whether a cell's output is o tanh(s / 2), not o s
  bool truncated;  // whether errors stop at the recurrent weights
  Index chunk;  // the number of steps whose gradients are summed together

  Index outputs() const { return blocks * cells; }
  Index units() const { return blocks * (cells + 2); }
  Index parameters() const { return units() * (input + units()) + biases; }
};

// The arguments of a forward pass, of N rows over time. Null pointers to states are zeros.
template <class T>
struct BlockInputs {
  const T* parameters;  // weight_ih (H, I), weight_hh (H, H), bias
  const T* x;  // (N, I)
  const T* h0;  // (B, M)
  const T* c0;  // (B, H)
  const std::uint8_t* reset;  // (N), or null
};

// The results of all steps.
template <class T>
struct BlockStates {
  T* y;  // (N, M)
  T* c;  // (N, H): states s of the cells, then the activated gates
  T* inner;  // (N, 2M): activated cell inputs, then the squashed s
};

template <class T>
struct BlockErrors {
  const T* dy;  // (N, M), or null
  T* dh;  // (B, M): error of the final state, which becomes that of the initial state
  T* dc;  // (B, H)
  T* dx;  // (N, I), or null
  T* gradients;  // in the order of the parameters, or null
  T* kept;  // (N, M), or null: every dL/dh_t
  double* dh_norm;  // (T), or (N) with `norms_of_rows`
  double* dc_norm;
  const std::uint8_t* cut;  // (N), or null: rows whose error flows back no further
  Index steps;  // largest number of steps to go back
  StateClip clip;
  bool norms_of_rows;
};

// h (B, M) and c (B, H) are the final state.
template <class T>
void blocks_forward(const MemoryBlocks& net, const Rows& rows, const BlockInputs<T>& in, const BlockStates<T>& out,
                    std::pair<T*, T*> final, Interrupt& interrupt);

template <class T>
void blocks_backward(const MemoryBlocks& net, const Rows& rows, const BlockInputs<T>& in, const BlockStates<T>& states,
                     const BlockErrors<T>& errors, Interrupt& interrupt);

}  // namespace bptt

// The arguments of the kernels that run several steps of a small layer in one call.
#pragma once

#include "kernels/index.hpp"

namespace bptt {

inline constexpr Index kMostSmallUnits = 64;

// Steps of a plain cell. Weights are packed by gates. A row of `bias` and `state` has whole vectors of units: `width`
// is H rounded up to a multiple of the lanes.
template <class T>
struct SmallSteps {
  Index steps;
  Index rows;
  Index input;
  Index hidden;
  Index width;
  bool relu;      // of an RNN: in place of tanh
  bool alternates;  // every other step takes the panels from the last to the first
  bool last_first;  // the order in the first step
  const T* x;     // (steps, rows, I)
  const T* w;     // packed (I, G * H)
  const T* u;     // packed (H, G * H)
  const T* bias;  // for each vector of units its gates, and of a GRU b_hn; zero past the last unit
  T* h;           // (rows, H): in and out
  T* c;           // the same of an LSTM, else null
  T* state;       // scratch (3, rows, width)
  T* y;           // (steps, rows, H)
};

}  // namespace bptt

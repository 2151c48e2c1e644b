// The arrays of one modified step, each (rows, width) without gaps; null where no modifier needs one.
#pragma once

#include <cstring>

#include "core/addressing.hpp"
#include "core/pack.hpp"
#include "core/tape/tape.hpp"

namespace bptt {

// Row `row` of an array (rows, width), or null if there is no array.
template <class T>
T* row_of(const Buffer<T>& buffer, Index row, Index width) {
  return buffer.data() ? buffer.data() + row * width : nullptr;
}

// The caller's interventions in the rows of one step.
template <class T>
struct StepInterventions {
  const std::uint8_t* reset;
  const T* recurrent_mask;  // (rows, P)
  const T* keep_h;          // (rows, P)
  const T* keep_c;          // (rows, H)
  const std::uint8_t* cut;
};

// Finds these rows in the caller's arrays.
template <class T>
class InterventionRows {
 public:
  InterventionRows(const Recurrent& net, const Interventions<T>& all, const Rows& rows)
      : net_(net), all_(all), rows_(rows) {}

  // For number layer * directions + direction, at step t, from row `row` on.
  StepInterventions<T> at(const TimeOrder& order, Index number, Index t, Index row) const;

 private:
  const Recurrent& net_;
  const Interventions<T>& all_;
  const Rows& rows_;
};

template <class T>
struct ForwardArrays {
  T* h_prev;     // (P): h' after a reset
  T* h_in;       // (P): h' after recurrent dropout
  T* c_prev;     // (H)
  T* candidate;  // (H): c before zoneout
  T* inner;      // (H): h before its projection
  T* seen;       // (H): c after layer norm
  T* scale_c;    // (1)
  T* hat_hh;     // (G * H): recurrent side of the pre-activations, normalised
  T* scale_hh;   // (2)
};

// The memory of ForwardArrays. With a tape, the tape has the arrays that it keeps.
template <class T>
class ForwardScratch {
 public:
  ForwardScratch(const Recurrent& net, Index rows, bool with_tape);
  ForwardArrays<T> at(Index row) const;
  // With what the tape keeps from its row `tape_row` on.
  ForwardArrays<T> at(Index row, const typename Tape<T>::Direction& tape, Index tape_row) const;

 private:
  Index output_;
  Index hidden_;
  Index columns_;
  Buffer<T> h_prev_, h_in_, c_prev_, candidate_, inner_, seen_, scale_c_, hat_hh_, scale_hh_;
};

template <class T>
struct BackwardArrays {
  T* direct_h;  // (P): the error of h' that flows around the step, through zoneout
  T* direct_c;  // (H)
  T* dinner;    // (H): dL/d(h before its projection)
  T* raw;       // (dgates of the cell alone): gate gradients after layer norm, in the order of the forward pass
  T* h_prev;    // (P)
  T* c_prev;    // (H)
  T* hat_c;     // (H)
  T* seen;      // (H)
  T* scale_c;   // (1)
};

template <class T>
class BackwardScratch {
 public:
  BackwardScratch(const Recurrent& net, Index rows);
  BackwardArrays<T> at(Index row) const;

 private:
  Index output_, hidden_, raw_width_;
  Buffer<T> direct_h_, direct_c_, dinner_, raw_, h_prev_, c_prev_, hat_c_, seen_, scale_c_;
};

// The rows that a step adds to the operands of its chunk's large products.
template <class T>
struct ChunkRows {
  T* h_in;     // (P)
  T* last_in;  // (H): what the last gate's product read, if not h_in
  T* inner;    // (H)
  T* dh;       // (P): dL/d(h after its projection)
  T* error;    // (P): dL/dh_t as a whole, for the caller; or null
};

}  // namespace bptt

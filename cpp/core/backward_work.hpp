// What a backward pass works with: a room for each direction, which the layers use in turn; what each layer and
// direction reads and writes; and where rows lie in all of it.
#pragma once

#include <memory>
#include <vector>

#include "core/around.hpp"

namespace bptt {

// What is needed while a layer and direction are worked on. The next layer finds it free, and in cache.
template <class T>
struct Room {
  std::shared_ptr<BackScratch<T>> scratch;  // of surrounded steps
  Buffer<T> dgates;   // (chunk + 1, B, dgates * H): the last slot is the step before the chunk in the recursion
  Buffer<T> dh;       // (B, P)
  Buffer<T> carry;    // (B, H)
  Buffer<T> sums;     // (B, SumColumns::total)
  Buffer<T> h_in;     // (chunk, B, P), ragged or surrounded: what the products of a chunk's steps started from
  Buffer<T> last_in;  // (chunk, B, H): as in ChunkRows
  Buffer<T> inner;    // (chunk, B, H)
  Buffer<T> dprojected;       // (chunk, B, P)
  std::vector<Buffer<T>> halves;  // (2, summed parameters): what each half of the batch adds to gradients
  Buffer<double> dh_squares;  // (chunk, B, panels)
  Buffer<double> dc_squares;
};

// One layer and direction.
template <class T>
struct Work : Room<T> {
  DirectionParameters<const T> parameters;
  DirectionParameters<T> gradients;
  bool is_first, is_last;  // of the layers
  Index number;  // layer * directions + direction
  Course course;
  Index input;
  const T* x;   // (T, B, input)
  bool x_is_below;  // x is the layer below: slot 0 of its output
  const T* dy;  // (T, B, D * H) or null, this direction's columns
  T* dx;        // (T, B, input) or null: not asked for
  const T* h;   // of slot 0, this direction's columns
  const T* gates;
  const T* c;
  const typename Tape<T>::Direction* kept;
  std::unique_ptr<PackedBackward<T>> packed;
};

// Steps that one set of large products takes together: `steps` of them from time step `low` on.
struct Chunk {
  Index low;
  Index steps;
};

// Where row b lies: what comes from the caller, or goes there, goes step by step, the rest is perhaps halved.
struct BackwardRows {
  const Rows& rows;
  Index chunk;  // the most steps of one
  std::size_t state_bytes;  // of a row

  template <class T>
  const T* x_at(const Work<T>& w, Index t, Index b) const {
    return w.x + (w.x_is_below ? rows.slot(t + 1, b) : rows.base(t) + b) * w.input;
  }
  template <class T>
  Index h_at(const Work<T>& w, Index slot, Index b) const {
    return w.is_last ? rows.slot(slot) + b : rows.slot(slot, b);
  }
  Index between_at(bool callers, Index t, Index b) const { return callers ? rows.base(t) + b : rows.at(t, b); }
  Index state_at(Index b) const { return rows.apart(b, state_bytes); }
  Index states() const { return rows.apart_rows(state_bytes); }
  // In arrays of a chunk that starts with step `low`.
  Index chunk_at(Index t, Index b, Index low) const {
    return rows.halved() ? rows.in_array(chunk + 1, t - low, b) : rows.base(t) - rows.base(low) + b;
  }
  // There, the step before the chunk in the recursion.
  Index kept_at(Index b) const { return rows.halved() ? rows.in_array(chunk + 1, chunk, b) : chunk * rows.batch() + b; }
};

}  // namespace bptt

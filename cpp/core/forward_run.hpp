// One layer and direction of a forward pass: the arrays that it reads and writes, and where rows lie in them.
#pragma once

#include "core/addressing.hpp"
#include "core/pack.hpp"
#include "core/tape/tape.hpp"

namespace bptt {

template <class T>
struct ForwardRun {
  const PackedForward<T>* weights;
  Index number;  // layer * directions + direction
  TimeOrder order;
  const T* x;          // (T, B, input)
  bool x_is_below;     // x is the output of the layer below, from slot 0 on
  T* h;                // the output from slot 0 on, this direction's columns
  T* y = nullptr;      // the caller's output, if h has only the latest slots
  T* gates = nullptr;  // from time step 0 on, or without a whole tape from the chunk's first step on
  T* c = nullptr;      // from slot 0 on, or without a whole tape one row for each row of the batch
  TapeArrays<T>* tape = nullptr;         // or the window of a compact one
  TapeArrays<Compact>* kept = nullptr;   // of a compact tape
  Compact* kept_h = nullptr;             // laid out as h is
  ForwardStep<T> common{};  // the arguments that all steps have in common
  Buffer<T> own_gates{};  // without a tape
  Buffer<T> own_c{};  // without a whole tape
  Buffer<T> own_h{};  // the latest slots
};

// A tape is whole, or compact and seen through a window.
enum class Taped { none, whole, window };

template <class T>
class ForwardAddresses {
 public:
  // `chunk`: the most steps of a chunk.
  ForwardAddresses(const Recurrent& net, const Rows& rows, Index chunk, Taped taped)
      : rows_(rows), hidden_(net.hidden), keeps_gates_(net.tape_gates > 0), chunk_(chunk), taped_(taped),
        width_(net.width()), gates_row_(net.tape_gates ? taped_gates_row<T>(net) : width_) {}

  Index width() const { return width_; }  // of the output
  Index gates_row() const { return gates_row_; }
  Taped taped() const { return taped_; }

  // Row b of step t.
  BPTT_ADDRESS const T* x_at(const ForwardRun<T>& run, Index t, Index b) const {
    return run.x + (run.x_is_below ? rows_.slot(t + 1, b) : rows_.base(t) + b) * run.weights->weight_ih.shape.depth;
  }
  BPTT_ADDRESS T* h_at(const ForwardRun<T>& run, Index slot, Index b) const {
    return run.h + (run.y ? rows_.in_array(chunk_ + 1, slot % (chunk_ + 1), b) : rows_.slot(slot, b)) * width_;
  }
  // In a chunk that starts with step `low`.
  BPTT_ADDRESS T* gates_at(const ForwardRun<T>& run, Index t, Index b, Index low) const {
    if (!keeps_gates_) return h_at(run, t + 1, b);
    return run.gates + gates_row_ * (taped_ == Taped::whole ? rows_.at(t, b)
                                     : rows_.halved()       ? rows_.in_array(chunk_, t - low, b)
                                                            : rows_.base(t) - rows_.base(low) + b);
  }
  BPTT_ADDRESS T* c_at(const ForwardRun<T>& run, Index slot, Index b, Index low) const {
    if (taped_ == Taped::whole) return run.c + rows_.slot(slot, b) * hidden_;
    if (taped_ == Taped::none) return current_c_at(run, b);
    return run.tape->c.data() + (rows_.slot(slot) - rows_.slot(low) + b) * hidden_;
  }
  // The first row of step t in the other arrays of a tape, which are not halved.
  BPTT_ADDRESS Index taped_row(Index t, Index low) const {
    return rows_.base(t) - (taped_ == Taped::window ? rows_.base(low) : 0);
  }
  // Without a tape, c is updated in place. With a window, it holds what one chunk hands to the next one.
  BPTT_ADDRESS T* current_c_at(const ForwardRun<T>& run, Index b) const {
    return run.c + rows_.in_state(b, c_bytes()) * hidden_;
  }
  Index current_c_size() const { return rows_.state_rows(c_bytes()) * hidden_; }
  Index gates_size() const { return chunk_ * rows_.batch() * gates_row_; }
  Index latest_h_size() const { return (chunk_ + 1) * rows_.batch() * width_; }

 private:
  std::size_t c_bytes() const { return static_cast<std::size_t>(hidden_) * sizeof(T); }

  const Rows& rows_;
  Index hidden_;
  bool keeps_gates_;  // or gates are h itself
  Index chunk_;
  Taped taped_;
  Index width_;
  Index gates_row_;
};

}  // namespace bptt

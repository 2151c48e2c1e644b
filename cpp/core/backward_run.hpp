// One layer and direction of a backward pass: the arrays that it reads and writes, and where rows lie in them.
#pragma once

#include <memory>
#include <vector>

#include "core/modifiers/row_sums.hpp"
#include "core/modifiers/step_arrays.hpp"

namespace bptt {

// The memory of one direction. Its layers use it in turn, so that the next layer finds it in cache.
template <class T>
struct BackwardMemory {
  std::shared_ptr<BackwardScratch<T>> scratch;  // of modified steps
  Buffer<T> dgates;      // (chunk + 1, B, dgates * H): the last slot is the step before the chunk in the recursion
  Buffer<T> dh;          // (B, P)
  Buffer<T> carry;       // (B, H)
  Buffer<T> sums;        // (B, RowSums::total)
  Buffer<T> h_in;        // (chunk, B, P), ragged or modified: what the products of a chunk's steps started from
  Buffer<T> last_in;     // (chunk, B, H): as in ChunkRows
  Buffer<T> inner;       // (chunk, B, H)
  Buffer<T> dprojected;  // (chunk, B, P)
  TapeArrays<T> window;  // of a compact tape: see tape_window.hpp. (chunk, B, ...), c (chunk + 2, B, H)
  Buffer<T> window_h;    // (chunk + 2, B, D * P)
  Buffer<T> window_x;    // (chunk, B, input)
  std::vector<Buffer<T>> halves;  // (2, summed parameters): what each half of the batch adds to gradients
  Buffer<double> dh_squares;      // (chunk, B, panels)
  Buffer<double> dc_squares;
};

template <class T>
struct BackwardRun : BackwardMemory<T> {
  DirectionParameters<const T> parameters;
  DirectionParameters<T> gradients{};  // null: not computed
  bool is_first, is_last;  // of the layers
  Index number;            // layer * directions + direction
  TimeOrder order;
  Index input;
  const T* x;       // (T, B, input)
  bool x_is_below;  // x is the output of the layer below, from slot 0 on
  const T* dy;      // (T, B, D * H) or null, this direction's columns
  const T* merged = nullptr;  // (T, B, P) or null: the errors of merged directions, from which dy is made
  T* dx;            // (T, B, input) or null: not needed
  const T* h;       // from slot 0 on, or of a window from the chunk's first slot on, this direction's columns
  const T* c;
  const TapeArrays<T>* tape;  // or the window
  const TapeArrays<Compact>* kept = nullptr;  // of a compact tape
  const Compact* kept_h = nullptr;            // this direction's columns
  const Compact* kept_x = nullptr;            // (T, B, input) or null: x is the caller's
  std::unique_ptr<PackedBackward<T>> weights;
};

// Arrays that come from the caller or go to the caller are stored step by step. Others are halved where the tape is.
template <class T>
class BackwardAddresses {
 public:
  // `chunk`: the most steps of a chunk. `panels`: of units, as a step divides them.
  BackwardAddresses(const Recurrent& net, const Tape<T>& tape, Index chunk, Index panels)
      : net_(net), rows_(tape.rows), hidden_(net.hidden), output_(net.output), width_(net.width()),
        gates_row_(net.tape_gates ? tape.gates_row : 0), windowed_(tape.compact), chunk_(chunk), panels_(panels),
        columns_(net), dgates_row_(padded_row(net.dgates * net.hidden, sizeof(T))) {}

  const Recurrent& net() const { return net_; }
  const Rows& rows() const { return rows_; }
  const RowSums& columns() const { return columns_; }
  Index chunk() const { return chunk_; }
  Index panels() const { return panels_; }
  Index dgates_row() const { return dgates_row_; }

  bool windowed() const { return windowed_; }

  // Row b of step t, or of a slot, in a chunk that starts with step `low`.
  BPTT_ADDRESS const T* x_at(const BackwardRun<T>& run, Index t, Index b, Index low) const {
    if (run.kept_x) return run.x + (rows_.base(t) - rows_.base(low) + b) * run.input;
    return run.x + (run.x_is_below ? rows_.slot(t + 1, b) : rows_.base(t) + b) * run.input;
  }
  BPTT_ADDRESS const T* h_at(const BackwardRun<T>& run, Index slot, Index b, Index low) const {
    if (windowed_) return run.h + in_window(slot, b, low) * width_;
    return run.h + (run.is_last ? rows_.slot(slot) + b : rows_.slot(slot, b)) * width_;
  }
  BPTT_ADDRESS const T* c_at(const BackwardRun<T>& run, Index slot, Index b, Index low) const {
    return run.c + (windowed_ ? in_window(slot, b, low) : rows_.slot(slot, b)) * hidden_;
  }
  // In the arrays of a tape that are not in slots.
  BPTT_ADDRESS Index taped_row(Index t, Index b, Index low) const {
    return windowed_ ? rows_.base(t) - rows_.base(low) + b : rows_.at(t, b);
  }
  BPTT_ADDRESS RowSpan<const T> gates_at(const BackwardRun<T>& run, Index t, Index b, Index low) const {
    if (!gates_row_) return {h_at(run, run.order.slot(t), b, low), width_};
    return {run.tape->gates.data() + taped_row(t, b, low) * gates_row_, gates_row_};
  }
  BPTT_ADDRESS const T* dy_at(const BackwardRun<T>& run, Index t, Index b) const {
    return run.dy ? run.dy + between_at(run.is_last, t, b) * width_ : nullptr;
  }
  BPTT_ADDRESS T* dx_at(const BackwardRun<T>& run, Index t, Index b) const {
    return run.dx + between_at(run.is_first, t, b) * run.input;
  }
  BPTT_ADDRESS T* dh_at(const BackwardRun<T>& run, Index b) const { return run.dh.data() + in_state(b) * output_; }
  BPTT_ADDRESS T* carry_at(const BackwardRun<T>& run, Index b) const {
    return run.carry.data() ? run.carry.data() + in_state(b) * hidden_ : nullptr;
  }

  // Row b in arrays of the current state, and their rows.
  BPTT_ADDRESS Index in_state(Index b) const { return rows_.in_state(b, state_bytes()); }
  Index state_rows() const { return rows_.state_rows(state_bytes()); }
  // Row b of step t in arrays of a chunk that starts with step `low`.
  BPTT_ADDRESS Index in_chunk(Index t, Index b, Index low) const {
    return rows_.halved() ? rows_.in_array(chunk_ + 1, t - low, b) : rows_.base(t) - rows_.base(low) + b;
  }
  // The same for the step before the chunk in the recursion.
  Index before_chunk(Index b) const {
    return rows_.halved() ? rows_.in_array(chunk_ + 1, chunk_, b) : chunk_ * rows_.batch() + b;
  }
  // Rows of a chunk in arrays that are not halved.
  Index rows_in(const Chunk& chunk) const {
    return rows_.base(chunk.high()) + rows_.active(chunk.high()) - rows_.base(chunk.low);
  }

 private:
  std::size_t state_bytes() const { return static_cast<std::size_t>(hidden_) * sizeof(T); }
  BPTT_ADDRESS Index in_window(Index slot, Index b, Index low) const { return rows_.slot(slot) - rows_.slot(low) + b; }
  // Row b in an array of errors between layers, or of the caller.
  BPTT_ADDRESS Index between_at(bool callers, Index t, Index b) const {
    return callers ? rows_.base(t) + b : rows_.at(t, b);
  }

  const Recurrent& net_;
  const Rows& rows_;
  Index hidden_;
  Index output_;
  Index width_;
  Index gates_row_;  // of the tape; 0: gates are h itself
  bool windowed_;    // the tape is compact
  Index chunk_;
  Index panels_;
  RowSums columns_;
  Index dgates_row_;
};

// All layers and directions of a pass, with their memory: allocated before the threads start.
template <class T>
class BackwardRuns {
 public:
  struct Needs {
    bool scratch;  // for modified steps
    bool halves;   // for gradients that two halves of the batch sum separately
  };
  BackwardRuns(const BackwardAddresses<T>& addresses, const BackwardArgs<T>& args, const Tape<T>& tape,
               const Needs& needs);

  T* split_dy() const { return split_dy_.data(); }
  const BackwardRun<T>& at(Index layer, Index d) const {
    return runs_[static_cast<std::size_t>((net_.layers - 1 - layer) * net_.directions + d)];
  }

 private:
  BackwardMemory<T> new_memory(const Needs& needs, bool masks_inputs) const;
  void add_layer(const BackwardArgs<T>& args, const Tape<T>& tape, Index layer);
  void find_tape(const Tape<T>& tape, Index layer, Index d, BackwardRun<T>& run) const;
  void find_window(const Tape<T>& tape, Index layer, Index d, BackwardRun<T>& run) const;
  T* dx_of(const BackwardArgs<T>& args, Index layer);

  const BackwardAddresses<T>& addresses_;
  const Recurrent& net_;
  const Rows& rows_;
  std::vector<BackwardMemory<T>> memories_;  // per direction
  std::vector<BackwardRun<T>> runs_;         // from the top layer
  Buffer<T> between_[2];
  Buffer<T> reverse_dx_;
  Buffer<T> split_dy_;  // of merged directions
  const T* upper_dx_ = nullptr;
};

}  // namespace bptt

// What surrounds a cell's own step where a network asks for it: resets, recurrent dropout, layer norm, the second
// product of a GRU that resets before it, the projection of h, zoneout. The cell stays one fused kernel; all of this is
// done to the rows that it reads and writes, which are in L1 or L2 then.
//
// In the order of a step:  h', c' zero where the row is reset          h_in = h' (.) recurrent mask
//                          a = norm(W x) + norm(U h_in) + biases       the cell: a, h', c' -> h, c; h from norm(c)
//                          c <- keep_c c' + (1 - keep_c) c             h <- W_hr h
//                          h <- keep_h h' + (1 - keep_h) h
// h is made from c before zoneout (Krueger et al. 2017); norms are of the gates together, a GRU's n by itself (Ba,
// Kiros and Hinton 2016).
#pragma once

#include "core/pack.hpp"
#include "core/schedule.hpp"

namespace bptt {

// Columns [begin, end) of the pre-activations that are normalised together.
struct NormGroup {
  Index begin;
  Index end;
  Index number;
};
template <class F>
void for_each_norm_group(const Recurrent& net, F f) {
  const Index columns = net.traits.gates * net.hidden;
  const Index first = net.traits.has_cell_state || net.traits.gates == 1 ? columns : columns - net.hidden;
  f(NormGroup{0, first, 0});
  if (first < columns) f(NormGroup{first, columns, 1});
}

// Of the rows of one step; null where there is none.
template <class T>
struct StepInterventions {
  const std::uint8_t* reset;
  const T* recurrent_mask;  // (rows, P)
  const T* keep_h;  // (rows, P)
  const T* keep_c;  // (rows, H)
};
// Number layer * directions + direction, rows from `row` on of step t.
template <class T>
StepInterventions<T> interventions_at(const Recurrent& net, const Interventions<T>& by, const Rows& rows,
                                      const Course& course, Index number, Index t, Index row);

// Of a dense (rows, width), or null where there is none.
template <class T>
T* row_of(const Buffer<T>& buffer, Index row, Index width) {
  return buffer.data() ? buffer.data() + row * width : nullptr;
}

// (rows, ...), dense: what a step works with beside what its kernel does. Without a tape all of it is scratch.
template <class T>
struct StepArrays {
  T* h_prev;  // (P)
  T* h_in;  // (P)
  T* c_prev;  // (H)
  T* candidate;  // (H): c before zoneout
  T* inner;  // (H): h before its projection
  T* seen;  // (H): c normalised
  T* scale_c;  // (1)
  T* hat_hh;  // (G * H)
  T* scale_hh;  // (2)
};

// Buffers for StepArrays of so many rows; what a tape keeps is taken from there instead.
template <class T>
class StepScratch {
 public:
  StepScratch(const Recurrent& net, Index rows, bool kept);
  StepArrays<T> at(Index row) const;

 private:
  Index output_;
  Index hidden_;
  Index columns_;
  Buffer<T> h_prev_, h_in_, c_prev_, candidate_, inner_, seen_, scale_c_, hat_hh_, scale_hh_;
};

// What a tape keeps of it, from its row `at` on.
template <class T>
void keep_in_tape(const Recurrent& net, const typename Tape<T>::Direction& kept, Index at, StepArrays<T>& arrays);

// The pre-activations' input side, normalised: `out` (rows, G * H) holds W x and gets what the step starts from.
// Null: not kept.
template <class T>
void normalise_input(const Recurrent& net, const Kernels<T>& k, const PackedDirection<T>& packed, Index rows, T* out,
                     Index out_row, T* hat = nullptr, T* scale = nullptr);

// `s` as for the fused kernel alone.
template <class T>
void step_around(const Recurrent& net, const Kernels<T>& k, const PackedDirection<T>& packed, ForwardStep<T> s,
                 const StepInterventions<T>& by, const StepArrays<T>& arrays);

// The columns in which a backward pass sums up, row by row of the batch, what small parameters get; -1: not there.
struct SumColumns {
  explicit SumColumns(const Recurrent& net);
  Index peephole = -1, norm_ih = -1, bias_ih = -1, norm_hh = -1, bias_hh = -1, norm_c = -1, bias_norm_c = -1;
  Index total = 0;

  // All of them to where they belong, in one order of rows.
  template <class T>
  void add_up(const Recurrent& net, const Kernels<T>& k, Index rows, const T* sums,
              const DirectionParameters<T>& to) const;
};

// (rows, ...), dense: what a backward step works with beside what its kernel does.
template <class T>
struct BackArrays {
  T* direct_h;  // (P): what zoneout hands to h' past the step
  T* direct_c;  // (H)
  T* dcell;  // (H): dL/d(h before its projection)
  T* raw;  // (dgates of the cell alone): before layer norm
  T* h_prev;  // (P)
  T* c_prev;  // (H)
  T* hat_c;  // (H)
  T* seen;  // (H)
  T* scale_c;  // (1)
};
template <class T>
class BackScratch {
 public:
  BackScratch(const Recurrent& net, Index rows);
  BackArrays<T> at(Index row) const;

 private:
  Index output_, hidden_, raw_width_;
  Buffer<T> direct_h_, direct_c_, dcell_, raw_, h_prev_, c_prev_, hat_c_, seen_, scale_c_;
};

// The rows of a chunk that large products read, from those of this step on.
template <class T>
struct ChunkRows {
  T* h_in;  // (P)
  T* last_in;  // (H): what the last gate's product read, if not h_in
  T* inner;  // (H)
  T* dh;  // (P): dL/d(h as projected)
  T* error;  // (P): the whole dL/dh_t, for the caller; or null
};

// What the step after this one, whose gate gradients these are, hands back: into dh, and on to carry.
template <class T>
void arrive_around(const Recurrent& net, const Kernels<T>& k, const PackedBackward<T>& packed, Index rows,
                   const T* dgates, Index dgates_row, T* dh, T* carry, const StepInterventions<T>& by,
                   const BackArrays<T>& arrays);

// The step inverted, from dL/dh in b.dh, which is clipped first: `b` as for the kernel alone, without a product.
template <class T>
void invert_around(const Recurrent& net, const Kernels<T>& k, const PackedBackward<T>& packed,
                   const DirectionParameters<const T>& parameters, const StateClip& clip, BackwardStep<T> b,
                   const StepInterventions<T>& by, const typename Tape<T>::Direction& kept, Index at, T* sums,
                   const BackArrays<T>& arrays, const ChunkRows<T>& chunk);

}  // namespace bptt

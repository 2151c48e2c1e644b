// A compact tape keeps numbers in 16 bits. The passes work on a window: arrays of T with the rows of one chunk, in the
// order of the tape. The forward pass copies a window to the tape when the steps of its chunk are done; the backward
// pass copies the tape to a window before they begin. A state that one step hands to the next one is never rounded.
#pragma once

#include "core/backward_run.hpp"
#include "core/forward_run.hpp"
#include "core/modifiers/merge.hpp"
#include "core/schedule.hpp"

namespace bptt {

template <class T>
class TapeWindow {
 public:
  TapeWindow(const Recurrent& net, const Rows& rows, const Kernels<T>& k) : net_(net), rows_(rows), k_(k) {}

  // The part of one thread. Threads that keep to rows of their own keep to them here.
  void keep(const ForwardRun<T>& run, const Chunk& chunk, const Worker& worker) const {
    const Index first_row = rows_.base(chunk.low), first_slot = rows_.slot(chunk.low);
    share(steps_of(chunk), worker, [&](Range rows) {
      const auto copy_rows = [&](Index row, const Buffer<T>& from, const auto& to) {
        copy(size(rows) * row, from.data() + (rows.begin - first_row) * row, to.data() + rows.begin * row);
      };
      for_each_taped<T>(net_, copy_rows, *run.tape, *run.kept);
    });
    // Of a forward recursion, the chunk before it has kept the first slot, with rows that end there.
    const bool all = run.order.reverse || chunk.low == 0;
    share(states_of(run.order, chunk, all), worker, [&](Range slots) {
      for_each_run(slots, [&](Index at, Index count) { copy(count, run.h + at, run.kept_h + at); });
      if (!run.c) return;
      copy(size(slots) * net_.hidden, run.tape->c.data() + (slots.begin - first_slot) * net_.hidden,
           run.kept->c.data() + slots.begin * net_.hidden);
    });
  }

  // Waits for the other threads' parts.
  void restore(const BackwardRun<T>& run, const Chunk& chunk, const Worker& worker) const {
    const Index first_row = rows_.base(chunk.low), first_slot = rows_.slot(chunk.low);
    share(steps_of(chunk), worker, [&](Range rows) {
      const auto copy_rows = [&](Index row, const Buffer<T>& to, const auto& from) {
        copy(size(rows) * row, from.data() + rows.begin * row, to.data() + (rows.begin - first_row) * row);
      };
      for_each_taped<T>(net_, copy_rows, run.window, *run.kept);
      if (!run.kept_x) return;
      const Index I = run.input;
      copy(size(rows) * I, run.kept_x + rows.begin * I, run.window_x.data() + (rows.begin - first_row) * I);
    });
    share(states_of(run.order, chunk, true), worker, [&](Range slots) {
      T* const h = run.window_h.data() + run.number % net_.directions * net_.output;
      const Index origin = first_slot * net_.width();
      for_each_run(slots, [&](Index at, Index count) { copy(count, run.kept_h + at, h + (at - origin)); });
      if (!run.c) return;
      copy(size(slots) * net_.hidden, run.kept->c.data() + slots.begin * net_.hidden,
           run.window.c.data() + (slots.begin - first_slot) * net_.hidden);
    });
    if (!worker.keeps_own_rows) worker.crew.sync();
  }

  // As merge::backward, for rows of all steps. `scratch` has a row of h.
  void split_errors(const BackwardRun<T>& run, Range rows, T* scratch, T* dh) const {
    for (Index row = rows.begin; row < rows.end; ++row, dh += net_.width()) {
      copy(net_.width(), run.kept_h + (rows_.batch() + row) * net_.width(), scratch);
      merge::backward(net_, 1, run.merged + row * net_.output, scratch, dh);
    }
  }

 private:
  static Index size(Range rows) { return rows.end - rows.begin; }
  void copy(Index n, const T* from, Compact* to) const { k_.compact(n, from, to); }
  void copy(Index n, const Compact* from, T* to) const { k_.expand(n, from, to); }
  template <class From, class To>
  void copy(Index n, const From* from, To* to) const {
    std::copy(from, from + n, to);
  }

  Range steps_of(const Chunk& chunk) const { return {rows_.base(chunk.low), rows_.base(chunk.high() + 1)}; }
  // The states that the steps of a chunk start from and end with, as rows in slots; with or without the first slot.
  Range states_of(const TimeOrder& order, const Chunk& chunk, bool all) const {
    const Index first = chunk.low + (order.reverse || !all ? 1 : 0);
    const Index end = chunk.high() + (order.reverse ? 3 : 2);
    return {rows_.slot(first), end > rows_.time() + 1 ? rows_.slots() : rows_.slot(end)};
  }

  // Calls visit for the thread's part of these rows of whole steps.
  template <class Visit>
  void share(Range rows, const Worker& worker, Visit visit) const {
    const Index each = worker.keeps_own_rows ? rows_.batch() : size(rows);
    for (Index step = rows.begin; step < rows.end; step += each) {
      const Range mine = worker.crew.slice_of(each);
      visit(Range{step + mine.begin, step + mine.end});
    }
  }

  // Calls visit(first element, elements) for the columns of one direction in rows of h.
  template <class Visit>
  void for_each_run(Range rows, Visit visit) const {
    if (net_.directions == 1) return visit(rows.begin * net_.output, size(rows) * net_.output);
    for (Index row = rows.begin; row < rows.end; ++row) visit(row * net_.width(), net_.output);
  }

  const Recurrent& net_;
  const Rows& rows_;
  const Kernels<T>& k_;
};

}  // namespace bptt

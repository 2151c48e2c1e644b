// The states at both ends of a forward recursion: from the caller's arrays into the first slots, and from the last
// slots to the caller's arrays. Rows of unequal length end at different steps, and in reverse they start there.
#pragma once

#include <cstring>

#include "core/forward_run.hpp"

namespace bptt {

template <class T>
class EndStates {
 public:
  EndStates(const Recurrent& net, const ForwardArgs<T>& args, const Rows& rows, const ForwardAddresses<T>& addresses)
      : net_(net), args_(args), rows_(rows), addresses_(addresses) {}

  // The initial state of some rows.
  void load(const ForwardRun<T>& run, Range mine) const {
    if (rows_.ragged()) clear_padding(run, mine);
    const States from = initial(run);
    for_each_end(run.order, all(), true, mine, [&](Range rows, Index slot) {
      const Index count = rows.end - rows.begin;
      const RowSpan<T> h{addresses_.h_at(run, slot, rows.begin), addresses_.width()};
      copy(count, net_.output, {row_of(from.h, rows.begin, net_.output), net_.output}, h);
      if (run.c && keeps_c()) copy_c(count, row_of(from.c, rows.begin), addresses_.c_at(run, slot, rows.begin, 0));
    });
    if (!run.c || keeps_c()) return;
    rows_.for_each_part(mine, [&](Range rows) {
      copy_c(rows.end - rows.begin, row_of(from.c, rows.begin), addresses_.current_c_at(run, rows.begin));
    });
  }

  // Their final state. Rows without a step keep their initial state.
  void store(const ForwardRun<T>& run, Range mine) const {
    const States from = initial(run);
    T* h = args_.h + run.number * rows_.batch() * net_.output;
    T* c = args_.c ? args_.c + run.number * rows_.batch() * net_.hidden : nullptr;
    const auto put = [&](Range rows, RowSpan<const T> h_from, const T* c_from) {
      const Index count = rows.end - rows.begin;
      copy(count, net_.output, h_from, {h + rows.begin * net_.output, net_.output});
      if (run.c && keeps_c()) copy_c(count, c_from, c + rows.begin * net_.hidden);
    };
    rows_.for_each_part({std::max(rows_.active(0), mine.begin), mine.end}, [&](Range idle) {
      put(idle, {row_of(from.h, idle.begin, net_.output), net_.output}, row_of(from.c, idle.begin));
    });
    for_each_end(run.order, all(), false, mine, [&](Range rows, Index slot) {
      put(rows, {addresses_.h_at(run, slot, rows.begin), addresses_.width()},
          run.c && keeps_c() ? addresses_.c_at(run, slot, rows.begin, 0) : nullptr);
    });
    if (!run.c || keeps_c()) return;
    rows_.for_each_part(mine, [&](Range rows) {
      copy_c(rows.end - rows.begin, addresses_.current_c_at(run, rows.begin), c + rows.begin * net_.hidden);
    });
  }

  // The current c of rows that enter a chunk, to the slots of a window; and back, of rows that leave it.
  void enter_chunk(const ForwardRun<T>& run, const Chunk& chunk, Range mine) const {
    if (!run.c) return;
    for_each_end(run.order, chunk, true, mine, [&](Range rows, Index slot) {
      copy_c(rows.end - rows.begin, addresses_.current_c_at(run, rows.begin),
             addresses_.c_at(run, slot, rows.begin, chunk.low));
    });
  }
  void leave_chunk(const ForwardRun<T>& run, const Chunk& chunk, Range mine) const {
    if (!run.c) return;
    for_each_end(run.order, chunk, false, mine, [&](Range rows, Index slot) {
      copy_c(rows.end - rows.begin, addresses_.c_at(run, slot, rows.begin, chunk.low),
             addresses_.current_c_at(run, rows.begin));
    });
  }

 private:
  Chunk all() const { return {0, rows_.time()}; }
  bool keeps_c() const { return addresses_.taped() == Taped::whole; }  // c of all steps

  struct States {
    const T* h;
    const T* c;
  };
  States initial(const ForwardRun<T>& run) const {
    const Index first = run.number * rows_.batch();
    return {args_.h0 ? args_.h0 + first * net_.output : nullptr, args_.c0 ? args_.c0 + first * net_.hidden : nullptr};
  }
  static const T* row_of(const T* states, Index b, Index width) { return states ? states + b * width : nullptr; }
  const T* row_of(const T* states, Index b) const { return row_of(states, b, net_.hidden); }

  // `from` may be null: zeros.
  static void copy(Index rows, Index width, RowSpan<const T> from, RowSpan<T> to) {
    for (Index b = 0; b < rows; ++b) {
      if (from.data) {
        std::memcpy(to.data + b * to.row, from.data + b * from.row, static_cast<std::size_t>(width) * sizeof(T));
      } else {
        std::memset(to.data + b * to.row, 0, static_cast<std::size_t>(width) * sizeof(T));
      }
    }
  }
  void copy_c(Index rows, const T* from, T* to) const {
    copy(rows, net_.hidden, {from, net_.hidden}, {to, net_.hidden});
  }

  // Calls visit(rows, slot) for those of `mine` whose recursion in a chunk starts (or else ends) with the state in that
  // slot.
  template <class Visit>
  void for_each_end(const TimeOrder& order, const Chunk& chunk, bool starts, Range mine, Visit visit) const {
    const auto visit_mine = [&](Index begin, Index end, Index slot) {
      const Range rows{std::max(begin, mine.begin), std::min(end, mine.end)};
      rows_.for_each_part(rows, [&](Range part) { visit(part, slot); });
    };
    const Index low = chunk.low, high = chunk.high();
    if (order.reverse != starts) {  // all at the front of the chunk; rows without a step, too, start the sequence
      visit_mine(0, starts && low == 0 ? rows_.batch() : rows_.active(low), starts ? low : low + 1);
      return;
    }
    for (Index t = high; t >= low; --t)
      visit_mine(t == high ? 0 : rows_.active(t + 1), rows_.active(t), starts ? t + 2 : t + 1);
  }

  // Padding takes part in large products, with factors of zero: it must not hold a NaN.
  void clear_padding(const ForwardRun<T>& run, Range mine) const {
    for (Index t = 0; t < rows_.time(); ++t) {
      const Range padding{std::max(rows_.active(t), mine.begin), std::min(rows_.allocated(t), mine.end)};
      copy(padding.end - padding.begin, net_.output, {nullptr, 0},
           {addresses_.h_at(run, t + 1, padding.begin), addresses_.width()});
    }
  }

  const Recurrent& net_;
  const ForwardArgs<T>& args_;
  const Rows& rows_;
  const ForwardAddresses<T>& addresses_;
};

}  // namespace bptt

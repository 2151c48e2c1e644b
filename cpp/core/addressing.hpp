// Where rows lie in memory: distances between rows, which rows of a batch run at which step, and the order of steps.
//
// Rows of unequal length are sorted, longest first: those that still run at step t are the first active(t), in both
// directions. Every kernel then sees rows without gaps, and the work follows the lengths.
//
// Arrays over time allocate, at step t, the rows of the step before: the reverse direction starts rows at step t - 1
// from a state that lies at step t. Rows past active(t) are padding. They hold zeros, or an initial state.
//
// The library's own arrays may store the two halves of a dense batch one after the other. Threads that work on one half
// each then write far from each other. Otherwise a core would prefetch rows that another core is about to write.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "kernels/table.hpp"
#include "runtime/team.hpp"

namespace bptt {

// Addresses are computed at every step: a step of a tiny network takes no more than 100 ns.
#define BPTT_ADDRESS __attribute__((always_inline)) inline

// Rows of a matrix: the first row, and the elements from one row to the next.
template <class T>
struct RowSpan {
  T* data;
  Index row;
};

// The distance between rows of `width` elements: an odd number of cache lines. A column of rows whose distance is a
// large power of two falls into a few cache sets, whose lines evict one another. Short rows have no gaps.
inline Index padded_row(Index width, std::size_t element) {
  const Index line = static_cast<Index>(64 / element);
  const Index lines = (width + line - 1) / line;
  return lines < 8 ? width : (lines | 1) * line;
}

// Whether a column of rows at this distance has less than a thousand lines to stay in, in a level-2 cache of 1 MiB.
inline bool shares_cache_sets(Index row, std::size_t element) {
  return static_cast<std::size_t>(row) * element % 2048 == 0;
}

class Rows {
 public:
  Rows(Index time, Index batch) : time_(time), batch_(batch) {}
  // active: the rows of each step, never rising, at most `batch`.
  Rows(Index time, Index batch, const Index* active) : time_(time), batch_(batch), active_(active, active + time) {
    base_.reserve(static_cast<std::size_t>(time) + 1);
    base_.push_back(0);
    for (Index t = 0; t < time; ++t) base_.push_back(base_.back() + allocated(t));
  }

  // Whether `active` never rises, and stays within 0..batch.
  static bool valid(Index time, Index batch, const Index* active) {
    for (Index t = 0; t < time; ++t) {
      if (active[t] < 0 || active[t] > (t == 0 ? batch : active[t - 1])) return false;
    }
    return true;
  }

  Index time() const { return time_; }
  Index batch() const { return batch_; }
  bool ragged() const { return !base_.empty(); }

  // Rows that run at step t; none before and after the sequence.
  Index active(Index t) const {
    if (t < 0 || t >= time_) return 0;
    return ragged() ? active_[static_cast<std::size_t>(t)] : batch_;
  }
  // Rows that an array has at step t, padding included.
  Index allocated(Index t) const { return t == 0 ? batch_ : active(t - 1); }

  void halve() { halved_ = true; }
  bool halved() const { return halved_; }
  Index middle() const { return batch_ / 2; }

  // Calls visit(part) for the parts of `rows` that are stored without a gap.
  template <class Visit>
  void for_each_part(Range rows, Visit visit) const {
    const Index middle = halved_ ? std::max(rows.begin, std::min(this->middle(), rows.end)) : rows.end;
    if (rows.begin < middle) visit(Range{rows.begin, middle});
    if (middle < rows.end) visit(Range{middle, rows.end});
  }
  // Rows from row b at one step to row b at the next step, of a dense batch.
  Index stride(Index b) const { return !halved_ ? batch_ : b < middle() ? middle() : batch_ - middle(); }
  // Row b at step `step` of an array over `steps` steps.
  BPTT_ADDRESS Index in_array(Index steps, Index step, Index b) const {
    if (!halved_) return step * batch_ + b;
    const Index first = b < middle() ? 0 : middle();
    return first * steps + step * stride(b) + b - first;
  }
  // Row b of an array of one step, and the rows of that array. Its halves have a gap as long as cores prefetch.
  Index in_state(Index b, std::size_t row_bytes) const { return b < middle() ? b : b + gap(row_bytes); }
  Index state_rows(std::size_t row_bytes) const { return batch_ + gap(row_bytes); }

  // Rows of an array over time before step t; base(time()) is all rows.
  Index base(Index t) const { return ragged() ? base_[static_cast<std::size_t>(t)] : t * batch_; }
  Index total() const { return base(time_); }
  BPTT_ADDRESS Index at(Index t, Index b) const { return halved_ ? in_array(time_, t, b) : base(t) + b; }

  // The same for an array of states: slot 0 is before the sequence, slot t + 1 after step t, and one slot follows.
  BPTT_ADDRESS Index slot(Index s) const { return s == 0 ? 0 : batch_ + base(s - 1); }
  BPTT_ADDRESS Index slot(Index s, Index b) const { return halved_ ? in_array(time_ + 2, s, b) : slot(s) + b; }
  Index slots() const { return batch_ + total() + (time_ > 0 ? active(time_ - 1) : batch_); }

 private:
  static constexpr std::size_t kPrefetchBytes = 8192;  // as far as a core fetches what the program did not ask for
  Index gap(std::size_t row_bytes) const { return halved_ ? static_cast<Index>(kPrefetchBytes / row_bytes) + 1 : 0; }

  Index time_;
  Index batch_;
  bool halved_ = false;
  std::vector<Index> active_;
  std::vector<Index> base_;
};

// The order in which a direction reads time: step number s = 0..T-1 of the recursion is time step at(s).
struct TimeOrder {
  Index time;
  bool reverse;

  Index at(Index s) const { return reverse ? time - 1 - s : s; }
  Index slot(Index t) const { return t + 1; }  // of h_t and c_t in an array of states
  Index slot_before(Index t) const { return reverse ? t + 2 : t; }  // of the state that step t starts from
};

// Steps that large products take together: `steps` time steps from `low` on.
struct Chunk {
  Index low;
  Index steps;

  Index high() const { return low + steps - 1; }
};

// The chunk of steps [begin, end) of the recursion.
inline Chunk chunk_of(const TimeOrder& order, Index begin, Index end) {
  return {std::min(order.at(begin), order.at(end - 1)), end - begin};
}

}  // namespace bptt

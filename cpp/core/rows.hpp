// Which rows of a batch run at which step. Rows of unequal length come longest first: those still running at step t are
// the first active(t), in both directions, so that every kernel sees dense rows and the work follows the lengths.
//
// Arrays over time have room at step t for the rows of the step before, because the reverse direction starts rows at
// step t - 1 from a state that lies at step t. What is room only holds zeros, or an initial state.
//
// Arrays of the library's own may have the two halves of a dense batch one after the other, each step by step. Threads
// that work on one half each are then far apart: where they take turns at every step, what a core fetches ahead beyond
// its own rows are rows that another core is about to write.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/table.hpp"
#include "runtime/team.hpp"

namespace bptt {

class Rows {
 public:
  Rows(Index time, Index batch) : time_(time), batch_(batch) {}
  // active: per step, never rising, at most `batch`.
  Rows(Index time, Index batch, const Index* active) : time_(time), batch_(batch), active_(active, active + time) {
    base_.reserve(static_cast<std::size_t>(time) + 1);
    base_.push_back(0);
    for (Index t = 0; t < time; ++t) base_.push_back(base_.back() + room(t));
  }

  Index time() const { return time_; }
  Index batch() const { return batch_; }
  bool ragged() const { return !base_.empty(); }

  // Rows at step t; none before and after the sequence.
  Index active(Index t) const {
    if (t < 0 || t >= time_) return 0;
    return ragged() ? active_[static_cast<std::size_t>(t)] : batch_;
  }
  Index room(Index t) const { return t == 0 ? batch_ : active(t - 1); }

  void halve() { halved_ = true; }
  bool halved() const { return halved_; }
  Index middle() const { return batch_ / 2; }

  // Calls visit(part) for those parts of some rows whose steps lie together.
  template <class Visit>
  void for_each_part(Range rows, Visit visit) const {
    const Index middle = halved_ ? std::max(rows.begin, std::min(this->middle(), rows.end)) : rows.end;
    if (rows.begin < middle) visit(Range{rows.begin, middle});
    if (middle < rows.end) visit(Range{middle, rows.end});
  }
  // From row b at one step to itself at the next, of a dense batch.
  Index stride(Index b) const { return !halved_ ? batch_ : b < middle() ? middle() : batch_ - middle(); }
  // Row b at step `step` of an array over so many steps.
  Index in_array(Index steps, Index step, Index b) const {
    if (!halved_) return step * batch_ + b;
    const Index first = b < middle() ? 0 : middle();
    return first * steps + step * stride(b) + b - first;
  }
  // Row b of an array of one step, whose halves are as far apart as cores look ahead.
  Index apart(Index b, std::size_t row_bytes) const { return b < middle() ? b : b + gap(row_bytes); }
  Index apart_rows(std::size_t row_bytes) const { return batch_ + gap(row_bytes); }

  // Rows of an array over time that lie before step t; base(time()) is all of them.
  Index base(Index t) const { return ragged() ? base_[static_cast<std::size_t>(t)] : t * batch_; }
  Index total() const { return base(time_); }
  Index at(Index t, Index b) const { return halved_ ? in_array(time_, t, b) : base(t) + b; }

  // The same of a state array: slot 0 lies before the sequence, slot t + 1 after step t, and one more behind.
  Index slot(Index s) const { return s == 0 ? 0 : batch_ + base(s - 1); }
  Index slot(Index s, Index b) const { return halved_ ? in_array(time_ + 2, s, b) : slot(s) + b; }
  Index slots() const { return batch_ + total() + (time_ > 0 ? active(time_ - 1) : batch_); }

 private:
  static constexpr std::size_t kLooksAhead = 8192;  // bytes: as far as a core fetches what it was not asked for
  Index gap(std::size_t row_bytes) const { return halved_ ? static_cast<Index>(kLooksAhead / row_bytes) + 1 : 0; }

  Index time_;
  Index batch_;
  bool halved_ = false;
  std::vector<Index> active_;
  std::vector<Index> base_;
};

}  // namespace bptt

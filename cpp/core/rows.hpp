// Which rows of a batch run at which step. Rows of unequal length come longest first: those still running at step t are
// the first active(t), in both directions, so that every kernel sees dense rows and the work follows the lengths.
//
// Arrays over time have room at step t for the rows of the step before, because the reverse direction starts rows at
// step t - 1 from a state that lies at step t. What is room only holds zeros, or an initial state.
#pragma once

#include <vector>

#include "kernels/table.hpp"

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

  // Rows of an array over time that lie before step t; base(time()) is all of them.
  Index base(Index t) const { return ragged() ? base_[static_cast<std::size_t>(t)] : t * batch_; }
  Index total() const { return base(time_); }

  // The same of a state array: slot 0 lies before the sequence, slot t + 1 after step t, and one more behind.
  Index slot(Index s) const { return s == 0 ? 0 : batch_ + base(s - 1); }
  Index slots() const { return batch_ + total() + (time_ > 0 ? active(time_ - 1) : batch_); }

 private:
  Index time_;
  Index batch_;
  std::vector<Index> active_;
  std::vector<Index> base_;
};

}  // namespace bptt

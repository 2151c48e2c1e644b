// The schedule of a pass: how many threads it gets, how they are grouped over directions, how a group divides a step,
// and how many steps go into a chunk. The schedule changes no bit of any result.
#pragma once

#include <algorithm>
#include <deque>

#include "core/recurrent.hpp"
#include "runtime/isa.hpp"
#include "runtime/team.hpp"

namespace bptt {

// The threads that work on one direction together.
struct Crew {
  int index;
  int size;
  Barrier* barrier;

  void sync() const {
    if (size > 1) barrier->wait();
  }
  Range slice_of(Index count) const { return bptt::slice_of(count, index, size); }
  bool leads() const { return index == 0; }
};

// How a crew divides one time step. By rows there is nothing to wait for between steps; by units every step ends with
// a barrier, but each thread reads only its part of the recurrent weights.
enum class Split { rows, units, leader_only };

// One thread's part in the recursions that its crew runs.
struct Worker {
  Crew crew;
  Split split;
  bool keeps_own_rows;  // also in large products over a chunk: it does not wait between its steps
  bool polls;           // for an interrupt
};

class Schedule {
 public:
  Schedule(const Recurrent& net, Index time, Index batch, std::size_t element)
      : directions_(static_cast<int>(net.directions)), time_(time), batch_(batch) {
    const double step =
        2.0 * static_cast<double>(batch * net.traits.gates * net.hidden) * static_cast<double>(net.hidden + net.input);
    const double total = step * static_cast<double>(time * net.layers * net.directions);
    const std::size_t stored = bytes_of_weight(net.options.precision, element);
    recurrent_bytes_ = static_cast<std::size_t>(net.traits.gates * net.hidden * net.hidden) * stored;
    weights_bytes_ =
        static_cast<std::size_t>(net.traits.gates * net.hidden * std::max(net.input, net.y_width())) * stored;
    step_flops_ = step;
    poll_steps_ = std::max<Index>(1, static_cast<Index>(kPollFlops / std::max(1.0, step)));
    threads_ = total < kWorthATeam ? 1 : get_num_threads();
    const Index width = net.traits.gates * net.hidden * static_cast<Index>(element);
    const Index in_cache = kChunkBytes / width;
    chunk_rows_ = in_cache < kLeastChunkRows ? std::clamp(kLongChunkBytes / width, kLeastChunkRows, kLongestChunkRows)
                                             : std::min(in_cache, kMostChunkRows);
    const Index least = recurrent_bytes_ <= kSharedCache ? kLeastChunkRows / 2 : kLeastChunkRows;
    projected_rows_ = std::clamp<Index>(in_cache / 2, least, kMostChunkRows);
    for (int d = 0; d < groups(threads_); ++d) barriers_.emplace_back(group_size(d, threads_));
    all_.emplace_back(threads_);
  }

  int threads() const { return threads_; }

  // Fused, the gates never leave L1 between projection and step, but the input weights are read once a step, in panels
  // of one vector a gate. That pays with weights in L2 and enough rows to a panel; and for a step by itself, but where
  // three vectors hide less latency than four, and going back and forth through large weights does not make up for it.
  bool fuses_projection(const Recurrent& net, int lanes) const {
    const bool full_panels = net.traits.gates == 4 && net.hidden % lanes == 0;
    const bool many_rows = batch_ >= kFusedRows * threads_ && recurrent_bytes_ <= kPrivateCache;
    return time_ == 1 ? net.traits.gates != 3 || alternates() : full_panels && many_rows;
  }

  // Whether every other step goes through the weights from back to front, and finds in L2 what the one before ended
  // with. Where all of them fit, it would only wait for the part of h that was written last.
  bool alternates() const { return recurrent_bytes_ > kPrivateCache / 2; }

  // Steps of a chunk: what its gate gradients, and forward its projections, need stays in L2 while it is worked on.
  // Gate gradients that would not in any case come in long chunks: weight gradients, which are larger still, are then
  // touched less often.
  // Sums over a chunk are rounded as its size says, so that of the backward pass depends on shapes alone.
  Index chunk_steps() const { return steps_of(chunk_rows_); }
  Index projected_steps() const { return steps_of(projected_rows_); }

  // Whether weight gradients are summed over the two halves of the batch separately, so that the threads that have
  // written these rows need not wait. With narrow weights, rows are more data to move between cores than sums. Decided
  // by shapes alone, because it changes how sums are rounded.
  bool sums_halves(const Recurrent& net) const {
    return batch_ >= kLeastHalved && batch_ <= kMostHalved && weights_bytes_ <= kPrivateCache / 2 &&
           !net.options.layer_norm;
  }

  // Whether a pass also stores the two halves separately, because each thread keeps to rows of one half. The output
  // must then be copied, which costs more than it gains where steps are long. `plain`: no option changes the cell's
  // equations.
  bool stores_halves(const Recurrent& net, const Rows& rows, bool plain) const {
    return threads_ % 2 == 0 && batch_ >= kLeastRows * threads_ && directions_ == 1 && !rows.ragged() && plain &&
           step_flops_ <= kShortStep && sums_halves(net);
  }

  // Floating-point operations of one step of one layer and direction.
  double step_flops() const { return step_flops_; }

  // Steps between two looks at whether to stop: a few milliseconds of one core.
  Index poll_steps() const { return poll_steps_; }

  // The team may have fewer threads than wanted: then it has one thread, which never waits.
  Crew everyone(int index, int threads) { return {index, threads, &all_.front()}; }
  Crew crew(int index, int threads) {
    if (groups(threads) == 1) return {index, threads, &barriers_.front()};
    const int first = group_size(0, threads);
    return index < first ? Crew{index, first, &barriers_[0]} : Crew{index - first, threads - first, &barriers_[1]};
  }
  // Whether the thread's crew works on this direction.
  bool works_on(int index, int threads, Index direction) const {
    if (groups(threads) == 1) return true;
    return (index < group_size(0, threads)) == (direction == 0);
  }

  // `panels`: of units, as a step divides them. `whole_rows`: a step looks at all units of a row together.
  Worker worker(int index, int threads, const Rows& rows, Index panels, bool whole_rows) {
    const Crew own = crew(index, threads);
    const Split how = split(own, panels, whole_rows);
    return {own, how, keeps_own_rows(how, own, rows), index == 0};
  }

 private:
  // Whether threads that divide steps by rows keep to those rows in large products over a chunk, too, step by step:
  // each finds what it wrote in its core's cache, and none waits. Not with weights of more than half of L2, which
  // every few rows would read again.
  bool keeps_own_rows(Split split, const Crew& crew, const Rows& rows) const {
    return split == Split::rows && crew.size > 1 && weights_bytes_ <= kPrivateCache / 2 && !rows.ragged();
  }

  Split split(const Crew& crew, Index panels, bool whole_rows) const {
    if (crew.size == 1) return Split::rows;
    const bool rows = batch_ >= kLeastRows * crew.size;
    const bool units = !whole_rows && panels >= crew.size && step_flops_ >= kWorthABarrier;
    if (rows && (recurrent_bytes_ <= kPrivateCache || batch_ >= kComputeBound * crew.size || !units)) {
      return Split::rows;
    }
    if (units) return Split::units;
    return batch_ >= kFewestRows * crew.size ? Split::rows : Split::leader_only;
  }

  static constexpr double kWorthATeam = 4e6;    // floating-point operations: some 40 microseconds of one core
  static constexpr double kWorthABarrier = 4e5;  // of a step: a barrier costs about a microsecond
  static constexpr double kShortStep = 1.2e7;    // of a step: some 50 microseconds of one core
  static constexpr double kPollFlops = 2e7;
  static constexpr Index kFusedRows = 16;       // of a thread
  static constexpr Index kLeastRows = 6;        // of a thread: one tile
  static constexpr Index kFewestRows = 2;       // where units are not worth a barrier either
  static constexpr Index kComputeBound = 32;    // rows from which streaming the weights no longer limits
  static constexpr Index kLeastHalved = 32;     // rows
  static constexpr Index kMostHalved = 1024;    // as many fit into one block of a transposed product
  static constexpr std::size_t kPrivateCache = 1600000;
  static constexpr std::size_t kSharedCache = 8 << 20;
  static constexpr Index kChunkBytes = 1 << 20;
  static constexpr Index kLeastChunkRows = 256;
  static constexpr Index kMostChunkRows = 512;
  static constexpr Index kLongChunkBytes = 8 << 20;  // of L3
  static constexpr Index kLongestChunkRows = 1024;

  // A weight in the products' precision, where the CPU has an instruction for it.
  static std::size_t bytes_of_weight(Precision precision, std::size_t element) {
    return precision == Precision::highest ? element : precision == Precision::bfloat16 ? 2 : 1;
  }

  Index steps_of(Index rows) const { return std::max<Index>(1, rows / std::max<Index>(1, batch_)); }
  int groups(int threads) const { return directions_ == 2 && threads >= 2 ? 2 : 1; }
  int group_size(int group, int threads) const {
    if (groups(threads) == 1) return threads;
    return group == 0 ? (threads + 1) / 2 : threads / 2;
  }

  int directions_;
  Index time_;
  Index batch_;
  Index chunk_rows_;
  Index projected_rows_;
  int threads_;
  double step_flops_;
  Index poll_steps_;
  std::size_t recurrent_bytes_;
  std::size_t weights_bytes_;  // of the widest layer's input
  std::deque<Barrier> barriers_;
  std::deque<Barrier> all_;
};

}  // namespace bptt

// The norms of the errors dL/dh_t and dL/dc_t over time, from the squares that the steps of a chunk have summed: for
// each step, or for each row of each step.
#pragma once

#include "core/backward_run.hpp"
#include "core/schedule.hpp"
#include "core/timeless/error_norm.hpp"

namespace bptt {

template <class T>
class NormsOverTime {
 public:
  NormsOverTime(const BackwardAddresses<T>& addresses, const BackwardArgs<T>& args)
      : addresses_(addresses), rows_(addresses.rows()), args_(args) {}

  // Zeros before step `first`, which the pass does not go back to. Of rows: zeros everywhere, also in padding.
  void start(const BackwardRun<T>& run, Index first) const {
    const Index count = args_.norms_of_rows ? rows_.total() : first;
    for (Index at = 0; at < count; ++at) record(run, at, {}, {});
  }

  void collect(const BackwardRun<T>& run, const Chunk& chunk, const Crew& crew) const {
    const Range mine = crew.slice_of(chunk.steps);
    for (Index t = chunk.low + mine.begin; t < chunk.low + mine.end; ++t) {
      const Index active = rows_.active(t);
      if (!args_.norms_of_rows) {
        record(run, t, norm_of(run.dh_squares, t, {0, active}, chunk.low),
               norm_of(run.dc_squares, t, {0, active}, chunk.low));
        continue;
      }
      for (Index b = 0; b < active; ++b) {
        record(run, rows_.base(t) + b, norm_of(run.dh_squares, t, {b, b + 1}, chunk.low),
               norm_of(run.dc_squares, t, {b, b + 1}, chunk.low));
      }
    }
  }

 private:
  // From the squares of some rows at step t.
  ErrorNorm norm_of(const Buffer<double>& squares, Index t, Range some, Index low) const {
    ErrorNorm norm;
    if (!squares.data()) return norm;
    rows_.for_each_part(some, [&](Range rows) {
      const Index begin = addresses_.in_chunk(t, rows.begin, low) * addresses_.panels();
      const Index end = begin + (rows.end - rows.begin) * addresses_.panels();
      for (Index i = begin; i < end; ++i) norm.add(squares.data()[i]);
    });
    return norm;
  }

  // `at`: a step, or a row over time.
  void record(const BackwardRun<T>& run, Index at, const ErrorNorm& dh, const ErrorNorm& dc) const {
    const Index place = run.number * (args_.norms_of_rows ? rows_.total() : rows_.time()) + at;
    args_.dh_norm[place] = dh.value();
    if (args_.dc_norm) args_.dc_norm[place] = dc.value();
  }

  const BackwardAddresses<T>& addresses_;
  const Rows& rows_;
  const BackwardArgs<T>& args_;
};

}  // namespace bptt

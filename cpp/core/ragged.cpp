#include "core/ragged.hpp"

#include <algorithm>
#include <cstring>

#include "core/timeless/error_norm.hpp"
#include "runtime/past_cache.hpp"
#include "runtime/team.hpp"

namespace bptt {
namespace {

constexpr Index kWorthATeam = 1 << 20;  // bytes
constexpr Index kPastCache = 4 << 20;   // more than any L2 holds, and not worth a part of L3
constexpr Index kStepsAtATime = 16;

struct ThroughCache {
  void copy(char* to, const char* from, std::size_t size) const { std::memcpy(to, from, size); }
  void clear(char* to, std::size_t size) const { std::memset(to, 0, size); }
};

// Calls visit(t, writer) for all steps, which threads take in turns: the first ones have more rows than the last.
template <class Writer, class Visit>
void for_each_step(const Rows& rows, Index bytes, Visit visit) {
  run_team(bytes < kWorthATeam ? 1 : get_num_threads(), [&](int index, int threads) {
    const Writer writer;
    for (Index begin = index * kStepsAtATime; begin < rows.time(); begin += threads * kStepsAtATime) {
      for (Index t = begin; t < std::min(begin + kStepsAtATime, rows.time()); ++t) visit(t, writer);
    }
  });
}

// The packed row of each row b at each time step t, at t * batch + b; -1: the row skips this step, or has ended.
std::vector<Index> packed_rows(const Rows& rows, const RowPlaces& places) {
  std::vector<Index> packed(static_cast<std::size_t>(rows.time() * rows.batch()), -1);
  for (Index k = 0; k < rows.time(); ++k) {
    for (Index r = 0; r < rows.active(k); ++r) {
      const Index at = rows.base(k) + r;
      packed[static_cast<std::size_t>(places.times[at] * rows.batch() + places.order[r])] = at;
    }
  }
  return packed;
}

template <class Writer>
void scatter_with_gaps(const Rows& rows, const RowPlaces& places, Index width, const char* from, Index from_row,
                       char* to) {
  const auto size = static_cast<std::size_t>(width);
  const std::vector<Index> packed = packed_rows(rows, places);
  for_each_step<Writer>(rows, rows.time() * rows.batch() * width, [&](Index t, const Writer& writer) {
    for (Index b = 0; b < rows.batch(); ++b) {
      char* row = to + t * places.step + b * places.row;
      const Index at = packed[static_cast<std::size_t>(t * rows.batch() + b)];
      if (at >= 0) {
        writer.copy(row, from + at * from_row, size);
      } else {
        writer.clear(row, size);
      }
    }
  });
}

template <class Writer>
void scatter(const Rows& rows, const RowPlaces& places, Index width, const char* from, Index from_row, char* to) {
  if (places.times) return scatter_with_gaps<Writer>(rows, places, width, from, from_row, to);
  const auto size = static_cast<std::size_t>(width);
  for_each_step<Writer>(rows, rows.time() * rows.batch() * width, [&](Index t, const Writer& writer) {
    const char* packed = from + rows.base(t) * from_row;
    for (Index r = 0; r < rows.batch(); ++r) {
      char* row = to + t * places.step + places.order[r] * places.row;
      if (r < rows.active(t)) {
        writer.copy(row, packed + r * from_row, size);
      } else {
        writer.clear(row, size);
      }
    }
  });
}

}  // namespace

bool is_order(const std::int64_t* order, Index batch) {
  std::vector<bool> seen(static_cast<std::size_t>(batch));
  for (Index r = 0; r < batch; ++r) {
    if (order[r] < 0 || order[r] >= batch || seen[static_cast<std::size_t>(order[r])]) return false;
    seen[static_cast<std::size_t>(order[r])] = true;
  }
  return true;
}

bool are_times(const Rows& rows, const std::int64_t* times) {
  for (Index k = 0; k < rows.time(); ++k) {
    for (Index r = 0; r < rows.active(k); ++r) {
      const Index time = times[rows.base(k) + r];
      if (time >= rows.time() || time <= (k == 0 ? -1 : times[rows.base(k - 1) + r])) return false;
    }
  }
  return true;
}

// Through the caches: the pass that follows reads it.
void gather_rows(const Rows& rows, const RowPlaces& places, Index width, const char* from, char* to) {
  const auto size = static_cast<std::size_t>(width);
  for_each_step<ThroughCache>(rows, rows.total() * width, [&](Index t, const ThroughCache& writer) {
    char* packed = to + rows.base(t) * width;
    for (Index r = 0; r < rows.active(t); ++r) {
      const Index time = places.times ? places.times[rows.base(t) + r] : t;
      writer.copy(packed + r * width, from + time * places.step + places.order[r] * places.row, size);
    }
    writer.clear(packed + rows.active(t) * width, size * static_cast<std::size_t>(rows.allocated(t) - rows.active(t)));
  });
}

void scatter_rows(const Rows& rows, const RowPlaces& places, Index width, const char* from, Index from_row, char* to) {
  if (rows.time() * rows.batch() * width < kPastCache) {
    scatter<ThroughCache>(rows, places, width, from, from_row, to);
  } else {
    scatter<PastCache>(rows, places, width, from, from_row, to);
  }
}

void combine_norms(const Rows& rows, const std::int64_t* times, const double* of_rows, double* over_time) {
  std::vector<ErrorNorm> norms(static_cast<std::size_t>(rows.time()));
  for (Index k = 0; k < rows.time(); ++k) {
    for (Index r = 0; r < rows.active(k); ++r) {
      const Index at = rows.base(k) + r;
      norms[static_cast<std::size_t>(times ? times[at] : k)].add_norm(of_rows[at]);
    }
  }
  for (Index t = 0; t < rows.time(); ++t) over_time[t] = norms[static_cast<std::size_t>(t)].value();
}

}  // namespace bptt

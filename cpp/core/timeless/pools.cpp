#include "core/timeless/pools.hpp"

#include <cstring>
#include <vector>

#include "core/timeless/shares.hpp"

namespace bptt {
namespace {

double counted(const PoolSteps& shape, Index row) {
  Index count = 0;
  for (Index step = 0; step < shape.steps; ++step) count += shape.counts(step, row) ? 1 : 0;
  return static_cast<double>(count);
}

template <class T>
void set_zero(T* to, Index count) {
  std::memset(to, 0, static_cast<std::size_t>(count) * sizeof(T));
}

// Calls f(row) for each row, on several threads.
template <class F>
void for_each_row(const PoolSteps& shape, Interrupt& interrupt, F f) {
  share_rows(shape.rows, shape.steps * shape.columns, interrupt, [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) f(row);
  });
}

}  // namespace

template <class T>
void mean_pool(const PoolSteps& shape, const T* x, T* y, Interrupt& interrupt) {
  for_each_row(shape, interrupt, [&](Index row) {
    std::vector<double> sums(static_cast<std::size_t>(shape.columns));
    for (Index step = 0; step < shape.steps; ++step) {
      if (!shape.counts(step, row)) continue;
      const T* from = x + step * shape.step_stride + row * shape.row_stride;
      for (Index n = 0; n < shape.columns; ++n) sums[static_cast<std::size_t>(n)] += static_cast<double>(from[n]);
    }
    const double count = counted(shape, row);
    T* to = y + row * shape.columns;
    for (Index n = 0; n < shape.columns; ++n) {
      to[n] = count > 0 ? static_cast<T>(sums[static_cast<std::size_t>(n)] / count) : T{0};
    }
  });
}

template <class T>
void mean_pool_back(const PoolSteps& shape, const T* dy, T* dx, Interrupt& interrupt) {
  for_each_row(shape, interrupt, [&](Index row) {
    const double count = counted(shape, row);
    const T* from = dy + row * shape.columns;
    for (Index step = 0; step < shape.steps; ++step) {
      T* to = dx + step * shape.step_stride + row * shape.row_stride;
      if (shape.counts(step, row)) {
        for (Index n = 0; n < shape.columns; ++n) to[n] = static_cast<T>(static_cast<double>(from[n]) / count);
      } else {
        set_zero(to, shape.columns);
      }
    }
  });
}

template <class T>
void max_pool(const PoolSteps& shape, const T* x, T* y, std::int64_t* source, Interrupt& interrupt) {
  for_each_row(shape, interrupt, [&](Index row) {
    T* best = y + row * shape.columns;
    std::int64_t* steps = source + row * shape.columns;
    bool any = false;
    for (Index step = 0; step < shape.steps; ++step) {
      if (!shape.counts(step, row)) continue;
      const T* from = x + step * shape.step_stride + row * shape.row_stride;
      for (Index n = 0; n < shape.columns; ++n) {
        // A comparison with NaN is false: a NaN takes the place of a number, and keeps it.
        if (any && (from[n] <= best[n] || best[n] != best[n])) continue;
        best[n] = from[n];
        steps[n] = step;
      }
      any = true;
    }
    if (any) return;
    set_zero(best, shape.columns);
    for (Index n = 0; n < shape.columns; ++n) steps[n] = -1;
  });
}

template <class T>
void max_pool_back(const PoolSteps& shape, const T* dy, const std::int64_t* source, T* dx, Interrupt& interrupt) {
  for_each_row(shape, interrupt, [&](Index row) {
    T* to = dx + row * shape.row_stride;
    for (Index step = 0; step < shape.steps; ++step) set_zero(to + step * shape.step_stride, shape.columns);
    for (Index n = 0; n < shape.columns; ++n) {
      const Index place = row * shape.columns + n;
      if (source[place] >= 0) to[source[place] * shape.step_stride + n] = dy[place];
    }
  });
}

#define BPTT_INSTANTIATE(T)                                                          \
  template void mean_pool(const PoolSteps&, const T*, T*, Interrupt&);               \
  template void mean_pool_back(const PoolSteps&, const T*, T*, Interrupt&);          \
  template void max_pool(const PoolSteps&, const T*, T*, std::int64_t*, Interrupt&); \
  template void max_pool_back(const PoolSteps&, const T*, const std::int64_t*, T*, Interrupt&);
BPTT_INSTANTIATE(float)
BPTT_INSTANTIATE(double)
#undef BPTT_INSTANTIATE

}  // namespace bptt

#include "core/timeless/embedding.hpp"

#include <algorithm>
#include <cstring>

#include "runtime/isa.hpp"

namespace bptt {
namespace {

constexpr Index kAhead = 4;   // rows
constexpr Index kLine = 64;   // bytes of a cache line
constexpr Index kFarthest = 2048;  // bytes of a row: its rest follows by the processor's own prefetching

// Calls f(i) for each position in [begin, end). The rows of a large table are seldom in cache, and the processor cannot
// guess the next one: ask for it while it works on earlier ones.
template <int Write, class T, class F>
void for_each_row(const EmbeddingRows& rows, Index begin, Index end, const T* table, F f) {
  const Index bytes = std::min<Index>(rows.size * static_cast<Index>(sizeof(T)), kFarthest);
  for (Index i = begin; i < end; ++i) {
    if (i + kAhead < end) {
      const auto* next = reinterpret_cast<const char*>(table + rows.ids[i + kAhead] * rows.size);
      for (Index b = 0; b < bytes; b += kLine) __builtin_prefetch(next + b, Write);
    }
    f(i);
  }
}

}  // namespace

Index first_out_of_range(const std::int64_t* ids, Index count, Index limit) {
  for (Index i = 0; i < count; ++i) {
    if (ids[i] < 0 || ids[i] >= limit) return i;
  }
  return -1;
}

template <class T>
void embedding_forward(const EmbeddingRows& rows, const T* weight, T* y, Interrupt& interrupt) {
  const Index size = rows.size;
  in_pieces(rows.count, size, interrupt, [&](Index begin, Index end) {
    for_each_row<0>(rows, begin, end, weight, [&](Index i) {
      std::memcpy(y + i * size, weight + rows.ids[i] * size, static_cast<std::size_t>(size) * sizeof(T));
    });
  });
}

template <class T>
void embedding_backward(const EmbeddingRows& rows, const T* dy, T* dweight, Interrupt& interrupt) {
  const Kernels<T>& k = kernels<T>();
  const Index size = rows.size;
  in_pieces(rows.count, size, interrupt, [&](Index begin, Index end) {
    for_each_row<1>(rows, begin, end, dweight,
                    [&](Index i) { k.add(size, dy + i * size, dweight + rows.ids[i] * size); });
  });
}

template <class T>
void set_rows(const EmbeddingRows& rows, const T* values, T* table) {
  const auto bytes = static_cast<std::size_t>(rows.size) * sizeof(T);
  for_each_row<1>(rows, 0, rows.count, table, [&](Index i) {
    T* to = table + rows.ids[i] * rows.size;
    if (values) {
      std::memcpy(to, values + i * rows.size, bytes);
    } else {
      std::memset(to, 0, bytes);
    }
  });
}

Index mark_rows(const std::int64_t* ids, Index count, std::uint8_t* seen, std::int64_t* fresh) {
  Index found = 0;
  for (Index i = 0; i < count; ++i) {
    if (seen[ids[i]]) continue;
    seen[ids[i]] = 1;
    fresh[found++] = ids[i];
  }
  return found;
}

#define BPTT_INSTANTIATE(T)                                                         \
  template void embedding_forward(const EmbeddingRows&, const T*, T*, Interrupt&);  \
  template void embedding_backward(const EmbeddingRows&, const T*, T*, Interrupt&); \
  template void set_rows(const EmbeddingRows&, const T*, T*);
BPTT_INSTANTIATE(float)
BPTT_INSTANTIATE(double)
#undef BPTT_INSTANTIATE

}  // namespace bptt

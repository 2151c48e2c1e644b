#include "core/timeless/embedding.hpp"

#include <cstring>

#include "runtime/isa.hpp"

namespace bptt {

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
    for (Index i = begin; i < end; ++i) {
      std::memcpy(y + i * size, weight + rows.ids[i] * size, static_cast<std::size_t>(size) * sizeof(T));
    }
  });
}

template <class T>
void embedding_backward(const EmbeddingRows& rows, const T* dy, T* dweight, Interrupt& interrupt) {
  const Kernels<T>& k = kernels<T>();
  const Index size = rows.size;
  in_pieces(rows.count, size, interrupt, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) k.add(size, dy + i * size, dweight + rows.ids[i] * size);
  });
}

#define BPTT_INSTANTIATE(T)                                                        \
  template void embedding_forward(const EmbeddingRows&, const T*, T*, Interrupt&); \
  template void embedding_backward(const EmbeddingRows&, const T*, T*, Interrupt&);
BPTT_INSTANTIATE(float)
BPTT_INSTANTIATE(double)
#undef BPTT_INSTANTIATE

}  // namespace bptt

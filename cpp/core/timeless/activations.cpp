#include "core/timeless/activations.hpp"

#include "core/timeless/shares.hpp"
#include "runtime/isa.hpp"

namespace bptt {

template <class T>
void elementwise(Elementwise kind, Index n, const T* x, T* y, Interrupt& interrupt) {
  const auto function = kernels<T>().elementwise[static_cast<int>(kind)];
  share_rows(n, 1, interrupt, [&](Index begin, Index end) { function(end - begin, x + begin, y + begin); });
}

template <class T>
void elementwise_back(Elementwise kind, Index n, const T* dy, const T* kept, T* dx, Interrupt& interrupt) {
  const auto function = kernels<T>().elementwise_back[static_cast<int>(kind)];
  share_rows(n, 1, interrupt,
             [&](Index begin, Index end) { function(end - begin, dy + begin, kept + begin, dx + begin); });
}

template <class T>
void softmax(Index rows, Index columns, const T* x, T* y, Interrupt& interrupt) {
  const Kernels<T>& k = kernels<T>();
  share_rows(rows, columns, interrupt, [&](Index begin, Index end) {
    k.softmax(end - begin, columns, x + begin * columns, y + begin * columns);
  });
}

template <class T>
void softmax_back(Index rows, Index columns, const T* dy, const T* y, T* dx, Interrupt& interrupt) {
  const Kernels<T>& k = kernels<T>();
  share_rows(rows, columns, interrupt, [&](Index begin, Index end) {
    const Index first = begin * columns;
    k.softmax_back(end - begin, columns, dy + first, y + first, dx + first);
  });
}

#define BPTT_INSTANTIATE(T)                                                               \
  template void elementwise(Elementwise, Index, const T*, T*, Interrupt&);                \
  template void elementwise_back(Elementwise, Index, const T*, const T*, T*, Interrupt&); \
  template void softmax(Index, Index, const T*, T*, Interrupt&);                          \
  template void softmax_back(Index, Index, const T*, const T*, T*, Interrupt&);
BPTT_INSTANTIATE(float)
BPTT_INSTANTIATE(double)
#undef BPTT_INSTANTIATE

}  // namespace bptt

#include "core/tape/tape.hpp"

#include <cstring>

namespace bptt {

template <class T, class E>
TapeArrays<E> new_tape_arrays(const Recurrent& net, Index rows, Index slots) {
  TapeArrays<E> arrays;
  for_each_taped<T>(net, [&]<class K>(Index row, Buffer<K>& array) { array = Buffer<K>(rows * row); }, arrays);
  if (net.traits.has_cell_state) arrays.c = Buffer<E>(slots * net.hidden);
  return arrays;
}

namespace {

template <class T, class E>
std::vector<TapeLayer<E>> new_tape_layers(const Recurrent& net, Index rows, Index slots) {
  std::vector<TapeLayer<E>> layers(static_cast<std::size_t>(net.layers));
  for (TapeLayer<E>& layer : layers) {
    layer.h = Buffer<E>(slots * net.width());
    for (Index d = 0; d < net.directions; ++d) layer.directions.push_back(new_tape_arrays<T, E>(net, rows, slots));
  }
  return layers;
}

}  // namespace

template <class T>
Tape<T>::Tape(const Recurrent& net, Rows which)
    : rows(std::move(which)), compact(net.options.compact_tape), gates_row(taped_gates_row<T>(net)) {
  const Index slots = rows.ragged() ? rows.slots() : checked_product(checked_sum(rows.time(), 2), rows.batch());
  // The widest array of the tape, and its bytes, must fit before any is allocated.
  checked_product(checked_product(slots, checked_product(8, checked_product(net.directions, net.hidden))),
                  static_cast<Index>(sizeof(T)));
  if (compact) {
    compact_layers = new_tape_layers<T, Compact>(net, rows.total(), slots);
    return;
  }
  layers = new_tape_layers<T, T>(net, rows.total(), slots);
  if (!net.merges()) return;
  for (Layer& layer : layers) layer.passed = Buffer<T>(rows.total() * net.y_width());
}

template <class T>
void copy_by_steps(const Rows& rows, const TapeColumns& columns, const T* from, T* to) {
  for (Index t = 0; t < rows.time(); ++t) {
    for (Index b = 0; b < rows.batch(); ++b) {
      const Index at = columns.in_slots ? rows.slot(t + 1, b) : rows.at(t, b);
      std::memcpy(to + (rows.base(t) + b) * columns.width, from + at * columns.row + columns.first,
                  static_cast<std::size_t>(columns.width) * sizeof(T));
    }
  }
}

#define BPTT_INSTANTIATE(T)                                                     \
  template TapeArrays<T> new_tape_arrays<T, T>(const Recurrent&, Index, Index); \
  template void copy_by_steps(const Rows&, const TapeColumns&, const T*, T*);   \
  template struct Tape<T>;
BPTT_INSTANTIATE(float)
BPTT_INSTANTIATE(double)
#undef BPTT_INSTANTIATE

}  // namespace bptt

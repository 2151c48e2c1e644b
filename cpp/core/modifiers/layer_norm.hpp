// Layer norm (Ba, Kiros and Hinton 2016): a = norm(W x) + norm(U h_in) + biases, and h is made from norm(c). The gates
// are normalised together, but the n of a GRU separately.
#pragma once

#include "core/modifiers/context.hpp"

namespace bptt::layer_norm {

// Columns [begin, end) of the pre-activations that are normalised together.
struct Group {
  Index begin;
  Index end;
  Index number;
};

inline Group first_group(const Recurrent& net) {
  const Index columns = net.traits.gates * net.hidden;
  const bool together = net.traits.has_cell_state || net.traits.gates == 1;
  return {0, together ? columns : columns - net.hidden, 0};
}
inline Group last_gate(const Recurrent& net) {
  const Index columns = net.traits.gates * net.hidden;
  return {columns - net.hidden, columns, 1};
}

template <class F>
void for_each_group(const Recurrent& net, F f) {
  const Group first = first_group(net);
  f(first);
  if (first.end < net.traits.gates * net.hidden) f(last_gate(net));
}

// The normalised rows of one side that a tape keeps, or null: (rows, G * H) and (rows, 2).
template <class T>
struct Kept {
  T* hat;
  T* scale;
};

// W x, normalised in place, with the biases: what a step starts from.
template <class T>
void forward_input(const Recurrent& net, const Kernels<T>& k, const PackedForward<T>& weights, Index rows, RowSpan<T> a,
                   Kept<T> kept);

// U h_in of one group, normalised, to where the kernel expects the recurrent side.
template <class T>
void forward_recurrent(const ForwardContext<T>& f, const Group& group);

// The cell state as h sees it.
template <class T>
void forward_cell(ForwardContext<T>& f);

// From gate gradients after the norm, in arrays.raw, to those before it.
template <class T>
void backward_recurrent(const BackwardContext<T>& b, const Group& group);
template <class T>
void backward_input(const BackwardContext<T>& b, const Group& group);

// The normalised cell state is computed again, and its error goes back to c.
template <class T>
void recompute_cell(BackwardContext<T>& b);
template <class T>
void backward_cell(const BackwardContext<T>& b);

}  // namespace bptt::layer_norm

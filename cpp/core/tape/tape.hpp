// The tape of a forward pass: the arrays that the backward pass reads, whole or compact.
#pragma once

#include "core/recurrent.hpp"

namespace bptt {

// What a tape of E keeps where 16 bits are too few.
template <class E>
struct Exact {
  using type = E;
};
template <>
struct Exact<Compact> {
  using type = float;
};

// The arrays that a tape keeps of one layer and direction. E is the type of the pass, or Compact.
template <class E>
struct TapeArrays {
  Buffer<E> gates;  // (T, B, tape_gates * H), activated, or see keeps_argument; rows have the distance taped_gates_row
  Buffer<E> c;  // (T + 2, B, H)
  Buffer<E> candidate;  // (T, B, H): c before zoneout
  Buffer<E> inner;  // (T, B, H): h before its projection
  Buffer<E> hat_ih;  // (T, B, G * H): pre-activations, normalised
  Buffer<E> hat_hh;
  Buffer<typename Exact<E>::type> scale_ih;  // (T, B, 2): what they were multiplied by, of each group of gates
  Buffer<typename Exact<E>::type> scale_hh;
};

// The distance between rows of gates in a tape, for a pass in T.
template <class T>
Index taped_gates_row(const Recurrent& net) {
  return padded_row(net.tape_gates * net.hidden, sizeof(T));
}

// Calls visit(distance between rows, array of each of `arrays`...) for the arrays over time that the network's options
// need: all but c, which is in slots. T is the type of the pass.
template <class T, class Visit, class... Arrays>
void for_each_taped(const Recurrent& net, Visit visit, Arrays&... arrays) {
  const Index H = net.hidden;
  if (net.tape_gates) visit(taped_gates_row<T>(net), arrays.gates...);
  if (net.options.zoneout_c > 0) visit(H, arrays.candidate...);
  if (net.options.projection) visit(H, arrays.inner...);
  if (!net.options.layer_norm) return;
  visit(net.traits.gates * H, arrays.hat_ih...);
  visit(net.traits.gates * H, arrays.hat_hh...);
  visit(2, arrays.scale_ih...);
  visit(2, arrays.scale_hh...);
}

// New arrays with this number of rows. c has `slots` rows. T is the type of the pass.
template <class T, class E>
TapeArrays<E> new_tape_arrays(const Recurrent& net, Index rows, Index slots);

template <class E>
struct TapeLayer {
  Buffer<E> h;  // (T + 2, B, D * P)
  Buffer<E> passed;  // (T, B, y_width): y, where it is not h: directions merged, or dropout before the next layer
  std::vector<TapeArrays<E>> directions;
};

// The record of a forward pass. Time slots of h and c have one more at both ends, so that "the step before" is a
// constant distance away in both directions, and the initial state needs no special case.
template <class T>
struct Tape {
  Tape(const Recurrent& net, Rows rows);

  using Direction = TapeArrays<T>;
  using Layer = TapeLayer<T>;

  Rows rows;  // halved, if what is kept is, but for the last layer's h
  bool compact;  // the arrays are in compact_layers, not in layers
  Index gates_row;
  const T* x = nullptr;  // (T, B, I), owned by the caller
  Buffer<T> dropped_x;  // (T, B, I): x after dropout; empty without it
  Buffer<Compact> compact_dropped_x;
  Interventions<T> interventions;
  double dropout = 0;
  std::uint64_t dropout_key = 0;
  Index first_row = 0;  // of the batch over time, where this is a piece of a longer one: masks go on from there
  std::vector<Layer> layers;
  std::vector<TapeLayer<Compact>> compact_layers;  // `passed` not of the last one
};

// Columns [first, first + width) of an array over time of a tape, whose rows have the distance `row`.
struct TapeColumns {
  bool in_slots;  // or by steps
  Index first;
  Index row;
  Index width;
};

// Copies these columns of a halved array to one that is stored step by step.
template <class T>
void copy_by_steps(const Rows& rows, const TapeColumns& columns, const T* from, T* to);

}  // namespace bptt

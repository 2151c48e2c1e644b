#include "core/recurrent.hpp"

#include <limits>
#include <stdexcept>

namespace bptt {
namespace {

constexpr Index kMaxLayers = 10000;

Index product_of(Index a, Index b) {
  Index result = 0;
  if (__builtin_mul_overflow(a, b, &result)) {
    throw std::invalid_argument("sizes: the number of parameters or elements overflows 64 bits");
  }
  return result;
}

Index sum_of(Index a, Index b) {
  Index result = 0;
  if (__builtin_add_overflow(a, b, &result)) {
    throw std::invalid_argument("sizes: the number of parameters or elements overflows 64 bits");
  }
  return result;
}

void check_positive(const char* name, Index value) {
  if (value < 1) {
    throw std::invalid_argument(std::string(name) + ": expected at least 1, got " + std::to_string(value));
  }
}

}  // namespace

Recurrent::Recurrent(Cell cell, Index input_size, Index hidden_size, Index num_layers, bool bidirectional,
                     bool with_bias)
    : traits(kCellTraits[static_cast<int>(cell)]), input(input_size), hidden(hidden_size), layers(num_layers),
      directions(bidirectional ? 2 : 1), bias(with_bias), parameter_count(0) {
  check_positive("input_size", input_size);
  check_positive("hidden_size", hidden_size);
  check_positive("num_layers", num_layers);
  if (num_layers > kMaxLayers) {  // before names for them fill the memory
    throw std::invalid_argument("num_layers: expected at most " + std::to_string(kMaxLayers) + ", got " +
                                std::to_string(num_layers));
  }
  const Index rows = product_of(traits.gates, hidden);
  product_of(rows, product_of(directions, hidden));  // input_of(layer) of the upper layers
  const auto add = [this](std::string name, std::vector<Index> shape) {
    Index size = 1;
    for (const Index extent : shape) size = product_of(size, extent);
    parameters.push_back({std::move(name), std::move(shape), parameter_count, size});
    parameter_count = sum_of(parameter_count, size);
  };
  for (Index layer = 0; layer < layers; ++layer) {
    for (Index direction = 0; direction < directions; ++direction) {
      const std::string suffix = "_l" + std::to_string(layer) + (direction == 1 ? "_reverse" : "");
      add("weight_ih" + suffix, {rows, input_of(layer)});
      add("weight_hh" + suffix, {rows, hidden});
      if (bias) {
        add("bias_ih" + suffix, {rows});
        add("bias_hh" + suffix, {rows});
      }
      if (traits.has_peephole) add("weight_peephole" + suffix, {3, hidden});
    }
    product_of(parameter_count, static_cast<Index>(sizeof(double)));
  }
}

template <class T>
DirectionParameters<T> direction_parameters(const Recurrent& net, T* flat, Index layer, Index direction) {
  const Index each = 2 + (net.bias ? 2 : 0) + (net.traits.has_peephole ? 1 : 0);
  const Parameter* p = &net.parameters[static_cast<std::size_t>((layer * net.directions + direction) * each)];
  DirectionParameters<T> view{};
  view.weight_ih = flat + p++->offset;
  view.weight_hh = flat + p++->offset;
  if (net.bias) {
    view.bias_ih = flat + p++->offset;
    view.bias_hh = flat + p++->offset;
  }
  if (net.traits.has_peephole) view.peephole = flat + p->offset;
  return view;
}

template <class T>
Tape<T>::Tape(const Recurrent& net, Rows which)
    : rows(std::move(which)), gates_row(padded_row(net.traits.tape_gates * net.hidden, sizeof(T))) {
  const Index slots = rows.ragged() ? rows.slots() : product_of(sum_of(rows.time(), 2), rows.batch());
  const Index width = product_of(net.directions, net.hidden);
  // The widest array of the tape, and its bytes, must fit before any is allocated.
  product_of(product_of(slots, product_of(8, width)), static_cast<Index>(sizeof(T)));
  for (Index l = 0; l < net.layers; ++l) {
    Layer& layer = layers.emplace_back();
    layer.h = Buffer<T>(slots * width);
    for (Index d = 0; d < net.directions; ++d) {
      Direction& direction = layer.directions.emplace_back();
      if (net.traits.tape_gates) direction.gates = Buffer<T>(rows.total() * gates_row);
      if (net.traits.has_cell_state) direction.c = Buffer<T>(slots * net.hidden);
    }
  }
}

#define BPTT_INSTANTIATE(T)                                                                             \
  template DirectionParameters<T> direction_parameters(const Recurrent&, T*, Index, Index);             \
  template DirectionParameters<const T> direction_parameters(const Recurrent&, const T*, Index, Index); \
  template struct Tape<T>;
BPTT_INSTANTIATE(float)
BPTT_INSTANTIATE(double)
#undef BPTT_INSTANTIATE

}  // namespace bptt

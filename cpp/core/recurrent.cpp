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
                     bool with_bias, const Options& with)
    : traits(kCellTraits[static_cast<int>(cell)]), options(with), input(input_size), hidden(hidden_size),
      output(with.projection ? with.projection : hidden_size), layers(num_layers), directions(bidirectional ? 2 : 1),
      bias(with_bias), parameter_count(0) {
  check_positive("input_size", input_size);
  check_positive("hidden_size", hidden_size);
  if (output < 1 || output > hidden || (with.projection && !traits.has_cell_state)) {
    throw std::invalid_argument("proj_size: an LSTM's, expected 1 to hidden_size, got " + std::to_string(output));
  }
  if (with.peephole && traits.peepholes == 0) throw std::invalid_argument("peephole: not for this cell");
  check_positive("num_layers", num_layers);
  if (num_layers > kMaxLayers) {  // before names for them fill the memory
    throw std::invalid_argument("num_layers: expected at most " + std::to_string(kMaxLayers) + ", got " +
                                std::to_string(num_layers));
  }
  // An RNN whose h changes after its activation must keep it as it was.
  tape_gates = traits.tape_gates == 0 && options.zoneout_h > 0 ? 1 : traits.tape_gates;
  // Normalised, the two sides of the pre-activations have gradients of their own, in the order of the weights.
  dgates = options.layer_norm ? 2 * traits.gates : traits.dgates;
  recurrent_at = options.layer_norm ? traits.gates : traits.recurrent_at;
  input_rotate = options.layer_norm ? 0 : traits.input_rotate;
  const Index rows = product_of(traits.gates, hidden);
  product_of(rows, product_of(directions, hidden));  // input_of(layer) of the upper layers, at most
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
      add("weight_hh" + suffix, {rows, output});
      if (bias) {
        add("bias_ih" + suffix, {rows});
        add("bias_hh" + suffix, {rows});
      }
      if (options.projection) add("weight_hr" + suffix, {output, hidden});
      if (options.peephole) add("weight_peephole" + suffix, {traits.peepholes, hidden});
      if (options.layer_norm) {
        add("weight_norm_ih" + suffix, {rows});
        add("weight_norm_hh" + suffix, {rows});
        if (traits.has_cell_state) add("weight_norm_c" + suffix, {hidden});
        if (traits.has_cell_state && bias) add("bias_norm_c" + suffix, {hidden});
      }
    }
    product_of(parameter_count, static_cast<Index>(sizeof(double)));
  }
}

template <class T>
DirectionParameters<T> direction_parameters(const Recurrent& net, T* flat, Index layer, Index direction) {
  const auto each = net.parameters.size() / static_cast<std::size_t>(net.layers * net.directions);
  const Parameter* p = &net.parameters[static_cast<std::size_t>(layer * net.directions + direction) * each];
  DirectionParameters<T> view{};
  const auto next = [&] { return flat + p++->offset; };
  view.weight_ih = next();
  view.weight_hh = next();
  if (net.bias) {
    view.bias_ih = next();
    view.bias_hh = next();
  }
  if (net.options.projection) view.weight_hr = next();
  if (net.options.peephole) view.peephole = next();
  if (net.options.layer_norm) {
    view.norm_ih = next();
    view.norm_hh = next();
    if (net.traits.has_cell_state) view.norm_c = next();
    if (net.traits.has_cell_state && net.bias) view.bias_norm_c = next();
  }
  return view;
}

template <class T>
DirectionParameters<T> summed_in(const DirectionParameters<T>& like, T* other) {
  const auto there = [&](T* p) { return p ? other + (p - like.weight_ih) : nullptr; };
  DirectionParameters<T> view{};
  view.weight_ih = other;
  view.weight_hh = there(like.weight_hh);
  view.bias_ih = there(like.bias_ih);
  view.bias_hh = there(like.bias_hh);
  view.weight_hr = there(like.weight_hr);
  return view;
}

template <class T>
Tape<T>::Tape(const Recurrent& net, Rows which)
    : rows(std::move(which)), gates_row(padded_row(net.tape_gates * net.hidden, sizeof(T))) {
  const Index slots = rows.ragged() ? rows.slots() : product_of(sum_of(rows.time(), 2), rows.batch());
  const Index width = net.width();
  const Index total = rows.total();
  // The widest array of the tape, and its bytes, must fit before any is allocated.
  product_of(product_of(slots, product_of(8, product_of(net.directions, net.hidden))), static_cast<Index>(sizeof(T)));
  for (Index l = 0; l < net.layers; ++l) {
    Layer& layer = layers.emplace_back();
    layer.h = Buffer<T>(slots * width);
    for (Index d = 0; d < net.directions; ++d) {
      Direction& direction = layer.directions.emplace_back();
      if (net.tape_gates) direction.gates = Buffer<T>(total * gates_row);
      if (net.traits.has_cell_state) direction.c = Buffer<T>(slots * net.hidden);
      if (net.options.zoneout_c > 0) direction.candidate = Buffer<T>(total * net.hidden);
      if (net.options.projection) direction.inner = Buffer<T>(total * net.hidden);
      if (net.options.layer_norm) {
        direction.hat_ih = Buffer<T>(total * net.traits.gates * net.hidden);
        direction.hat_hh = Buffer<T>(total * net.traits.gates * net.hidden);
        direction.scale_ih = Buffer<T>(total * 2);
        direction.scale_hh = Buffer<T>(total * 2);
      }
    }
  }
}

#define BPTT_INSTANTIATE(T)                                                                             \
  template DirectionParameters<T> direction_parameters(const Recurrent&, T*, Index, Index);             \
  template DirectionParameters<const T> direction_parameters(const Recurrent&, const T*, Index, Index); \
  template DirectionParameters<T> summed_in(const DirectionParameters<T>&, T*);                         \
  template struct Tape<T>;
BPTT_INSTANTIATE(float)
BPTT_INSTANTIATE(double)
#undef BPTT_INSTANTIATE

}  // namespace bptt

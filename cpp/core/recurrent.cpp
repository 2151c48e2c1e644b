#include "core/recurrent.hpp"

#include <stdexcept>

namespace bptt {
namespace {

constexpr Index kMaxLayers = 10000;

void check_positive(const char* name, Index value) {
  if (value < 1) {
    throw std::invalid_argument(std::string(name) + ": expected at least 1, got " + std::to_string(value));
  }
}

}  // namespace

Index checked_product(Index a, Index b) {
  Index result = 0;
  if (__builtin_mul_overflow(a, b, &result)) {
    throw std::invalid_argument("sizes: the number of parameters or elements overflows 64 bits");
  }
  return result;
}

Index checked_sum(Index a, Index b) {
  Index result = 0;
  if (__builtin_add_overflow(a, b, &result)) {
    throw std::invalid_argument("sizes: the number of parameters or elements overflows 64 bits");
  }
  return result;
}

Recurrent::Recurrent(Cell cell, const Sizes& sizes, const Options& with)
    : traits(kCellTraits[static_cast<int>(cell)]), options(with), input(sizes.input), hidden(sizes.hidden),
      output(with.projection ? with.projection : sizes.hidden), layers(sizes.layers),
      directions(sizes.bidirectional ? 2 : 1), bias(sizes.bias), parameter_count(0) {
  check(sizes);
  options.cell.forgets = traits.has_forget_gate;
  // An RNN whose h changes after its activation must keep it as it was, or what the activation read.
  const bool keeps_h = options.zoneout_h > 0 || keeps_argument(options.cell.candidate.kind);
  tape_gates = traits.tape_gates == 0 && keeps_h ? 1 : traits.tape_gates;
  // Normalised, the two sides of the pre-activations have gradients of their own, in the order of the weights.
  dgates = options.layer_norm ? 2 * traits.gates : traits.dgates;
  recurrent_at = options.layer_norm ? traits.gates : traits.recurrent_at;
  input_rotate = options.layer_norm ? 0 : traits.input_rotate;
  checked_product(checked_product(traits.gates, hidden),
                  checked_product(directions, hidden));  // input_of(layer) of the upper layers
  for (Index layer = 0; layer < layers; ++layer) {
    for (Index direction = 0; direction < directions; ++direction) add_parameters(layer, direction);
    checked_product(parameter_count, static_cast<Index>(sizeof(double)));
  }
}

void Recurrent::check(const Sizes& sizes) const {
  check_positive("input_size", sizes.input);
  check_positive("hidden_size", sizes.hidden);
  if (output < 1 || output > hidden || (options.projection && !traits.has_cell_state)) {
    throw std::invalid_argument("proj_size: an LSTM's, expected 1 to hidden_size, got " + std::to_string(output));
  }
  if (options.reverse && directions == 2) throw std::invalid_argument("reverse: not with two directions");
  if (merges() && directions == 1) throw std::invalid_argument("merge: needs two directions");
  if (options.peephole && traits.peepholes == 0) throw std::invalid_argument("peephole: not for this cell");
  check_positive("num_layers", sizes.layers);
  if (sizes.layers > kMaxLayers) {  // before names for them fill the memory
    throw std::invalid_argument("num_layers: expected at most " + std::to_string(kMaxLayers) + ", got " +
                                std::to_string(sizes.layers));
  }
}

void Recurrent::add_parameters(Index layer, Index direction) {
  const Index rows = traits.gates * hidden;
  const std::string suffix = "_l" + std::to_string(layer) + (direction == 1 ? "_reverse" : "");
  const auto add = [&](const char* name, std::vector<Index> shape) {
    Index size = 1;
    for (const Index extent : shape) size = checked_product(size, extent);
    parameters.push_back({name + suffix, std::move(shape), parameter_count, size});
    parameter_count = checked_sum(parameter_count, size);
  };
  add("weight_ih", {rows, input_of(layer)});
  add("weight_hh", {rows, output});
  if (bias) {
    add("bias_ih", {rows});
    add("bias_hh", {rows});
  }
  if (options.projection) add("weight_hr", {output, hidden});
  if (options.peephole) add("weight_peephole", {traits.peepholes, hidden});
  if (options.layer_norm) {
    add("weight_norm_ih", {rows});
    add("weight_norm_hh", {rows});
    if (traits.has_cell_state) add("weight_norm_c", {hidden});
    if (traits.has_cell_state && bias) add("bias_norm_c", {hidden});
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

#define BPTT_INSTANTIATE(T)                                                                             \
  template DirectionParameters<T> direction_parameters(const Recurrent&, T*, Index, Index);             \
  template DirectionParameters<const T> direction_parameters(const Recurrent&, const T*, Index, Index); \
  template DirectionParameters<T> summed_in(const DirectionParameters<T>&, T*);
BPTT_INSTANTIATE(float)
BPTT_INSTANTIATE(double)
#undef BPTT_INSTANTIATE

}  // namespace bptt

// The options of a recurrent network, from the names and values that the layers pass.
#pragma once

#include <algorithm>
#include <tuple>

#include "bindings/numpy.hpp"

namespace bptt::bindings {

inline Cell cell_named(const std::string& name) {
  for (const CellTraits& traits : kCellTraits) {
    if (traits.name == name) return traits.cell;
  }
  throw std::invalid_argument("cell: unknown name '" + name + "'");
}

inline ActivationChoice<double> activation_named(const py::tuple& choice) {
  const auto name = choice[0].cast<std::string>();
  const auto* found = std::find(std::begin(kActivationNames), std::end(kActivationNames), name);
  if (found == std::end(kActivationNames)) {
    throw std::invalid_argument("activations: unknown name '" + name + "'");
  }
  return {static_cast<Activation>(found - std::begin(kActivationNames)), choice[1].cast<double>(),
          choice[2].cast<double>()};
}

// Options that are missing keep their defaults.
inline Options options_of(const py::kwargs& given) {
  Options options;
  for (const auto& [key, value] : given) {
    const auto name = key.cast<std::string>();
    if (name == "projection") {
      options.projection = value.cast<Index>();
    } else if (name == "peephole") {
      options.peephole = value.cast<bool>();
    } else if (name == "layer_norm") {
      options.layer_norm = value.cast<bool>();
    } else if (name == "zoneout") {
      std::tie(options.zoneout_h, options.zoneout_c) = value.cast<std::tuple<double, double>>();
    } else if (name == "cell_clip") {
      options.lstm.cell_clip = value.cast<double>();
    } else if (name == "gate_clip") {
      options.lstm.gate_clip = value.cast<double>();
    } else if (name == "output_clip") {
      options.lstm.output_clip = value.cast<double>();
    } else if (name == "activations") {
      const auto three = value.cast<py::tuple>();
      options.lstm.gate = activation_named(three[0].cast<py::tuple>());
      options.lstm.candidate = activation_named(three[1].cast<py::tuple>());
      options.lstm.output = activation_named(three[2].cast<py::tuple>());
    } else {
      throw std::invalid_argument("options: unknown name '" + name + "'");
    }
  }
  return options;
}

}  // namespace bptt::bindings

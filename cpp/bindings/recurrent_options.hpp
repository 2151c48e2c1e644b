// The options of a recurrent network, from the names and values that the layers pass.
#pragma once

#include <algorithm>
#include <tuple>

#include "bindings/numpy.hpp"
#include "core/cells.hpp"

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

inline Merge merge_named(const std::string& name) {
  const auto* found = std::find(std::begin(kMergeNames), std::end(kMergeNames), name);
  if (found == std::end(kMergeNames)) throw std::invalid_argument("merge: unknown name '" + name + "'");
  return static_cast<Merge>(found - std::begin(kMergeNames));
}

inline Precision precision_named(const std::string& name) {
  const auto* found = std::find(std::begin(kPrecisionNames), std::end(kPrecisionNames), name);
  if (found == std::end(kPrecisionNames)) throw std::invalid_argument("precision: unknown name '" + name + "'");
  return static_cast<Precision>(found - std::begin(kPrecisionNames));
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
    } else if (name == "reverse") {
      options.reverse = value.cast<bool>();
    } else if (name == "compact_tape") {
      options.compact_tape = value.cast<bool>();
    } else if (name == "merge") {
      options.merge = merge_named(value.cast<std::string>());
    } else if (name == "precision") {
      options.precision = precision_named(value.cast<std::string>());
    } else if (name == "zoneout") {
      std::tie(options.zoneout_h, options.zoneout_c) = value.cast<std::tuple<double, double>>();
    } else if (name == "cell_clip") {
      options.cell.cell_clip = value.cast<double>();
    } else if (name == "gate_clip") {
      options.cell.gate_clip = value.cast<double>();
    } else if (name == "output_clip") {
      options.cell.output_clip = value.cast<double>();
    } else if (name == "nonlinearity") {
      options.cell.candidate = activation_named(value.cast<py::tuple>());
    } else if (name == "activations") {
      // of the gates, of the candidate and of the output, as many as the cell has
      const auto chosen = value.cast<py::tuple>();
      ActivationChoice<double>* const functions[] = {&options.cell.gate, &options.cell.candidate, &options.cell.output};
      if (chosen.size() > std::size(functions)) throw std::invalid_argument("activations: expected at most 3");
      for (std::size_t i = 0; i < chosen.size(); ++i) *functions[i] = activation_named(chosen[i].cast<py::tuple>());
    } else {
      throw std::invalid_argument("options: unknown name '" + name + "'");
    }
  }
  return options;
}

}  // namespace bptt::bindings

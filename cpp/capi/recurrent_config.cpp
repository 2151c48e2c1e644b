#include "capi/recurrent_config.hpp"

#include <algorithm>
#include <iterator>

namespace bptt::capi {
namespace {

constexpr Index kMostLayers = 1000;

struct Defaults {
  const char* name;
  int count;  // of parameters
  double alpha;
  double beta;
};
// As in bptt/layers/activations.py.
constexpr Defaults kDefaults[] = {{"affine", 2, 1, 0},      {"leaky_relu", 1, 0.01, 0},
                                  {"elu", 1, 1, 0},         {"thresholded_relu", 1, 1, 0},
                                  {"scaled_tanh", 2, 1, 1}, {"hard_sigmoid", 2, 0.2, 0.5}};

// A name, or a list of a name and its parameters.
ActivationChoice<double> activation_of(const Config& config, const std::string& option, const Json& entry) {
  const bool alone = entry.kind == Json::Kind::text;
  if (!alone && (entry.kind != Json::Kind::list || entry.list.empty() || entry.list.size() > 3)) {
    config.wrong(option, "a known function");
  }
  const std::string& name = alone ? entry.text : entry.list[0].text;
  const auto* found = std::find(std::begin(kActivationNames), std::end(kActivationNames), name);
  if (found == std::end(kActivationNames)) unsupported("has an unknown activation, '" + name + "'");
  ActivationChoice<double> choice{static_cast<Activation>(found - std::begin(kActivationNames)), 0, 0};
  std::size_t most = 0;
  for (const Defaults& usual : kDefaults) {
    if (name != usual.name) continue;
    choice.alpha = usual.alpha;
    choice.beta = usual.beta;
    most = static_cast<std::size_t>(usual.count);
  }
  double* const parameters[] = {&choice.alpha, &choice.beta};
  for (std::size_t i = 1; !alone && i < entry.list.size(); ++i) {
    if (i > most || entry.list[i].kind != Json::Kind::number) config.wrong(option, "a function with its parameters");
    *parameters[i - 1] = entry.list[i].number;
  }
  return choice;
}

bool plain_functions(const Options& options) {
  const auto is = [](const ActivationChoice<double>& choice, Activation kind) { return choice.kind == kind; };
  return is(options.cell.gate, Activation::sigmoid) && is(options.cell.candidate, Activation::tanh) &&
         is(options.cell.output, Activation::tanh);
}

void read_activations(Config& config, std::size_t count, Options& options) {
  const Json* value = config.find("activations");
  if (!value) return;
  if (value->kind != Json::Kind::list || value->list.size() != count)
    config.wrong("activations", "a list of functions");
  ActivationChoice<double>* const functions[] = {&options.cell.gate, &options.cell.candidate, &options.cell.output};
  for (std::size_t i = 0; i < count; ++i) *functions[i] = activation_of(config, "activations", value->list[i]);
}

double probability(const Config& config, const Json& value) {
  if (value.kind != Json::Kind::number || !(value.number >= 0) || !(value.number < 1)) {
    config.wrong("zoneout", "a probability, or two");
  }
  return value.number;
}

void read_zoneout(Config& config, bool has_cell_state, Options& options) {
  const Json* value = config.find("zoneout");
  if (!value) return;
  if (has_cell_state && value->kind == Json::Kind::list && value->list.size() == 2) {
    options.zoneout_h = probability(config, value->list[0]);
    options.zoneout_c = probability(config, value->list[1]);
  } else {
    options.zoneout_h = probability(config, *value);
    options.zoneout_c = has_cell_state ? options.zoneout_h : 0;
  }
}

Cell lstm_of(Config& config, Index hidden, Options& options) {
  options.peephole = config.flag("peephole", false);
  const bool coupled = config.flag("coupled", false), forgets = config.flag("forget_gate", true);
  options.projection = config.find("proj_size") ? config.size("proj_size", 0, hidden - 1) : 0;
  options.cell.cell_clip = config.positive("cell_clip");
  const std::string mode = config.text("clip_mode", "onnxruntime");
  if (mode != "onnxruntime" && mode != "spec") config.wrong("clip_mode", "onnxruntime or spec");
  if (mode == "spec") options.cell.output_clip = options.cell.gate_clip;
  read_activations(config, 3, options);
  config.ignore("forget_bias", "input_bias", "output_bias");  // they only set initial values
  if (coupled && !forgets) config.wrong("forget_gate", "true for a coupled LSTM");
  const double none = std::numeric_limits<double>::infinity();
  const bool clips = options.cell.cell_clip != none || options.cell.gate_clip != none;
  if (coupled) return Cell::lstm_coupled;
  if (!forgets) return Cell::lstm_no_forget;
  return options.peephole || options.layer_norm || clips || !plain_functions(options) ? Cell::lstm_variant : Cell::lstm;
}

Cell rnn_of(Config& config, bool clips, Options& options) {
  if (const Json* value = config.find("nonlinearity")) {
    options.cell.candidate = activation_of(config, "nonlinearity", *value);
  }
  const Activation kind = options.cell.candidate.kind;
  if (!clips && kind == Activation::tanh) return Cell::rnn_tanh;
  if (!clips && kind == Activation::relu) return Cell::rnn_relu;
  return Cell::rnn_variant;
}

Cell cell_of(Config& config, Index hidden, Options& options) {
  if (config.kind() == "LSTM") return lstm_of(config, hidden, options);
  const bool clips = options.cell.gate_clip != std::numeric_limits<double>::infinity();
  if (config.kind() == "RNN") return rnn_of(config, clips, options);
  read_activations(config, 2, options);
  const bool plain = !clips && plain_functions(options);
  if (config.kind() == "MGU") return plain ? Cell::mgu : Cell::mgu_variant;
  if (config.flag("reset_after", true)) return plain ? Cell::gru : Cell::gru_variant;
  return plain ? Cell::gru_reset_before : Cell::gru_reset_before_variant;
}

}  // namespace

bool is_recurrent(const std::string& kind) { return kind == "RNN" || kind == "LSTM" || kind == "GRU" || kind == "MGU"; }

Precision precision_named(const std::string& name) {
  const auto* found = std::find(std::begin(kPrecisionNames), std::end(kPrecisionNames), name);
  if (found == std::end(kPrecisionNames)) unsupported("has an unknown precision, '" + name + "'");
  return static_cast<Precision>(found - std::begin(kPrecisionNames));
}

Recurrent recurrent_of(Config& config, Index elements, Precision precision) {
  Sizes sizes{};
  sizes.input = config.size("input_size", 1, elements);
  sizes.hidden = config.size("hidden_size", 1, elements);
  sizes.layers = config.size("num_layers", 1, std::min(elements, kMostLayers));
  sizes.bias = config.flag("bias", true);
  for (const char* option : {"bidirectional", "reverse"}) {
    if (config.flag(option, false)) {
      unsupported(std::string("has a layer with ") + option + "=True, which reads sequences from their end");
    }
  }
  Options options;
  options.precision = precision;
  options.layer_norm = config.flag("layer_norm", false);
  options.cell.gate_clip = config.positive("gate_clip");
  read_zoneout(config, config.kind() == "LSTM", options);
  const Cell cell = cell_of(config, sizes.hidden, options);
  config.ignore("batch_first", "dropout", "merge", "recurrent_dropout", "input_dropout", "dtype", "tape_dtype");
  config.finish();
  try {
    return Recurrent(cell, sizes, options);
  } catch (const std::invalid_argument& error) {
    damaged(std::string("has a layer that cannot be built: ") + error.what());
  }
}

}  // namespace bptt::capi

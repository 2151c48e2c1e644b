// The layers of a stream: each reads a block of steps and writes a block of steps.
#pragma once

#include <memory>
#include <vector>

#include "core/recurrent.hpp"

namespace bptt::capi {

class Stage {
 public:
  virtual ~Stage() = default;
  // x (steps, rows, inputs) -> y (steps, rows, outputs)
  virtual void run(const float* x, float* y, Index steps) = 0;
  // Where h and c lie; nothing for layers without a state.
  virtual std::vector<Buffer<float>> state() const { return {}; }
};

// A layer of a model, with its parameters. Stages refer to layers, so a layer outlives its stages.
class Layer {
 public:
  Layer(Index reads, Index writes) : inputs(reads), outputs(writes) {}
  virtual ~Layer() = default;
  virtual std::unique_ptr<Stage> stage(Index rows) const = 0;

  const Index inputs;
  const Index outputs;
};

using Floats = std::vector<float>;

std::unique_ptr<Layer> recurrent_layer(Recurrent net, Floats parameters);
// No bias: empty.
std::unique_ptr<Layer> linear_layer(Index inputs, Index outputs, Floats weight, Floats bias, Precision precision);
std::unique_ptr<Layer> layer_norm_layer(Index width, double epsilon, Floats gain, Floats bias);
std::unique_ptr<Layer> activation_layer(Index width, Elementwise kind);
std::unique_ptr<Layer> softmax_layer(Index width);

}  // namespace bptt::capi

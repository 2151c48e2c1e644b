// A model that streams can run: the layers of a model file, in the order of a step.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "capi/stages.hpp"

namespace bptt::capi {

struct Model {
  std::vector<std::unique_ptr<Layer>> layers;
  Index inputs = 0;
  Index outputs = 0;
  Index rows = 0;  // of the embedding in front; 0: there is none
  Floats table;    // (rows, width) of the embedding
  Index width = 0;
};

// Throws Failure.
std::shared_ptr<const Model> model_of(std::string_view content);

}  // namespace bptt::capi

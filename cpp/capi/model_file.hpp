// A model file of bptt.save: a safetensors file whose metadata describe the model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "capi/json.hpp"
#include "kernels/table.hpp"

namespace bptt::capi {

struct Tensor {
  int item = 4;  // bytes of an element: 1 for int8, 4 for float32, 8 for float64
  std::vector<Index> shape;
  Index size = 0;  // in elements
  std::string_view bytes;
};

struct ModelFile {
  Json model;                             // {"kind": ..., "config": ...}
  std::string precision;                  // of a frozen model; empty: of each layer
  std::map<std::string, Tensor> tensors;  // of the model, not of an optimizer or a training run
  Index elements = 0;                     // of all of them: no size in the description can be larger
};

// Checks the format, the checksum, and that the tensors fill the file without gaps. The tensors refer to `content`.
// Throws Failure.
ModelFile parse_model_file(std::string_view content);

}  // namespace bptt::capi

// A recurrent network from its configuration in a model file.
#pragma once

#include "capi/config.hpp"
#include "core/recurrent.hpp"

namespace bptt::capi {

bool is_recurrent(const std::string& kind);

// Throws Failure.
Precision precision_named(const std::string& name);

// No size is larger than `elements`. Throws Failure.
Recurrent recurrent_of(Config& config, Index elements, Precision precision);

}  // namespace bptt::capi

// The type of sizes and distances, in elements.
#pragma once

#include <cstddef>

namespace bptt {

using Index = std::ptrdiff_t;

}  // namespace bptt

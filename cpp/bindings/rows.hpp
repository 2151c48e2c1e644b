// The rows of a ragged batch, from arrays.
#pragma once

#include "bindings/numpy.hpp"
#include "core/addressing.hpp"

namespace bptt::bindings {

// active (T,): how many of `batch` rows run at each step.
inline Rows ragged_rows(const py::array& active, Index batch) {
  const auto* counts = data_of<std::int64_t>("active", active, {-1});
  const Index time = active.shape(0);
  const std::vector<Index> each(counts, counts + time);
  if (!Rows::valid(time, batch, each.data())) {
    throw std::invalid_argument("active: must not rise, and lie between 0 and the batch");
  }
  return Rows(time, batch, each.data());
}

}  // namespace bptt::bindings

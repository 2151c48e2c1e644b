// Clipping inside the recursion: the error of every step's state, dL/dh_t or dL/dc_t whole, is bounded before it
// flows on. By value, then by the norm of each row, so that rows of a batch do not see each other: a row has the
// bits that it has alone.
#pragma once

#include <limits>

#include "kernels/table.hpp"

namespace bptt {

struct StateClip {
  double value = std::numeric_limits<double>::infinity();
  double norm = std::numeric_limits<double>::infinity();

  bool any() const {
    return value < std::numeric_limits<double>::infinity() || norm < std::numeric_limits<double>::infinity();
  }

  // rows of (rows, columns), dense.
  template <class T>
  void apply(const Kernels<T>& k, Index rows, Index columns, T* x) const;
};

}  // namespace bptt

// Gradients of small parameters (peepholes, gains and biases of layer norm). A backward pass sums them row by row of
// the batch, and adds the rows in one fixed order: the same bits for any number of threads.
#pragma once

#include "core/recurrent.hpp"

namespace bptt {

// The first column of each parameter in these rows; -1: the network does not have that parameter.
struct RowSums {
  explicit RowSums(const Recurrent& net);

  // Adds the sums of `rows` rows to the gradients.
  template <class T>
  void add_to(const DirectionParameters<T>& gradients, const Recurrent& net, const Kernels<T>& k, Index rows,
              const T* sums) const;

  Index peephole = -1, norm_ih = -1, bias_ih = -1, norm_hh = -1, bias_hh = -1, norm_c = -1, bias_norm_c = -1;
  Index total = 0;
};

}  // namespace bptt

// Arguments of kernels without a time axis: losses, and rules of optimizers.
#pragma once

#include <cstdint>

#include "kernels/index.hpp"

namespace bptt {

// Loss kernels work on rows of C classes or columns and return a float64 sum, weighted but not scaled.
template <class T>
struct LossRows {
  Index rows;
  Index columns;
  const T* y;
  const T* target;             // (rows, columns), or
  const std::int64_t* labels;  // (rows)
  const bool* mask;            // (rows) or null
  const double* weight;        // (rows) or null: every row has weight 1
  const T* column;             // (columns) or null: a parameter of each column, such as the weight of a class
  double parameter;            // label smoothing, or Huber's delta
  double scale;                // of the gradient
  T* dy;                       // or null
};

// The weight of a row.
template <class T>
__attribute__((always_inline)) constexpr double row_weight(const LossRows<T>& args, Index row) {
  return args.weight ? args.weight[row] : 1.0;
}

struct SgdRule {
  double lr, momentum, weight_decay;
  bool nesterov;
};

// The vectors of an update. `moment` is a running mean of signed values, or null where a rule has none; `square` is one
// of squares. `extra` is a centered rule's running mean of gradients, or the largest `square` so far.
template <class T>
struct RuleVectors {
  const T* g;
  T* p;
  T* moment;
  T* square;
  T* extra;
};

struct RmspropRule {
  double lr, decay, momentum, epsilon, weight_decay;
};
struct AdamRule {
  double lr, beta1, beta2, epsilon, weight_decay, correction1, correction2;
  bool decoupled;
};

}  // namespace bptt

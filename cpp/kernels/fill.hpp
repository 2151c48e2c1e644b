// Fills the table of one instruction set. Included by exactly one translation unit for each.
#pragma once

#include "kernels/cells/gru.hpp"
#include "kernels/cells/lstm.hpp"
#include "kernels/cells/mgu.hpp"
#include "kernels/cells/rnn.hpp"
#include "kernels/cells/small_steps.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/losses.hpp"
#include "kernels/optimizers.hpp"
#include "kernels/peak.hpp"
#include "kernels/product.hpp"
#include "kernels/reduced/compact.hpp"
#include "kernels/reduced/fill_bfloat16.hpp"
#include "kernels/reduced/fill_int8.hpp"
#include "kernels/row_modifiers.hpp"
#include "kernels/weighted_losses.hpp"

namespace bptt::BPTT_ISA {

template <class T>
constexpr void fill_losses(Kernels<T>& k) {
  k.cross_entropy = cross_entropy<T>;
  k.squared_error = squared_error<T>;
  k.binary_cross_entropy = binary_cross_entropy<T>;
  k.weighted_cross_entropy = weighted_cross_entropy<T>;
  k.weighted_binary_cross_entropy = weighted_binary_cross_entropy<T>;
  k.absolute_error = sum_of_terms<T, AbsoluteError>;
  k.huber = sum_of_terms<T, Huber>;
  k.quantile = sum_of_terms<T, Quantile>;
}

template <class T>
constexpr void fill_rules(Kernels<T>& k) {
  k.sgd = sgd<T>;
  k.rmsprop = rmsprop<T>;
  k.adam = adam<T>;
  k.centered_rmsprop = centered_rmsprop<T>;
  k.amsgrad = amsgrad<T>;
}

template <class T>
constexpr Kernels<T> fill_table() {
  Kernels<T> k{};
  k.lanes = kLanes<T>;
  k.panel_count = panel_count<T>;
  k.packed_size = packed_size<T>;
  k.pack = pack<T, PlainOperands<T>>;
  k.product = product<T>;
  k.transposed_product = transposed_product<T>;
  k.transposed_scratch = kTransposedScratch<T>;
  k.add_columns = add_columns<T>;

#define BPTT_CELL(name, traits, ...)                                      \
  k.forward[static_cast<int>(Cell::name)] = forward_step<T, __VA_ARGS__>; \
  k.backward[static_cast<int>(Cell::name)] = backward_step<T, __VA_ARGS__>;
#include "kernels/cells/cells.def"
#undef BPTT_CELL

  // Without a fused multiply-add, small layers gain nothing.
  if constexpr (kFused && sizeof(T) == sizeof(float)) k.small_steps = small_kernels<SmallPlain<T>>();
  k.blend = blend<T>;
  k.unblend = unblend<T>;
  k.multiply = multiply<T>;
  k.normalise = normalise<T>;
  k.normalise_back = normalise_back<T>;
  if constexpr (sizeof(T) == sizeof(float)) {
    k.compact = compact;
    k.expand = expand;
  }

  k.activate = activate<T>;
  k.exp = apply<T, exp<T>>;
  k.tanh = apply<T, tanh<T>>;
  k.sigmoid = apply<T, sigmoid<T>>;
#define BPTT_ELEMENTWISE(name)                                            \
  k.elementwise[static_cast<int>(Elementwise::name)] = apply<T, name<T>>; \
  k.elementwise_back[static_cast<int>(Elementwise::name)] = apply_back<T, name##_slope<T>>;
  BPTT_ELEMENTWISE(tanh)
  BPTT_ELEMENTWISE(relu)
  BPTT_ELEMENTWISE(sigmoid)
  BPTT_ELEMENTWISE(gelu)
  BPTT_ELEMENTWISE(silu)
#undef BPTT_ELEMENTWISE
  k.softmax = softmax<T>;
  k.softmax_back = softmax_back<T>;
  fill_losses(k);
  k.sum_of_squares = sum_of_squares<T>;
  k.multiply_add = multiply_add<T>;
  k.scale = scale<T>;
  k.add = add<T>;
  k.clip = clip<T>;
  k.largest_magnitude = largest_magnitude<T>;
  k.bernoulli = bernoulli<T>;
  k.dropout = dropout<T>;
  fill_rules(k);
  return k;
}

extern const Kernels<float> kernels_float32;
extern const Kernels<double> kernels_float64;
constexpr Kernels<float> kernels_float32 = fill_table<float>();
constexpr Kernels<double> kernels_float64 = fill_table<double>();

}  // namespace bptt::BPTT_ISA

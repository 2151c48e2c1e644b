// The weights of one layer and direction as the forward kernels want them.
#pragma once

#include "core/recurrent.hpp"

namespace bptt {

// Whether the input weights are for one product over many steps, or for the fused step.
enum class Projection { hoisted, fused };

template <class T>
struct PackedDirection {
  PackedDirection(const Recurrent& net, const Kernels<T>& kernels, Index input, Projection projection);

  // Part `index` of `parts`; all parts together fill the buffers.
  void pack(const DirectionParameters<const T>& from, int index, int parts);

  PanelShape input_shape;      // (input, G * H), plain if hoisted, by gates if fused
  PanelShape recurrent_shape;  // (H, G * H), by gates
  Buffer<T> weight_ih;
  Buffer<T> weight_hh;
  Buffer<T> bias;         // (G * H): what the projection starts from
  Buffer<T> hidden_bias;  // (H), GRU: b_hn, which stays on the recurrent side

 private:
  const Kernels<T>& k_;
  bool has_hidden_bias_;
};

}  // namespace bptt

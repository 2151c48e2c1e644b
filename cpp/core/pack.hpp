// The weights of one layer and direction as the forward kernels want them.
#pragma once

#include "core/recurrent.hpp"

namespace bptt {

// How the columns of the input weights are cut: for one product over many steps, or by gates, like the recurrent
// weights, for the step that projects its own input. The product takes either.
enum class InputPanels { plain, by_gates };

template <class T>
struct PackedDirection {
  PackedDirection(const Recurrent& net, const Kernels<T>& kernels, Index input, InputPanels panels);

  // Part `index` of `parts`; all parts together fill the buffers.
  void pack(const DirectionParameters<const T>& from, int index, int parts);

  PanelShape input_shape;      // (input, G * H)
  PanelShape recurrent_shape;  // (H, G * H), by gates
  Buffer<T> weight_ih;
  Buffer<T> weight_hh;
  Buffer<T> bias;         // (G * H): what the projection starts from
  Buffer<T> hidden_bias;  // (H), GRU: b_hn, which stays on the recurrent side
  Buffer<T> peephole;     // (3, H)

 private:
  const Kernels<T>& k_;
};

// A snapshot of all weights, ready for the forward pass.
template <class T>
class PackedNetwork {
 public:
  PackedNetwork(const Recurrent& net, const T* parameters, InputPanels panels);
  // With the panels that serve most shapes.
  PackedNetwork(const Recurrent& net, const T* parameters);

  const Kernels<T>& kernels() const { return kernels_; }
  const PackedDirection<T>& at(Index number) const { return directions_[static_cast<std::size_t>(number)]; }

 private:
  const Kernels<T>& kernels_;
  std::vector<PackedDirection<T>> directions_;  // L * D
};

}  // namespace bptt

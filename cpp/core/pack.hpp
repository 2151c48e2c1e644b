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
  PanelShape recurrent_shape;  // (P, G * H), by gates; of a cell with two products without the last gate
  PanelShape last_shape;       // (P, H), the last gate
  PanelShape output_shape;     // (H, P): the projection
  Buffer<T> weight_ih;
  Buffer<T> weight_hh;
  Buffer<T> weight_last;
  Buffer<T> weight_hr;
  Buffer<T> bias;         // (G * H): what the projection starts from
  Buffer<T> hidden_bias;  // (H), GRU: b_hn, which stays on the recurrent side
  Buffer<T> peephole;
  Buffer<T> norm_ih;      // gains of layer norm, as in DirectionParameters
  Buffer<T> norm_hh;
  Buffer<T> norm_c;
  Buffer<T> bias_norm_c;
  LstmOptions<T> lstm;

 private:
  const Kernels<T>& k_;
};

// And as the backward kernels want them: gate gradients on the left, weights as the right operand.
template <class T>
struct PackedBackward {
  // `with_input`: weight_ih is wanted, too.
  PackedBackward(const Recurrent& net, const Kernels<T>& kernels, Index input, bool with_input);

  void pack(const DirectionParameters<const T>& from, int index, int parts);

  PanelShape input_shape;      // (G * H, input), its gates in the order of the gate gradients
  PanelShape recurrent_shape;  // (G * H, P); of a cell with two products without the last gate
  PanelShape last_shape;       // (H, P)
  PanelShape output_shape;     // (P, H)
  Buffer<T> weight_ih;
  Buffer<T> weight_hh;
  Buffer<T> weight_last;
  Buffer<T> weight_hr;
  LstmOptions<T> lstm;

 private:
  const Kernels<T>& k_;
  Index rotate_;
};

template <class T>
LstmOptions<T> rounded(const LstmOptions<double>& options);

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

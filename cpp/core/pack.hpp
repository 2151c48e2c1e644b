// The weights of one layer and direction in the order in which kernels read them.
#pragma once

#include "core/recurrent.hpp"

namespace bptt {

// How the columns of the input weights are cut: for one product over many steps, or by gates, like the recurrent
// weights, for the step that projects its own input. The product takes either.
enum class InputPanels { plain, by_gates };

// The right operand of a product.
template <class T>
struct PackedMatrix {
  void allocate(const Kernels<T>& k) { panels = Buffer<T>(k.packed_size(shape)); }

  // Part `index` of `parts`; all parts together fill the panels. `source` says where the weights lie.
  void pack(const Kernels<T>& k, PackPanels<T> source, int index, int parts) const;

  PanelShape shape{};
  Buffer<T> panels{};  // empty: not needed
};

template <class T>
struct PackedForward {
  PackedForward(const Recurrent& net, const Kernels<T>& kernels, Index input, InputPanels panels);

  // Part `index` of `parts`; all parts together fill the buffers.
  void pack(const DirectionParameters<const T>& from, int index, int parts);

  PackedMatrix<T> weight_ih;    // (input, G * H)
  PackedMatrix<T> weight_hh;    // (P, G * H), by gates; of a cell with two products without the last gate
  PackedMatrix<T> weight_last;  // (P, H), the last gate of such a cell
  PackedMatrix<T> weight_hr;    // (H, P): the projection
  Buffer<T> bias;               // (G * H): what the projection of the input starts from
  Buffer<T> hidden_bias;        // (H), GRU: b_hn, which stays on the recurrent side
  Buffer<T> peephole;
  Buffer<T> norm_ih;  // gains of layer norm, as in DirectionParameters
  Buffer<T> norm_hh;
  Buffer<T> norm_c;
  Buffer<T> bias_norm_c;
  CellOptions<T> options;

 private:
  void merge_biases(const DirectionParameters<const T>& from) const;

  const Kernels<T>& k_;
};

// For the backward pass: gate gradients are the left operand, weights the right one.
template <class T>
struct PackedBackward {
  // `with_input`: weight_ih is needed, too.
  PackedBackward(const Recurrent& net, const Kernels<T>& kernels, Index input, bool with_input);

  void pack(const DirectionParameters<const T>& from, int index, int parts) const;

  PackedMatrix<T> weight_ih;    // (G * H, input), its gates in the order of the gate gradients
  PackedMatrix<T> weight_hh;    // (G * H, P); of a cell with two products without the last gate
  PackedMatrix<T> weight_last;  // (H, P)
  PackedMatrix<T> weight_hr;    // (P, H)
  CellOptions<T> options;

 private:
  const Kernels<T>& k_;
  Index rotate_;
};

// A snapshot of all weights, ready for the forward pass.
template <class T>
class PackedNetwork {
 public:
  PackedNetwork(const Recurrent& net, const T* parameters, InputPanels panels);
  // With the panels that serve most shapes.
  PackedNetwork(const Recurrent& net, const T* parameters);

  const Kernels<T>& kernels() const { return kernels_; }
  const PackedForward<T>& at(Index number) const { return directions_[static_cast<std::size_t>(number)]; }

 private:
  const Kernels<T>& kernels_;
  std::vector<PackedForward<T>> directions_;  // L * D
};

}  // namespace bptt

#include "core/pack.hpp"

#include <cstring>

#include "runtime/isa.hpp"
#include "runtime/team.hpp"

namespace bptt {
namespace {

template <class T>
CellOptions<T> rounded(const CellOptions<double>& from) {
  const auto choice = [](const ActivationChoice<double>& a) {
    return ActivationChoice<T>{a.kind, static_cast<T>(a.alpha), static_cast<T>(a.beta)};
  };
  return {choice(from.gate),
          choice(from.candidate),
          choice(from.output),
          static_cast<T>(from.gate_clip),
          static_cast<T>(from.output_clip),
          static_cast<T>(from.cell_clip),
          from.forgets};
}

// Gates of the first recurrent product.
Index first_gates(const Recurrent& net) { return net.traits.gates - (net.traits.two_products ? 1 : 0); }

}  // namespace

template <class T>
void PackedMatrix<T>::pack(const Kernels<T>& k, PackPanels<T> source, int index, int parts) const {
  if (!panels.data()) return;
  const Range part = slice_of(k.panel_count(shape), index, parts);
  source.shape = shape;
  source.packed = panels.data();
  source.panel_begin = part.begin;
  source.panel_end = part.end;
  k.pack(source);
}

template <class T>
PackedForward<T>::PackedForward(const Recurrent& net, const Kernels<T>& kernels, Index input, InputPanels panels)
    : weight_ih{{input, net.traits.gates * net.hidden, 1}}, weight_hh{{net.output, net.hidden, first_gates(net)}},
      weight_last{{net.output, net.hidden, 1}}, weight_hr{{net.hidden, net.output, 1}}, bias(weight_ih.shape.units),
      options(rounded<T>(net.options.cell)), k_(kernels) {
  if (panels == InputPanels::by_gates) weight_ih.shape = {input, net.hidden, net.traits.gates};
  weight_ih.allocate(kernels);
  weight_hh.allocate(kernels);
  if (net.traits.two_products) weight_last.allocate(kernels);
  if (net.options.projection) weight_hr.allocate(kernels);
  if (net.traits.has_hidden_bias) hidden_bias = Buffer<T>(net.hidden);
  if (net.options.peephole) peephole = Buffer<T>(net.traits.peepholes * net.hidden);
  if (net.options.layer_norm) {
    norm_ih = Buffer<T>(net.traits.gates * net.hidden);
    norm_hh = Buffer<T>(net.traits.gates * net.hidden);
    if (net.traits.has_cell_state) norm_c = Buffer<T>(net.hidden);
    if (net.traits.has_cell_state && net.bias) bias_norm_c = Buffer<T>(net.hidden);
  }
}

template <class T>
void PackedForward<T>::pack(const DirectionParameters<const T>& from, int index, int parts) {
  const auto pack_matrix = [&](const T* source, const PackedMatrix<T>& matrix) {
    PackPanels<T> panels{};
    panels.source = source;
    panels.k_stride = 1;
    panels.n_stride = matrix.shape.depth;
    matrix.pack(k_, panels, index, parts);
  };
  pack_matrix(from.weight_ih, weight_ih);
  pack_matrix(from.weight_hh, weight_hh);
  pack_matrix(from.weight_hh + weight_hh.shape.gates * weight_hh.shape.units * weight_last.shape.depth, weight_last);
  pack_matrix(from.weight_hr, weight_hr);
  if (index != 0) return;

  merge_biases(from);
  const auto copy = [](const T* source, const Buffer<T>& to) {
    if (to.data()) std::memcpy(to.data(), source, static_cast<std::size_t>(to.size()) * sizeof(T));
  };
  copy(from.peephole, peephole);
  copy(from.norm_ih, norm_ih);
  copy(from.norm_hh, norm_hh);
  copy(from.norm_c, norm_c);
  copy(from.bias_norm_c, bias_norm_c);
}

// The two biases of a gate are added once, here, but for a hidden bias.
template <class T>
void PackedForward<T>::merge_biases(const DirectionParameters<const T>& from) const {
  const Index columns = weight_ih.shape.gates * weight_ih.shape.units;
  const Index last = columns - weight_hh.shape.units;  // first column of the last gate
  for (Index n = 0; n < columns; ++n) {
    const T ih = from.bias_ih ? from.bias_ih[n] : T{0};
    const T hh = from.bias_hh ? from.bias_hh[n] : T{0};
    if (hidden_bias.data() && n >= last) {
      bias.data()[n] = ih;
      hidden_bias.data()[n - last] = hh;
    } else {
      bias.data()[n] = ih + hh;
    }
  }
}

template <class T>
PackedBackward<T>::PackedBackward(const Recurrent& net, const Kernels<T>& kernels, Index input, bool with_input)
    : weight_ih{{net.traits.gates * net.hidden, input, 1}}, weight_hh{{first_gates(net) * net.hidden, net.output, 1}},
      weight_last{{net.hidden, net.output, 1}}, weight_hr{{net.output, net.hidden, 1}},
      options(rounded<T>(net.options.cell)), k_(kernels), rotate_(net.input_rotate * net.hidden) {
  weight_hh.allocate(kernels);
  if (with_input) weight_ih.allocate(kernels);
  if (net.traits.two_products) weight_last.allocate(kernels);
  if (net.options.projection) weight_hr.allocate(kernels);
}

template <class T>
void PackedBackward<T>::pack(const DirectionParameters<const T>& from, int index, int parts) const {
  const auto pack_matrix = [&](const T* source, Index rotate, const PackedMatrix<T>& matrix) {
    PackPanels<T> panels{};
    panels.source = source;
    panels.k_stride = matrix.shape.units;
    panels.n_stride = 1;
    panels.rotate = rotate;
    matrix.pack(k_, panels, index, parts);
  };
  pack_matrix(from.weight_hh, 0, weight_hh);
  pack_matrix(from.weight_hh + weight_hh.shape.depth * weight_hh.shape.units, 0, weight_last);
  pack_matrix(from.weight_hr, 0, weight_hr);
  pack_matrix(from.weight_ih, rotate_, weight_ih);
}

template <class T>
PackedNetwork<T>::PackedNetwork(const Recurrent& net, const T* parameters, InputPanels panels)
    : kernels_(bptt::kernels<T>(net.options.precision)) {
  for (Index layer = 0; layer < net.layers; ++layer) {
    for (Index d = 0; d < net.directions; ++d) {
      directions_.emplace_back(net, kernels_, net.input_of(layer), panels)
          .pack(direction_parameters(net, parameters, layer, d), 0, 1);
    }
  }
}

template <class T>
PackedNetwork<T>::PackedNetwork(const Recurrent& net, const T* parameters)
    : PackedNetwork(net, parameters,
                    net.hidden % bptt::kernels<T>().lanes == 0 ? InputPanels::by_gates : InputPanels::plain) {}

template struct PackedMatrix<float>;
template struct PackedMatrix<double>;
template struct PackedForward<float>;
template struct PackedForward<double>;
template struct PackedBackward<float>;
template struct PackedBackward<double>;
template class PackedNetwork<float>;
template class PackedNetwork<double>;

}  // namespace bptt

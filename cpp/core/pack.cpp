#include "core/pack.hpp"

#include <cstring>

#include "runtime/isa.hpp"
#include "runtime/team.hpp"

namespace bptt {

template <class T>
LstmOptions<T> rounded(const LstmOptions<double>& from) {
  const auto choice = [](const ActivationChoice<double>& a) {
    return ActivationChoice<T>{a.kind, static_cast<T>(a.alpha), static_cast<T>(a.beta)};
  };
  return {choice(from.gate),
          choice(from.candidate),
          choice(from.output),
          static_cast<T>(from.gate_clip),
          static_cast<T>(from.output_clip),
          static_cast<T>(from.cell_clip)};
}

template <class T>
PackedDirection<T>::PackedDirection(const Recurrent& net, const Kernels<T>& kernels, Index input, InputPanels panels)
    : input_shape{input, net.traits.gates * net.hidden, 1},
      recurrent_shape{net.output, net.hidden, net.traits.gates - (net.traits.two_products ? 1 : 0)},
      last_shape{net.output, net.hidden, 1}, output_shape{net.hidden, net.output, 1}, bias(input_shape.units),
      lstm(rounded<T>(net.options.lstm)), k_(kernels) {
  if (panels == InputPanels::by_gates) input_shape = {input, net.hidden, net.traits.gates};
  weight_ih = Buffer<T>(kernels.packed_size(input_shape));
  weight_hh = Buffer<T>(kernels.packed_size(recurrent_shape));
  if (net.traits.two_products) weight_last = Buffer<T>(kernels.packed_size(last_shape));
  if (net.options.projection) weight_hr = Buffer<T>(kernels.packed_size(output_shape));
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
void PackedDirection<T>::pack(const DirectionParameters<const T>& from, int index, int parts) {
  const auto pack_matrix = [&](PanelShape shape, const T* source, const Buffer<T>& packed) {
    if (!packed.data()) return;
    const Range panels = share(k_.panel_count(shape), index, parts);
    PackPanels<T> args{};
    args.shape = shape;
    args.source = source;
    args.k_stride = 1;
    args.n_stride = shape.depth;
    args.packed = packed.data();
    args.panel_begin = panels.begin;
    args.panel_end = panels.end;
    k_.pack(args);
  };
  pack_matrix(input_shape, from.weight_ih, weight_ih);
  pack_matrix(recurrent_shape, from.weight_hh, weight_hh);
  pack_matrix(last_shape, from.weight_hh + recurrent_shape.gates * recurrent_shape.units * last_shape.depth,
              weight_last);
  pack_matrix(output_shape, from.weight_hr, weight_hr);
  if (index != 0) return;

  const Index columns = input_shape.gates * input_shape.units;
  const Index hidden = recurrent_shape.units;
  for (Index n = 0; n < columns; ++n) {
    const T ih = from.bias_ih ? from.bias_ih[n] : T{0};
    const T hh = from.bias_hh ? from.bias_hh[n] : T{0};
    const Index own = n - (columns - hidden);  // in the last gate, if not negative
    if (hidden_bias.data() && own >= 0) {
      bias.data()[n] = ih;
      hidden_bias.data()[own] = hh;
    } else {
      bias.data()[n] = ih + hh;
    }
  }
  const auto copy = [](const T* source, const Buffer<T>& to) {
    if (to.data()) std::memcpy(to.data(), source, static_cast<std::size_t>(to.size()) * sizeof(T));
  };
  copy(from.peephole, peephole);
  copy(from.norm_ih, norm_ih);
  copy(from.norm_hh, norm_hh);
  copy(from.norm_c, norm_c);
  copy(from.bias_norm_c, bias_norm_c);
}

template <class T>
PackedBackward<T>::PackedBackward(const Recurrent& net, const Kernels<T>& kernels, Index input, bool with_input)
    : input_shape{net.traits.gates * net.hidden, input, 1},
      recurrent_shape{(net.traits.gates - (net.traits.two_products ? 1 : 0)) * net.hidden, net.output, 1},
      last_shape{net.hidden, net.output, 1}, output_shape{net.output, net.hidden, 1},
      weight_hh(kernels.packed_size(recurrent_shape)), lstm(rounded<T>(net.options.lstm)), k_(kernels),
      rotate_(net.input_rotate * net.hidden) {
  if (with_input) weight_ih = Buffer<T>(kernels.packed_size(input_shape));
  if (net.traits.two_products) weight_last = Buffer<T>(kernels.packed_size(last_shape));
  if (net.options.projection) weight_hr = Buffer<T>(kernels.packed_size(output_shape));
}

template <class T>
void PackedBackward<T>::pack(const DirectionParameters<const T>& from, int index, int parts) {
  const auto pack_matrix = [&](PanelShape shape, const T* source, Index rotate, const Buffer<T>& packed) {
    if (!packed.data()) return;
    const Range panels = share(k_.panel_count(shape), index, parts);
    PackPanels<T> args{};
    args.shape = shape;
    args.source = source;
    args.k_stride = shape.units;
    args.n_stride = 1;
    args.rotate = rotate;
    args.packed = packed.data();
    args.panel_begin = panels.begin;
    args.panel_end = panels.end;
    k_.pack(args);
  };
  pack_matrix(recurrent_shape, from.weight_hh, 0, weight_hh);
  pack_matrix(last_shape, from.weight_hh + recurrent_shape.depth * recurrent_shape.units, 0, weight_last);
  pack_matrix(output_shape, from.weight_hr, 0, weight_hr);
  pack_matrix(input_shape, from.weight_ih, rotate_, weight_ih);
}

template <class T>
PackedNetwork<T>::PackedNetwork(const Recurrent& net, const T* parameters, InputPanels panels)
    : kernels_(bptt::kernels<T>()) {
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

template struct PackedDirection<float>;
template struct PackedDirection<double>;
template struct PackedBackward<float>;
template struct PackedBackward<double>;
template class PackedNetwork<float>;
template class PackedNetwork<double>;

}  // namespace bptt

#include "core/pack.hpp"

#include <cstring>

#include "runtime/isa.hpp"
#include "runtime/team.hpp"

namespace bptt {

template <class T>
PackedDirection<T>::PackedDirection(const Recurrent& net, const Kernels<T>& kernels, Index input, InputPanels panels)
    : input_shape{input, net.traits.gates * net.hidden, 1}, recurrent_shape{net.hidden, net.hidden, net.traits.gates},
      bias(input_shape.units), k_(kernels) {
  if (panels == InputPanels::by_gates) input_shape = {input, net.hidden, net.traits.gates};
  weight_ih = Buffer<T>(kernels.packed_size(input_shape));
  weight_hh = Buffer<T>(kernels.packed_size(recurrent_shape));
  if (net.traits.has_hidden_bias) hidden_bias = Buffer<T>(net.hidden);
  if (net.traits.has_peephole) peephole = Buffer<T>(3 * net.hidden);
}

template <class T>
void PackedDirection<T>::pack(const DirectionParameters<const T>& from, int index, int parts) {
  const auto pack_matrix = [&](PanelShape shape, const T* source, Index row, T* packed) {
    const Range panels = share(k_.panel_count(shape), index, parts);
    PackPanels<T> args{};
    args.shape = shape;
    args.source = source;
    args.k_stride = 1;
    args.n_stride = row;
    args.packed = packed;
    args.panel_begin = panels.begin;
    args.panel_end = panels.end;
    k_.pack(args);
  };
  pack_matrix(input_shape, from.weight_ih, input_shape.depth, weight_ih.data());
  pack_matrix(recurrent_shape, from.weight_hh, recurrent_shape.depth, weight_hh.data());
  if (index != 0) return;

  const Index columns = recurrent_shape.gates * recurrent_shape.units;
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
  if (peephole.data()) std::memcpy(peephole.data(), from.peephole, static_cast<std::size_t>(3 * hidden) * sizeof(T));
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
template class PackedNetwork<float>;
template class PackedNetwork<double>;

}  // namespace bptt

#include "core/stream.hpp"

#include <cstring>
#include <stdexcept>

#include "core/schedule.hpp"

namespace bptt {

template <class T>
Stream<T>::Stream(const Recurrent& net, const T* parameters, Index batch)
    : traits_(net.traits), hidden_(net.hidden), batch_(batch), layers_(net.layers),
      fused_(Schedule(net, 1, batch, sizeof(T)).fuses_projection(net, kernels<T>().lanes)),
      packed_(net, parameters, fused_ ? InputPanels::by_gates : InputPanels::plain), k_(packed_.kernels()) {
  if (net.directions != 1) {
    throw std::invalid_argument("stream: a bidirectional network needs the whole sequence, and cannot be stepped");
  }
  const Index state = net.layers * batch * hidden_;
  gates_ = Buffer<T>(batch * traits_.tape_gates * hidden_);
  next_ = Buffer<T>(batch * hidden_);
  h_ = Buffer<T>(state);
  std::memset(h_.data(), 0, static_cast<std::size_t>(state) * sizeof(T));
  if (traits_.has_cell_state) {
    c_ = Buffer<T>(state);
    std::memset(c_.data(), 0, static_cast<std::size_t>(state) * sizeof(T));
  }
}

template <class T>
void Stream<T>::step(const T* x, T* y) {
  const Index size = batch_ * hidden_;
  for (Index layer = 0; layer < layers_; ++layer) {
    const PackedDirection<T>& w = packed_.at(layer);
    const Index at = layer * size;
    T* gates = traits_.tape_gates ? gates_.data() : next_.data();
    const Index gates_row = traits_.tape_gates ? traits_.tape_gates * hidden_ : hidden_;
    ForwardStep<T> s{};
    if (fused_) {
      s.last_first = odd_;
      s.x = x;
      s.x_row = s.input = w.input_shape.depth;
      s.w = w.weight_ih.data();
      s.bias = w.bias.data();
    } else {
      Product<T> p{};
      p.rows = batch_;
      p.shape = w.input_shape;
      p.a_row = w.input_shape.depth;
      p.a = x;
      p.b = w.weight_ih.data();
      p.init = w.bias.data();
      p.out = gates;
      p.out_row = gates_row;
      p.panel_end = k_.panel_count(w.input_shape);
      k_.product(p);
    }
    s.rows = batch_;
    s.hidden = hidden_;
    s.panel_end = k_.panel_count(w.recurrent_shape);
    s.u = w.weight_hh.data();
    s.h_prev = h_.data() + at;
    s.h_prev_row = s.h_row = s.c_row = hidden_;
    s.gates = gates;
    s.gates_row = gates_row;
    s.hidden_bias = w.hidden_bias.data();
    s.peephole = w.peephole.data();
    if (c_.data()) s.c = c_.data() + at;
    s.c_prev = s.c;
    s.h = next_.data();
    k_.forward[static_cast<int>(traits_.cell)](s);
    std::memcpy(h_.data() + at, next_.data(), static_cast<std::size_t>(size) * sizeof(T));
    x = h_.data() + at;
  }
  std::memcpy(y, x, static_cast<std::size_t>(size) * sizeof(T));
  odd_ = !odd_;
}

template class Stream<float>;
template class Stream<double>;

}  // namespace bptt

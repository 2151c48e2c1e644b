#include "core/stream.hpp"

#include <cstring>
#include <stdexcept>

#include "core/schedule.hpp"

namespace bptt {

template <class T>
Stream<T>::Stream(const Recurrent& net, const T* parameters, Index batch)
    : net_(net), batch_(batch), gates_row_(net.tape_gates ? net.tape_gates * net.hidden : net.hidden),
      flops_(static_cast<double>(net.layers) * Schedule(net, 1, batch, sizeof(T)).step_flops()),
      poll_steps_(Schedule(net, 1, batch, sizeof(T)).poll_steps()),
      fused_(Schedule(net, 1, batch, sizeof(T)).fuses_projection(net, kernels<T>().lanes) && !net.options.layer_norm &&
             !net.traits.two_products),
      packed_(net, parameters, fused_ ? InputPanels::by_gates : InputPanels::plain), k_(packed_.kernels()),
      gates_(batch * net.tape_gates * net.hidden), next_(batch * net.output), h_(net.layers * batch * net.output),
      scratch_(net, net.surrounded() ? batch : 0, false) {
  if (net.directions != 1) {
    throw std::invalid_argument("stream: a bidirectional network needs the whole sequence, and cannot be stepped");
  }
  std::memset(h_.data(), 0, static_cast<std::size_t>(h_.size()) * sizeof(T));
  if (net.traits.has_cell_state) {
    c_ = Buffer<T>(net.layers * batch * net.hidden);
    std::memset(c_.data(), 0, static_cast<std::size_t>(c_.size()) * sizeof(T));
  }
}

template <class T>
void Stream<T>::step(const T* x, T* y) {
  const Index size = batch_ * net_.output;
  const auto bytes = static_cast<std::size_t>(size) * sizeof(T);
  for (Index layer = 0; layer < net_.layers; ++layer) {
    const PackedDirection<T>& w = packed_.at(layer);
    T* const h = h_.data() + layer * size;
    T* gates = net_.tape_gates ? gates_.data() : next_.data();
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
      p.init = net_.options.layer_norm ? nullptr : w.bias.data();
      p.out = gates;
      p.out_row = gates_row_;
      p.panel_end = k_.panel_count(w.input_shape);
      k_.product(p);
      if (net_.options.layer_norm) normalise_input(net_, k_, w, batch_, gates, gates_row_);
    }
    s.rows = batch_;
    s.hidden = net_.hidden;
    s.output = net_.output;
    s.panel_end = k_.panel_count(w.recurrent_shape);
    s.u = w.weight_hh.data();
    s.h_in = s.h_prev = h;
    s.h_in_row = s.h_prev_row = s.h_row = net_.output;
    s.c_row = s.c_prev_row = net_.hidden;
    s.gates = gates;
    s.gates_row = gates_row_;
    s.hidden_bias = w.hidden_bias.data();
    s.peephole = w.peephole.data();
    s.lstm = &w.lstm;
    if (c_.data()) s.c = c_.data() + layer * batch_ * net_.hidden;
    s.c_prev = s.c;
    s.h = next_.data();
    if (net_.surrounded()) {
      step_around(net_, k_, w, s, {}, scratch_.at(0));
    } else {
      k_.forward[static_cast<int>(net_.traits.cell)](s);
    }
    std::memcpy(h, next_.data(), bytes);
    x = h;
  }
  std::memcpy(y, x, bytes);
  odd_ = !odd_;
}

template class Stream<float>;
template class Stream<double>;

}  // namespace bptt

#include "core/streams/stream.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "core/modifiers/layer_norm.hpp"
#include "core/modifiers/modified_step.hpp"
#include "core/schedule.hpp"
#include "core/step_arguments.hpp"

namespace bptt {

template <class T>
Stream<T>::Stream(const Recurrent& net, const T* parameters, Index batch)
    : net_(net), batch_(batch), gates_row_(net.tape_gates ? net.tape_gates * net.hidden : net.hidden),
      flops_(static_cast<double>(net.layers) * Schedule(net, 1, batch, sizeof(T)).step_flops()),
      poll_steps_(Schedule(net, 1, batch, sizeof(T)).poll_steps()),
      fused_(
          SmallLayers<T>::serve(net, batch) ||
          (net.may_fuse_projection() && Schedule(net, 1, batch, sizeof(T)).fuses_projection(net, kernels<T>().lanes))),
      packed_(net, parameters, fused_ ? InputPanels::by_gates : InputPanels::plain), k_(packed_.kernels()),
      gates_(batch * net.tape_gates * net.hidden), next_(batch * net.output), h_(net.layers * batch * net.output),
      scratch_(net, net.modifies_steps() ? batch : 0, false) {
  if (!net.reads_forward_only()) {
    throw std::invalid_argument("stream: a direction that reads from the end needs the whole sequence");
  }
  std::memset(h_.data(), 0, static_cast<std::size_t>(h_.size()) * sizeof(T));
  if (net.traits.has_cell_state) {
    c_ = Buffer<T>(net.layers * batch * net.hidden);
    std::memset(c_.data(), 0, static_cast<std::size_t>(c_.size()) * sizeof(T));
  }
  if (SmallLayers<T>::serve(net, batch)) {
    small_.emplace(net, packed_, batch);
  } else {
    for (Index layer = 0; layer < net.layers; ++layer) steps_.push_back(arguments(layer));
  }
}

template <class T>
ForwardStep<T> Stream<T>::arguments(Index layer) const {
  const PackedForward<T>& w = packed_.at(layer);
  ForwardStep<T> s = common_arguments(net_, w, fused_);
  s.rows = batch_;
  s.panel_end = k_.panel_count(w.weight_hh.shape);
  s.h_in = s.h_prev = h_.data() + layer * batch_ * net_.output;
  s.h = next_.data();
  s.h_in_row = s.h_prev_row = s.h_row = net_.output;
  s.gates = net_.tape_gates ? gates_.data() : next_.data();
  s.gates_row = gates_row_;
  if (c_.data()) s.c_prev = s.c = c_.data() + layer * batch_ * net_.hidden;
  return s;
}

template <class T>
void Stream<T>::step(const T* x, T* y) {
  if (small_) return small_->run(x, y, h_.data(), c_.data(), 1);
  const Index size = batch_ * net_.output;
  const auto bytes = static_cast<std::size_t>(size) * sizeof(T);
  for (Index layer = 0; layer < net_.layers; ++layer) {
    step_layer(layer, x);
    T* const h = h_.data() + layer * size;
    std::memcpy(h, next_.data(), bytes);
    x = h;
  }
  std::memcpy(y, x, bytes);
  odd_ = !odd_;
}

// The other rows do not read these rows, so all rows run, and the state of these rows is put back.
template <class T>
void Stream<T>::step(const T* x, T* y, const std::uint8_t* skip) {
  const auto for_each_held = [&](Buffer<T>& held, const Buffer<T>& state, Index width, auto copy) {
    if (!state.data()) return;
    if (!held.data()) held = Buffer<T>(state.size());
    for (Index row = 0; row < net_.layers * batch_; ++row) {
      if (!skip[row % batch_]) continue;
      copy(held.data() + row * width, state.data() + row * width, static_cast<std::size_t>(width) * sizeof(T));
    }
  };
  const auto keep = [](T* held, const T* state, std::size_t bytes) { std::memcpy(held, state, bytes); };
  const auto put_back = [](const T* held, T* state, std::size_t bytes) { std::memcpy(state, held, bytes); };
  for_each_held(held_h_, h_, net_.output, keep);
  for_each_held(held_c_, c_, net_.hidden, keep);
  step(x, y);
  for_each_held(held_h_, h_, net_.output, put_back);
  for_each_held(held_c_, c_, net_.hidden, put_back);
  for (Index b = 0; b < batch_; ++b) {
    if (skip[b]) std::memset(y + b * net_.output, 0, static_cast<std::size_t>(net_.output) * sizeof(T));
  }
}

template <class T>
void Stream<T>::run(const T* x, T* y, const std::uint8_t* skip, Index time, Interrupt& interrupt) {
  if (small_ && !skip) {
    for (Index t = 0; t < time && !interrupt.stopped(); t += poll_steps_) {
      const Index steps = std::min(poll_steps_, time - t);
      small_->run(x + t * batch_ * net_.input, y + t * batch_ * net_.output, h_.data(), c_.data(), steps);
      interrupt.poll();
    }
    return;
  }
  for (Index t = 0; t < time && !interrupt.stopped(); ++t) {
    const T* const from = x + t * batch_ * net_.input;
    T* const to = y + t * batch_ * net_.output;
    if (skip) {
      step(from, to, skip + t * batch_);
    } else {
      step(from, to);
    }
    if ((t + 1) % poll_steps_ == 0) interrupt.poll();
  }
}

// Leaves h in next_.
template <class T>
void Stream<T>::step_layer(Index layer, const T* x) {
  const PackedForward<T>& w = packed_.at(layer);
  ForwardStep<T>& s = steps_[static_cast<std::size_t>(layer)];
  if (fused_) {
    s.x = x;
    s.last_first = odd_;
  } else {
    const bool norm = net_.options.layer_norm;
    const RowSpan<T> a{s.gates, s.gates_row};
    project_rows<T>(k_, batch_, {x, w.weight_ih.shape.depth}, w.weight_ih, norm ? nullptr : w.bias.data(), a);
    if (norm) layer_norm::forward_input(net_, k_, w, batch_, a, {});
  }
  if (!net_.modifies_steps()) {
    run_step(k_, net_.traits, s);
    return;
  }
  ForwardContext<T> f{net_, k_, w, {}, scratch_.at(0), s};
  forward_modified(f);
}

template class Stream<float>;
template class Stream<double>;

}  // namespace bptt

#include "core/modifiers/cell_stages.hpp"

#include "core/modifiers/layer_norm.hpp"

namespace bptt::cell_stages {
namespace {

template <class T>
void run(ForwardContext<T>& f, Stage stage) {
  f.step.stage = stage;
  run_step(f.k, f.net.traits, f.step);
}

template <class T>
void run(BackwardContext<T>& b, Cell cell, Stage stage) {
  b.step.stage = stage;
  b.k.backward[static_cast<int>(cell)](b.step);
}

// Where the recurrent product goes. Layer norm needs it separately; else it is added to the input side.
template <class T>
RowSpan<T> recurrent_side(const ForwardContext<T>& f) {
  if (f.net.options.layer_norm) return {f.arrays.hat_hh, f.net.traits.gates * f.net.hidden};
  return {f.step.gates, f.step.gates_row};
}

// Two products: the last gate's product reads what the other gates made of h_in, which is stored after the gates.
template <class T>
void forward_two_products(ForwardContext<T>& f, RowSpan<T> to) {
  const bool norm = f.net.options.layer_norm;
  const layer_norm::Group last = layer_norm::last_gate(f.net);
  const RowSpan<T> to_last{to.data + last.begin, to.row};
  if (norm) layer_norm::forward_recurrent(f, {0, last.begin, 0});
  run(f, Stage::gates);
  multiply_rows<T>(f.k, f.step.rows, {f.step.gates + last.end, f.step.gates_row}, f.weights.weight_last,
                   norm ? nullptr : to_last.data, to_last);
  if (norm) layer_norm::forward_recurrent(f, last);
  run(f, Stage::output);
}

template <class T>
void forward_normalised(ForwardContext<T>& f) {
  layer_norm::for_each_group(f.net, [&](const layer_norm::Group& group) { layer_norm::forward_recurrent(f, group); });
  if (!f.net.normalises_cell()) return run(f, Stage::whole);
  run(f, Stage::gates);
  layer_norm::forward_cell(f);
  run(f, Stage::output);
}

template <class T>
void backward_two_products(BackwardContext<T>& b) {
  const bool norm = b.net.options.layer_norm;
  const layer_norm::Group last = layer_norm::last_gate(b.net);
  BackwardStep<T>& s = b.step;
  const Index H = b.net.hidden;
  const Cell cell = b.net.traits.cell;
  run(b, cell, Stage::output);
  if (norm) layer_norm::backward_recurrent(b, last);
  copy_rows<T>(s.rows, H, {s.gates + last.end, s.gates_row}, b.chunk.last_in);
  multiply_rows<T>(b.k, s.rows, {b.dgates.data + b.net.recurrent_at * H + last.begin, b.dgates.row},
                   b.weights.weight_last, nullptr, {s.dh, H});
  run(b, cell, Stage::gates);
  if (norm) layer_norm::backward_recurrent(b, {0, last.begin, 0});
}

// An LSTM whose c is normalised for h, or whose dL/dc_t is clipped.
template <class T>
void backward_in_stages(BackwardContext<T>& b, bool clips_cell) {
  // The plain LSTM's kernel takes no stages; its variant inverts the same tape.
  const Cell own = b.net.traits.cell;
  const Cell cell = clips_cell && own == Cell::lstm ? Cell::lstm_variant : own;
  const bool normalises = b.net.normalises_cell();
  if (normalises) layer_norm::recompute_cell(b);
  run(b, cell, Stage::output);
  if (normalises) layer_norm::backward_cell(b);
  run(b, cell, Stage::cell);
  if (clips_cell) b.clip.apply(b.k, b.step.rows, b.net.hidden, b.step.dh);
  run(b, cell, Stage::gates);
}

}  // namespace

template <class T>
void forward(ForwardContext<T>& f) {
  const bool norm = f.net.options.layer_norm;
  if (!norm && !f.net.traits.two_products) return run(f, Stage::whole);
  const RowSpan<T> to = recurrent_side(f);
  multiply_rows<T>(f.k, f.step.rows, {f.step.h_in, f.step.h_in_row}, f.weights.weight_hh, norm ? nullptr : to.data, to);
  f.step.u = nullptr;
  if (f.net.traits.two_products) return forward_two_products(f, to);
  forward_normalised(f);
}

template <class T>
void backward(BackwardContext<T>& b) {
  const bool norm = b.net.options.layer_norm;
  if (norm) {
    b.step.dgates = b.arrays.raw;
    b.step.dgates_row = b.net.traits.dgates * b.net.hidden;
  }
  // With zoneout of c, dL/dc_t was clipped before it was split.
  const bool clips_cell = b.clip.any() && b.net.traits.has_cell_state && !b.arrays.direct_c;
  if (b.net.traits.two_products) {
    backward_two_products(b);
  } else if (clips_cell || b.net.normalises_cell()) {
    backward_in_stages(b, clips_cell);
  } else {
    run(b, b.net.traits.cell, Stage::whole);
  }
  if (!norm) return;
  const auto recurrent = [&](const layer_norm::Group& group) { layer_norm::backward_recurrent(b, group); };
  const auto input = [&](const layer_norm::Group& group) { layer_norm::backward_input(b, group); };
  if (!b.net.traits.two_products) layer_norm::for_each_group(b.net, recurrent);
  layer_norm::for_each_group(b.net, input);
}

template void forward(ForwardContext<float>&);
template void forward(ForwardContext<double>&);
template void backward(BackwardContext<float>&);
template void backward(BackwardContext<double>&);

}  // namespace bptt::cell_stages

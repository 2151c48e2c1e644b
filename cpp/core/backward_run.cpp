#include "core/backward_run.hpp"

#include <utility>

#include "runtime/isa.hpp"

namespace bptt {

template <class T>
BackwardRuns<T>::BackwardRuns(const BackwardAddresses<T>& addresses, const BackwardArgs<T>& args, const Tape<T>& tape,
                              const Needs& needs)
    : addresses_(addresses), net_(addresses.net()), rows_(addresses.rows()) {
  for (Index d = 0; d < net_.directions; ++d) memories_.push_back(new_memory(needs, tape.interventions.input_mask));
  for (Index layer = net_.layers - 1; layer >= 0; --layer) add_layer(args, tape, layer);
}

template <class T>
BackwardMemory<T> BackwardRuns<T>::new_memory(const Needs& needs, bool masks_inputs) const {
  BackwardMemory<T> memory;
  const Index batch = rows_.batch();
  const Index rows = (addresses_.chunk() + 1) * batch;
  const Index sums = addresses_.columns().total;
  if (needs.scratch) memory.scratch = std::make_shared<BackwardScratch<T>>(net_, batch);
  memory.dgates = Buffer<T>(rows * addresses_.dgates_row());
  memory.dh = Buffer<T>(addresses_.state_rows() * net_.output);
  if (net_.traits.has_carry) memory.carry = Buffer<T>(addresses_.state_rows() * net_.hidden);
  if (sums) memory.sums = Buffer<T>(batch * sums);
  if (rows_.ragged() || needs.scratch) memory.h_in = Buffer<T>(rows * net_.output);
  if (net_.traits.two_products) memory.last_in = Buffer<T>(rows * net_.hidden);
  if (net_.options.projection) {
    memory.inner = Buffer<T>(rows * net_.hidden);
    memory.dprojected = Buffer<T>(rows * net_.output);
  }
  if (addresses_.windowed()) {
    const Index slots = rows + batch;
    memory.window = new_tape_arrays<T, T>(net_, rows, slots);
    memory.window_h = Buffer<T>(slots * net_.width());
    memory.window_x = Buffer<T>(rows * std::max(masks_inputs ? net_.input : 0, net_.layers > 1 ? net_.y_width() : 0));
  }
  if (needs.halves) {
    const Index widest = std::max(net_.input, net_.layers > 1 ? net_.y_width() : 0);
    for (int half = 0; half < 2; ++half) memory.halves.emplace_back(net_.summed_parameters(widest));
  }
  memory.dh_squares = Buffer<double>(rows * addresses_.panels());
  if (net_.traits.has_cell_state) memory.dc_squares = Buffer<double>(rows * addresses_.panels());
  return memory;
}

// The errors between layers alternate between two buffers.
template <class T>
T* BackwardRuns<T>::dx_of(const BackwardArgs<T>& args, Index layer) {
  if (layer == 0) return args.dx;
  Buffer<T>& buffer = between_[layer % 2];
  if (!buffer.data()) buffer = Buffer<T>(rows_.total() * net_.input_of(layer));
  return buffer.data();
}

template <class T>
void BackwardRuns<T>::add_layer(const BackwardArgs<T>& args, const Tape<T>& tape, Index layer) {
  const Index input = net_.input_of(layer);
  T* const dx = dx_of(args, layer);
  // The reverse direction has a separate buffer, so both directions can run at once.
  if (net_.directions == 2 && !reverse_dx_.data()) {
    reverse_dx_ = Buffer<T>(rows_.total() * std::max(net_.input, net_.y_width()));
  }
  for (Index d = 0; d < net_.directions; ++d) {
    BackwardRun<T>& run = runs_.emplace_back();
    static_cast<BackwardMemory<T>&>(run) = memories_[static_cast<std::size_t>(d)];
    run.parameters = direction_parameters(net_, args.parameters, layer, d);
    if (args.gradients) run.gradients = direction_parameters(net_, args.gradients, layer, d);
    run.number = layer * net_.directions + d;
    run.order = {rows_.time(), net_.reads_from_end(d)};
    run.input = input;
    run.x = tape.interventions.input_mask ? tape.dropped_x.data() : tape.x;
    run.x_is_below = layer > 0 && tape.dropout == 0 && !net_.merges() && !tape.interventions.input_mask;
    if (tape.compact) {
      find_window(tape, layer, d, run);
    } else {
      find_tape(tape, layer, d, run);
    }
    run.is_first = layer == 0;
    run.is_last = layer + 1 == net_.layers;
    run.dy = run.is_last ? args.dy : upper_dx_;
    if (run.dy && net_.merges()) {
      if (!split_dy_.data()) split_dy_ = Buffer<T>(rows_.total() * net_.width());
      run.merged = std::exchange(run.dy, split_dy_.data());
    }
    if (run.dy) run.dy += d * net_.output;
    run.dx = d == 0 || !dx ? dx : reverse_dx_.data();
    run.weights = std::make_unique<PackedBackward<T>>(net_, kernels<T>(net_.options.precision), input, dx != nullptr);
  }
  upper_dx_ = dx;
}

template <class T>
void BackwardRuns<T>::find_tape(const Tape<T>& tape, Index layer, Index d, BackwardRun<T>& run) const {
  const TapeLayer<T>& kept = tape.layers[static_cast<std::size_t>(layer)];
  if (layer > 0) {
    const TapeLayer<T>& below = tape.layers[static_cast<std::size_t>(layer - 1)];
    run.x = run.x_is_below ? below.h.data() : below.passed.data();
  }
  run.h = kept.h.data() + d * net_.output;
  run.tape = &kept.directions[static_cast<std::size_t>(d)];
  run.c = run.tape->c.data();
}

template <class T>
void BackwardRuns<T>::find_window(const Tape<T>& tape, Index layer, Index d, BackwardRun<T>& run) const {
  const TapeLayer<Compact>& kept = tape.compact_layers[static_cast<std::size_t>(layer)];
  run.kept_x = tape.interventions.input_mask ? tape.compact_dropped_x.data() : nullptr;
  if (layer > 0) {
    const TapeLayer<Compact>& below = tape.compact_layers[static_cast<std::size_t>(layer - 1)];
    run.kept_x = run.x_is_below ? below.h.data() + rows_.batch() * net_.width() : below.passed.data();
  }
  run.x_is_below = false;
  if (run.kept_x) run.x = run.window_x.data();
  run.kept = &kept.directions[static_cast<std::size_t>(d)];
  run.kept_h = kept.h.data() + d * net_.output;
  run.h = run.window_h.data() + d * net_.output;
  run.tape = &memories_[static_cast<std::size_t>(d)].window;
  run.c = run.tape->c.data();
}

template class BackwardRuns<float>;
template class BackwardRuns<double>;

}  // namespace bptt

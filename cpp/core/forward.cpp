// The forward pass: per layer and direction pack the weights, then per chunk of time project its inputs in one
// product and run the fused steps over it.
#include <deque>
#include <utility>

#include "core/end_states.hpp"
#include "core/modifiers/input_dropout.hpp"
#include "core/modifiers/layer_norm.hpp"
#include "core/modifiers/merge.hpp"
#include "core/modifiers/modified_step.hpp"
#include "core/schedule.hpp"
#include "core/step_arguments.hpp"
#include "core/tape/window.hpp"
#include "runtime/float_mode.hpp"

namespace bptt {
namespace {

template <class T>
class ForwardPass {
 public:
  ForwardPass(const Recurrent& net, const ForwardArgs<T>& args, Tape<T>* tape, Interrupt& interrupt)
      : net_(net), args_(args), rows_(tape ? tape->rows : args.rows), tape_(tape), interrupt_(interrupt),
        k_(args.packed ? args.packed->kernels() : kernels<T>(net.options.precision)),
        schedule_(net, args.rows.time(), args.rows.batch(), sizeof(T)),
        chunk_(std::min(args.rows.time(), schedule_.projected_steps())),
        modified_(net.modifies_steps() || args.interventions.change_steps()),
        fused_(schedule_.fuses_projection(net, k_.lanes) && net.may_fuse_projection() &&
               (!args.packed || args.packed->at(0).weight_ih.shape.gates == net.traits.gates)),
        whole_(tape && !tape->compact), addresses_(net, rows_, chunk_,
                                                   whole_ ? Taped::whole
                                                   : tape ? Taped::window
                                                          : Taped::none),
        ends_(net, args, rows_, addresses_), interventions_(net, args.interventions, rows_), window_(net, rows_, k_) {
    if (!tape && schedule_.stores_halves(net, rows_, !modified_)) rows_.halve();
  }

  void run() {
    if (windowed()) {
      const Index batch = rows_.batch();
      for (Index d = 0; d < net_.directions; ++d) {
        windows_.push_back(new_tape_arrays<T, T>(net_, chunk_ * batch, (chunk_ + 2) * batch));
      }
    }
    for (Index layer = 0; layer < net_.layers; ++layer) prepare(layer);
    panels_ = k_.panel_count(runs_.front().weights->weight_hh.shape);
    if (modified_) {
      for (Index d = 0; d < net_.directions; ++d) scratch_.emplace_back(net_, rows_.batch(), tape_ != nullptr);
    }
    run_team(schedule_.threads(), [this](int index, int threads) {
      const FlushSubnormals mode;
      const Crew everyone = schedule_.everyone(index, threads);
      const Worker worker = schedule_.worker(index, threads, rows_, panels_, modified_);
      if (!args_.packed) pack(index, threads, worker.crew);
      if (masks_inputs()) {
        const Range rows = everyone.slice_of(rows_.total());
        const Index at = rows.begin * net_.input, size = (rows.end - rows.begin) * net_.input;
        drop_input(0, rows, args_.x + at, dropped_x() + at);
        if (windowed()) k_.compact(size, dropped_x() + at, tape_->compact_dropped_x.data() + at);
        everyone.sync();
      }
      for (Index layer = 0; layer < net_.layers; ++layer) {
        for (Index d = 0; d < net_.directions; ++d) {
          if (schedule_.works_on(index, threads, d)) run_direction(run_of(layer, d), worker);
        }
        if (layer + 1 < net_.layers || net_.merges()) finish_layer(layer, everyone, worker.keeps_own_rows);
      }
    });
  }

 private:
  ForwardRun<T>& run_of(Index layer, Index d) { return runs_[static_cast<std::size_t>(layer * net_.directions + d)]; }
  typename Tape<T>::Layer& taped(Index layer) const { return tape_->layers[static_cast<std::size_t>(layer)]; }
  const ForwardRun<T>& run_of(Index layer, Index d) const {
    return runs_[static_cast<std::size_t>(layer * net_.directions + d)];
  }
  bool windowed() const { return tape_ && !whole_; }
  T* dropped_x() const { return whole_ ? tape_->dropped_x.data() : dropped_x_.data(); }
  bool masks_inputs() const { return tape_ && args_.interventions.input_mask; }
  bool drops(Index layer) const { return tape_ && (tape_->dropout > 0 || masks_inputs()) && layer + 1 < net_.layers; }
  // Whether y of this layer is an array besides its h, and this array.
  bool passes_on(Index layer) const { return net_.merges() || drops(layer); }
  T* passed_of(Index layer) const {
    if (whole_) return taped(layer).passed.data();
    return layer + 1 == net_.layers ? args_.y : passed_.data();
  }

  // The recursion of one layer and direction.
  void run_direction(const ForwardRun<T>& run, const Worker& worker) const {
    const Range mine = worker.crew.slice_of(rows_.batch());
    ends_.load(run, mine);
    if (run.y) {
      const Index start = run.order.slot_before(run.order.at(0));
      copy_output(run, {start, start + 1}, mine);
    }
    if (!worker.keeps_own_rows) worker.crew.sync();
    for (Index begin = 0; begin < rows_.time(); begin += chunk_) {
      const Index end = std::min(begin + chunk_, rows_.time());
      const Chunk chunk = chunk_of(run.order, begin, end);
      if (worker.polls) interrupt_.poll();
      if (windowed()) enter_window(run, chunk, worker);
      if (!fused_) project(run, chunk, worker);
      for (Index s = begin; s < end; ++s) step(run, s, chunk.low, worker);
      if (worker.split == Split::leader_only || (!whole_ && !worker.keeps_own_rows)) worker.crew.sync();
      if (windowed()) leave_window(run, chunk, worker);
      if (run.y && !interrupt_.stopped()) copy_output(run, {chunk.low + 1, chunk.high() + 2}, mine);
    }
    if (!worker.keeps_own_rows) worker.crew.sync();
    ends_.store(run, mine);
  }

  void enter_window(const ForwardRun<T>& run, const Chunk& chunk, const Worker& worker) const {
    ends_.enter_chunk(run, chunk, worker.crew.slice_of(rows_.batch()));
    if (fused_ && !worker.keeps_own_rows) worker.crew.sync();  // else the projection ends with it
  }
  void leave_window(const ForwardRun<T>& run, const Chunk& chunk, const Worker& worker) const {
    if (!interrupt_.stopped()) {
      ends_.leave_chunk(run, chunk, worker.crew.slice_of(rows_.batch()));
      window_.keep(run, chunk, worker);
    }
    if (!worker.keeps_own_rows) worker.crew.sync();
  }

  // a_t = W x_t + b for the steps of a chunk, in one product, padding included. Step by step where a thread keeps to
  // its rows; and where gates are h itself, whose padding holds states that the reverse direction starts from.
  void project(const ForwardRun<T>& run, const Chunk& chunk, const Worker& worker) const {
    if (!interrupt_.stopped()) {
      if (worker.keeps_own_rows || rows_.halved()) {
        for (Index t = chunk.low; t <= chunk.high(); ++t) {
          rows_.for_each_part(worker.crew.slice_of(rows_.batch()),
                              [&](Range rows) { project_rows_of(run, t, rows, chunk.low); });
        }
      } else {
        const Index each = rows_.ragged() && run.order.reverse && !net_.tape_gates ? 1 : chunk.steps;
        for (Index t = chunk.low; t <= chunk.high(); t += each) {
          const Index high = t + each - 1;
          const Index count = rows_.base(high) + rows_.active(high) - rows_.base(t);
          project_rows_of(run, t, worker.crew.slice_of(count), chunk.low);
        }
      }
    }
    if (!worker.keeps_own_rows) worker.crew.sync();
  }

  // Rows are counted from step t on.
  void project_rows_of(const ForwardRun<T>& run, Index t, Range rows, Index low) const {
    const bool norm = net_.options.layer_norm;
    const Index count = rows.end - rows.begin;
    const PackedForward<T>& w = *run.weights;
    const RowSpan<T> a{addresses_.gates_at(run, t, rows.begin, low), addresses_.gates_row()};
    project_rows<T>(k_, count, {addresses_.x_at(run, t, rows.begin), w.weight_ih.shape.depth}, w.weight_ih,
                    norm ? nullptr : w.bias.data(), a);
    if (!norm) return;
    const Index at = addresses_.taped_row(t, low) + rows.begin;
    layer_norm::Kept<T> kept{};
    if (run.tape) {
      kept = {run.tape->hat_ih.data() + at * net_.traits.gates * net_.hidden, run.tape->scale_ih.data() + at * 2};
    }
    layer_norm::forward_input(net_, k_, w, count, a, kept);
  }

  // h_t, c_t from a_t, h_{t-1}, c_{t-1}: step number s of the recursion.
  void step(const ForwardRun<T>& run, Index s, Index low, const Worker& worker) const {
    if (worker.polls && s % schedule_.poll_steps() == 0) interrupt_.poll();
    const Index t = run.order.at(s);
    const Index active = rows_.active(t);
    const bool rows_change_hands = s > 0 && active != rows_.active(run.order.at(s - 1));
    if (worker.split == Split::rows && rows_change_hands) worker.crew.sync();
    if (!interrupt_.stopped() && (worker.split != Split::leader_only || worker.crew.leads())) {
      const Range mine = worker.split == Split::rows ? worker.crew.slice_of(active) : Range{0, active};
      const Range panels = worker.split == Split::units ? worker.crew.slice_of(panels_) : Range{0, panels_};
      const Units units{panels, schedule_.alternates() && t % 2 != 0};
      rows_.for_each_part(mine, [&](Range rows) { step_rows(run, t, low, rows, units); });
    }
    if (worker.split == Split::units) worker.crew.sync();
  }

  void step_rows(const ForwardRun<T>& run, Index t, Index low, Range rows, const Units& units) const {
    const ForwardStep<T> s = step_arguments(addresses_, run, t, low, rows, units);
    if (!modified_) {
      run_step(k_, net_.traits, s);
      return;
    }
    const ForwardScratch<T>& scratch = scratch_[static_cast<std::size_t>(run.number % net_.directions)];
    ForwardContext<T> f{net_,
                        k_,
                        *run.weights,
                        interventions_.at(run.order, run.number, t, rows.begin),
                        run.tape ? scratch.at(rows.begin, *run.tape, addresses_.taped_row(t, low) + rows.begin)
                                 : scratch.at(rows.begin),
                        s};
    forward_modified(f);
  }

  // Copies the latest slots to the caller's output, which is stored step by step.
  void copy_output(const ForwardRun<T>& run, Range slots, Range mine) const {
    const Index width = addresses_.width();
    for (Index slot = slots.begin; slot < slots.end; ++slot) {
      rows_.for_each_part(mine, [&](Range rows) {
        std::memcpy(run.y + (rows_.slot(slot) + rows.begin) * width, addresses_.h_at(run, slot, rows.begin),
                    static_cast<std::size_t>((rows.end - rows.begin) * width) * sizeof(T));
      });
    }
  }

  // Merges the directions of a layer. Then dropout, before the layer above may start.
  void finish_layer(Index layer, const Crew& everyone, bool keeps_own_rows) const {
    if (passes_on(layer)) {
      everyone.sync();
      const Range rows = everyone.slice_of(rows_.total());
      const Index width = net_.y_width();
      const T* h = run_of(layer, 0).h + (rows_.batch() + rows.begin) * addresses_.width();
      T* const passed = passed_of(layer) + rows.begin * width;
      if (net_.merges()) {
        merge::forward(net_, rows.end - rows.begin, h, passed);
        h = passed;
      }
      if (drops(layer) && tape_->dropout > 0) {
        k_.dropout((rows.end - rows.begin) * width, (tape_->first_row + rows.begin) * width,
                   tape_->dropout_key + static_cast<std::uint64_t>(layer), tape_->dropout, h, passed);
        h = passed;
      }
      if (drops(layer) && masks_inputs()) {
        drop_input(layer + 1, rows, h, passed);
      }
      if (windowed() && layer + 1 < net_.layers) {
        Buffer<Compact>& kept = tape_->compact_layers[static_cast<std::size_t>(layer)].passed;
        k_.compact((rows.end - rows.begin) * width, passed, kept.data() + rows.begin * width);
      }
    }
    // A thread that keeps to its rows finds in the layer below what it wrote there itself.
    if (!keeps_own_rows || net_.directions == 2 || drops(layer)) everyone.sync();
  }

  // The weights of all layers, so that one barrier is enough for them.
  void pack(int index, int threads, const Crew& crew) {
    for (Index layer = 0; layer < net_.layers; ++layer) {
      for (Index d = 0; d < net_.directions; ++d) {
        if (!schedule_.works_on(index, threads, d)) continue;
        own_weights_[static_cast<std::size_t>(layer * net_.directions + d)].pack(
            direction_parameters(net_, args_.parameters, layer, d), crew.index, crew.size);
      }
    }
    crew.sync();
  }

  // Rows of what a layer reads, times its mask.
  void drop_input(Index layer, Range rows, const T* x, T* out) const {
    input_dropout::apply<T>(k_, rows_, input_dropout::mask_of(net_, args_.interventions, layer), rows, x, out);
  }

  // Everything a layer needs, allocated before the threads start.
  void prepare(Index layer) {
    T* const output = output_of(layer);
    const bool below = layer > 0 && !passes_on(layer - 1);
    if (layer == 0 && masks_inputs()) {
      (whole_ ? tape_->dropped_x : dropped_x_) = Buffer<T>(rows_.total() * net_.input);
      if (windowed()) tape_->compact_dropped_x = Buffer<Compact>(rows_.total() * net_.input);
    }
    const T* x =
        layer > 0 ? (below ? previous_output_ : passed_of(layer - 1)) : (masks_inputs() ? dropped_x() : args_.x);
    for (Index d = 0; d < net_.directions; ++d) {
      const Index number = layer * net_.directions + d;
      if (!args_.packed) {
        own_weights_.emplace_back(net_, k_, net_.input_of(layer), fused_ ? InputPanels::by_gates : InputPanels::plain);
      }
      const PackedForward<T>* weights = args_.packed ? &args_.packed->at(number) : &own_weights_.back();
      ForwardRun<T>& run = runs_.emplace_back(
          ForwardRun<T>{weights, number, {rows_.time(), net_.reads_from_end(d)}, x, below, output + d * net_.output});
      if (rows_.halved() && layer + 1 == net_.layers) {
        run.own_h = Buffer<T>(addresses_.latest_h_size());
        run.y = std::exchange(run.h, run.own_h.data());
      }
      run.common = common_arguments(net_, *weights, fused_);
      run.common.keep = tape_ != nullptr;
      prepare_gates(run, layer, d);
    }
    previous_output_ = output;
  }

  // Without a whole tape, layers alternate between two outputs, and the last layer's is the caller's, unless it is
  // merged.
  T* output_of(Index layer) {
    if (whole_) {
      Buffer<T>& passed = taped(layer).passed;
      if (drops(layer) && !passed.data()) passed = Buffer<T>(rows_.total() * net_.y_width());
      return taped(layer).h.data();
    }
    if (passes_on(layer) && !passed_.data()) passed_ = Buffer<T>(rows_.total() * net_.y_width());
    if (windowed() && passes_on(layer) && layer + 1 < net_.layers) {
      tape_->compact_layers[static_cast<std::size_t>(layer)].passed = Buffer<Compact>(rows_.total() * net_.y_width());
    }
    if (layer + 1 == net_.layers && !net_.merges()) return args_.y;
    Buffer<T>& buffer = outputs_[layer % 2];
    if (!buffer.data()) buffer = Buffer<T>(rows_.slots() * addresses_.width());
    return buffer.data();
  }

  void prepare_gates(ForwardRun<T>& run, Index layer, Index d) {
    if (whole_) {
      run.tape = &taped(layer).directions[static_cast<std::size_t>(d)];
      run.gates = run.tape->gates.data();
      run.c = run.tape->c.data();
      return;
    }
    if (net_.traits.has_cell_state) run.own_c = Buffer<T>(addresses_.current_c_size());
    run.c = run.own_c.data();
    if (tape_) {
      TapeLayer<Compact>& kept = tape_->compact_layers[static_cast<std::size_t>(layer)];
      run.tape = &windows_[static_cast<std::size_t>(d)];
      run.kept = &kept.directions[static_cast<std::size_t>(d)];
      run.kept_h = kept.h.data() + d * net_.output;
      run.gates = run.tape->gates.data();
      return;
    }
    if (net_.tape_gates) run.own_gates = Buffer<T>(addresses_.gates_size());
    run.gates = run.own_gates.data();
  }

  const Recurrent& net_;
  const ForwardArgs<T>& args_;
  Rows rows_;
  Tape<T>* tape_;
  Interrupt& interrupt_;
  const Kernels<T>& k_;
  Schedule schedule_;
  Index chunk_;
  Index panels_ = 0;  // of units, as the step divides them
  bool modified_;     // the step is more than its kernel
  bool fused_;        // the step projects its own input
  bool whole_;        // the pass writes to the tape itself, not to a window
  ForwardAddresses<T> addresses_;
  EndStates<T> ends_;
  InterventionRows<T> interventions_;
  TapeWindow<T> window_;
  std::vector<TapeArrays<T>> windows_;      // per direction, of a compact tape
  std::vector<ForwardScratch<T>> scratch_;  // per direction
  std::deque<PackedForward<T>> own_weights_;  // without a snapshot
  std::vector<ForwardRun<T>> runs_;
  Buffer<T> outputs_[2];
  Buffer<T> passed_;  // without a whole tape
  Buffer<T> dropped_x_;  // with a compact tape
  const T* previous_output_ = nullptr;
};

}  // namespace

template <class T>
void infer(const Recurrent& net, const ForwardArgs<T>& args, Interrupt& interrupt) {
  if (args.rows.batch() > 0) ForwardPass<T>(net, args, nullptr, interrupt).run();
}

template <class T>
void forward(const Recurrent& net, const ForwardArgs<T>& args, Tape<T>& tape, Interrupt& interrupt) {
  tape.x = args.x;
  tape.interventions = args.interventions;
  const bool plain = !net.modifies_steps() && !args.interventions.change_steps() && !args.interventions.input_mask &&
                     (tape.dropout == 0 || net.layers == 1);
  if (!tape.compact &&
      Schedule(net, tape.rows.time(), tape.rows.batch(), sizeof(T)).stores_halves(net, tape.rows, plain)) {
    tape.rows.halve();
  }
  if (args.rows.batch() > 0) ForwardPass<T>(net, args, &tape, interrupt).run();
}

template void infer(const Recurrent&, const ForwardArgs<float>&, Interrupt&);
template void infer(const Recurrent&, const ForwardArgs<double>&, Interrupt&);
template void forward(const Recurrent&, const ForwardArgs<float>&, Tape<float>&, Interrupt&);
template void forward(const Recurrent&, const ForwardArgs<double>&, Tape<double>&, Interrupt&);

}  // namespace bptt

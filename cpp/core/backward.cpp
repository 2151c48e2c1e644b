// Backpropagation through time: per layer from the top, per direction, per chunk of time from the end of the
// recursion run the fused steps, then the products of their gate gradients (chunk_products.hpp).
#include <cstring>

#include "core/chunk_products.hpp"
#include "core/modifiers/input_dropout.hpp"
#include "core/modifiers/merge.hpp"
#include "core/modifiers/modified_step.hpp"
#include "core/norms_over_time.hpp"
#include "core/step_arguments.hpp"
#include "core/tape/window.hpp"
#include "runtime/float_mode.hpp"

namespace bptt {
namespace {

template <class T>
void copy_or_zero(T* to, const T* from, Index size) {
  if (!to) return;
  if (from) {
    std::memcpy(to, from, static_cast<std::size_t>(size) * sizeof(T));
  } else {
    std::memset(to, 0, static_cast<std::size_t>(size) * sizeof(T));
  }
}

template <class T>
class BackwardPass {
 public:
  BackwardPass(const Recurrent& net, const BackwardArgs<T>& args, const Tape<T>& tape, Interrupt& interrupt)
      : net_(net), args_(args), tape_(tape), interrupt_(interrupt), k_(kernels<T>(net.options.precision)),
        rows_(tape.rows), time_(rows_.time()), batch_(rows_.batch()), first_(std::max<Index>(0, time_ - args.steps)),
        schedule_(net, time_ - first_, batch_, sizeof(T)),
        chunk_(std::max<Index>(1, std::min(time_ - first_, args.chunk ? args.chunk : schedule_.chunk_steps()))),
        panels_(k_.panel_count({net.traits.gates * net.hidden, net.hidden, 1})),
        modified_(net.modifies_steps() || tape.interventions.change_steps() || args.clip.any() || args.errors ||
                  args.cut),
        halves_(args.gradients && !rows_.ragged() && schedule_.sums_halves(net)),
        addresses_(net, tape, chunk_, panels_), sum_(addresses_.columns()), products_(addresses_, halves_),
        norms_(addresses_, args_), by_(tape.interventions.with_cut(args.cut)), interventions_(net, by_, rows_),
        window_(net, rows_, k_), runs_(addresses_, args, tape, {modified_, halves_ && schedule_.threads() > 1}) {}

  void run() {
    for (int i = 0; i < schedule_.threads(); ++i) {
      scratch_.emplace_back(std::max(k_.transposed_scratch, tape_.compact ? net_.width() : 0));
    }
    run_team(schedule_.threads(), [this](int index, int threads) {
      const FlushSubnormals mode;
      const Crew everyone = schedule_.everyone(index, threads);
      Worker worker = schedule_.worker(index, threads, rows_, panels_, modified_);
      worker.keeps_own_rows = worker.keeps_own_rows && !modified_;
      T* const scratch = scratch_[static_cast<std::size_t>(index)].data();
      pack(index, threads, worker.crew);
      for (Index layer = net_.layers - 1; layer >= 0; --layer) {
        split_errors(layer, everyone, scratch);
        for (Index d = 0; d < net_.directions; ++d) {
          if (schedule_.works_on(index, threads, d)) run_direction(runs_.at(layer, d), worker, scratch);
        }
        everyone.sync();
        if (finish_input(layer, everyone)) everyone.sync();
      }
    });
  }

 private:
  // The errors of both directions, from those of their merged outputs.
  void split_errors(Index layer, const Crew& crew, T* scratch) const {
    const BackwardRun<T>& run = runs_.at(layer, 0);
    if (!run.merged) return;
    const Range rows = crew.slice_of(rows_.total());
    const Index width = net_.width();
    T* const split = runs_.split_dy() + rows.begin * width;
    if (tape_.compact) {
      window_.split_errors(run, rows, scratch, split);
    } else {
      merge::backward(net_, rows.end - rows.begin, run.merged + rows.begin * net_.output,
                      run.h + (batch_ + rows.begin) * width, split);
    }
    crew.sync();
  }

  // The recursion of one layer and direction, from its last step to its first.
  void run_direction(const BackwardRun<T>& run, const Worker& worker, T* scratch) const {
    start_direction(run, worker);
    for (Index end = time_; end > first_;) {
      const Index begin = std::max(first_, end - chunk_);
      const Chunk chunk = chunk_of(run.order, begin, end);
      if (worker.polls) interrupt_.poll();
      if (tape_.compact) window_.restore(run, chunk, worker);
      for (Index s = end - 1; s >= begin; --s) step(run, {s, s + 1 == end, s + 1 == time_, chunk.low}, worker);
      finish_chunk(run, chunk, worker, scratch);
      worker.crew.sync();
      end = begin;
    }
    if (!interrupt_.stopped()) finish_state(run, worker.crew);
  }

  // Where the loop is.
  struct Place {
    Index s;
    bool first_of_chunk, first_of_all;  // in the order of this pass
    Index low;                          // of the chunk
  };

  // dL/dh_t, dL/dc_t -> gate gradients of step t.
  void step(const BackwardRun<T>& run, const Place& at, const Worker& worker) const {
    if (worker.polls && at.s % schedule_.poll_steps() == 0) interrupt_.poll();
    const bool rows_change_hands = !at.first_of_all && touched(run, at.s) != touched(run, at.s + 1);
    if (worker.split == Split::rows && rows_change_hands) worker.crew.sync();
    if (!interrupt_.stopped() && (worker.split != Split::leader_only || worker.crew.leads())) {
      const Index all = touched(run, at.s);
      const Range mine = worker.split == Split::rows ? worker.crew.slice_of(all) : Range{0, all};
      const Range panels = worker.split == Split::units ? worker.crew.slice_of(panels_) : Range{0, panels_};
      step_rows(run, at, mine, panels);
    }
    if (worker.split == Split::units) worker.crew.sync();
  }

  // Rows that step number s of the recursion works on: in reverse, also those that began with the step before it in
  // the order of this pass, and now leave the recursion.
  Index touched(const BackwardRun<T>& run, Index s) const {
    return rows_.active(run.order.reverse && s + 1 < time_ ? run.order.at(s + 1) : run.order.at(s));
  }

  // The rows and panels of one thread.
  void step_rows(const BackwardRun<T>& run, const Place& at, Range mine, Range panels) const {
    const Index t = run.order.at(at.s);
    const Index active = rows_.active(t);
    const Units units{panels, schedule_.alternates() && t % 2 != 0};
    // Rows below `later` were in the next step of the recursion, too; others end with this step.
    const Index later = at.first_of_all ? 0 : std::min(active, rows_.active(run.order.at(at.s + 1)));
    const Index leaving = run.order.reverse && !at.first_of_all ? rows_.active(t - 1) : 0;
    const auto dgates_next = [&](Index b) {
      const Index row =
          at.first_of_chunk ? addresses_.before_chunk(b) : addresses_.in_chunk(run.order.at(at.s + 1), b, at.low);
      return run.dgates.data() + row * addresses_.dgates_row();
    };
    const auto for_each = [&](Index begin, Index end, auto visit) {
      rows_.for_each_part({std::max(mine.begin, begin), std::min(mine.end, end)}, visit);
    };
    const auto invert = [&](Range rows) { invert_rows(run, t, at.low, rows, units, nullptr); };
    const auto invert_after = [&](Range rows) { invert_rows(run, t, at.low, rows, units, dgates_next(rows.begin)); };
    const auto arrive = [&](Range rows) { arrive_at_state(run, rows, panels, dgates_next(rows.begin), at.s + 1); };
    if (modified_) {
      for_each(0, later, arrive);
      for_each(active, leaving, arrive);
      for_each(0, active, invert);
      return;
    }
    for_each(0, later, invert_after);
    for_each(later, active, invert);
    for_each(active, leaving, arrive);
  }

  // The error of the state that rows started step number s of the recursion from, from the step's gate gradients.
  void arrive_at_state(const BackwardRun<T>& run, Range rows, Range panels, const T* dgates, Index s) const {
    const Index count = rows.end - rows.begin;
    T* const dh = addresses_.dh_at(run, rows.begin);
    if (modified_) {
      const Index t = run.order.at(s);
      backward_modified_state<T>({net_,
                                  k_,
                                  *run.weights,
                                  interventions_.at(run.order, run.number, t, rows.begin),
                                  run.scratch->at(rows.begin),
                                  count,
                                  {dgates, addresses_.dgates_row()},
                                  dh,
                                  addresses_.carry_at(run, rows.begin)});
      return;
    }
    const RowSpan<const T> recurrent{dgates + net_.recurrent_at * net_.hidden, addresses_.dgates_row()};
    Product<T> p = product_of<T>(k_, count, recurrent, run.weights->weight_hh, {dh, net_.hidden});
    p.panel_begin = panels.begin;
    p.panel_end = panels.end;
    k_.product(p);
  }

  // dgates_next: gate gradients of the next step of the recursion, for the first of the rows; null: dh is complete.
  void invert_rows(const BackwardRun<T>& run, Index t, Index low, Range rows, const Units& units,
                   const T* dgates_next) const {
    BackwardStep<T> step = step_arguments(addresses_, run, t, low, rows, units);
    step.dgates_next = dgates_next;
    if (!modified_) {
      run_step(k_, net_.traits, step);
      return;
    }
    const Index at = addresses_.in_chunk(t, rows.begin, low);
    BackwardContext<T> b{net_,
                         k_,
                         *run.weights,
                         run.parameters,
                         args_.clip,
                         sum_,
                         *run.tape,
                         addresses_.taped_row(t, rows.begin, low),
                         interventions_.at(run.order, run.number, t, rows.begin),
                         run.scratch->at(rows.begin),
                         {row_of(run.h_in, at, net_.output), row_of(run.last_in, at, net_.hidden),
                          row_of(run.inner, at, net_.hidden), row_of(run.dprojected, at, net_.output),
                          args_.errors ? errors_at(run.number, rows_.base(t) + rows.begin) : nullptr},
                         row_of(run.sums, rows.begin, sum_.total),
                         {step.dgates, step.dgates_row},
                         step};
    backward_modified(b);
  }

  // dW, dU, db and dx, from the gate gradients of a chunk.
  void finish_chunk(const BackwardRun<T>& run, const Chunk& chunk, const Worker& worker, T* scratch) const {
    const Crew& crew = worker.crew;
    // The thread finds what it wrote in its core's cache.
    if (worker.keeps_own_rows && !interrupt_.stopped()) {
      products_.multiply_input_by_steps(run, chunk, crew.slice_of(batch_));
    }
    const bool has_half = worker.keeps_own_rows && halves_ && crew.size == 2;  // no other thread has rows of its half
    if (worker.split != Split::units && !has_half) crew.sync();
    if (rows_.ragged()) {
      products_.align(run, chunk, modified_, crew);
      crew.sync();
    }
    if (!interrupt_.stopped()) {
      if (args_.gradients) products_.sum_gradients(run, chunk, crew, scratch);
      if (!worker.keeps_own_rows) products_.multiply_input(run, chunk, crew);
    }
    if (halves_) crew.sync();
    if (!interrupt_.stopped()) {
      products_.add_halves(run, crew);
      norms_.collect(run, chunk, crew);
    }
    keep_last_step(run, chunk, crew);
    // Once per chunk, as all other sums: the same bits whether a sequence is inverted as a whole or in pieces.
    if (crew.leads() && sum_.total) {
      if (args_.gradients) sum_.add_to(run.gradients, net_, k_, batch_, run.sums.data());
      copy_or_zero<T>(run.sums.data(), nullptr, run.sums.size());
    }
  }

  // The next chunk starts from the gate gradients of this chunk's last step.
  void keep_last_step(const BackwardRun<T>& run, const Chunk& chunk, const Crew& crew) const {
    const Index last = run.order.reverse ? chunk.high() : chunk.low;
    const Index row = addresses_.dgates_row();
    rows_.for_each_part(crew.slice_of(rows_.active(last)), [&](Range kept) {
      std::memcpy(run.dgates.data() + addresses_.before_chunk(kept.begin) * row,
                  run.dgates.data() + addresses_.in_chunk(last, kept.begin, chunk.low) * row,
                  static_cast<std::size_t>((kept.end - kept.begin) * row) * sizeof(T));
    });
  }

  // The errors of the final state; and zeros for steps that the pass does not go back to.
  void start_direction(const BackwardRun<T>& run, const Worker& worker) const {
    start_state(run, worker.crew.slice_of(batch_));
    if (worker.crew.leads()) {
      if (args_.errors) copy_or_zero<T>(errors_at(run.number, 0), nullptr, rows_.total() * net_.output);
      start_dx(run);
      norms_.start(run, first_);
    }
    if (!worker.keeps_own_rows) worker.crew.sync();
  }

  void start_dx(const BackwardRun<T>& run) const {
    if (run.is_first || !rows_.halved()) return copy_or_zero<T>(run.dx, nullptr, rows_.base(first_) * run.input);
    rows_.for_each_part({0, batch_}, [&](Range rows) {
      copy_or_zero<T>(run.dx + rows_.at(0, rows.begin) * run.input, nullptr,
                      first_ * (rows.end - rows.begin) * run.input);
    });
  }

  void start_state(const BackwardRun<T>& run, Range mine) const {
    rows_.for_each_part(mine, [&](Range rows) {
      const auto put = [&](const Buffer<T>& to, Index at, const T* from, Index width) {
        if (!to.data()) return;
        if (from) from += (run.number * batch_ + rows.begin) * width;
        copy_or_zero(to.data() + at * width, from, (rows.end - rows.begin) * width);
      };
      put(run.dh, addresses_.in_state(rows.begin), args_.dh, net_.output);
      put(run.carry, addresses_.in_state(rows.begin), args_.dc, net_.hidden);
      put(run.sums, rows.begin, nullptr, sum_.total);
    });
  }

  T* errors_at(Index number, Index row) const { return args_.errors + (number * rows_.total() + row) * net_.output; }

  // Gradients of the initial state: zero where the recursion did not get that far back.
  void finish_state(const BackwardRun<T>& run, const Crew& crew) const {
    rows_.for_each_part(crew.slice_of(batch_), [&](Range rows) { finish_rows(run, rows); });
  }

  void finish_rows(const BackwardRun<T>& run, Range rows) const {
    const bool arrived = first_ == 0;
    // Rows that took a step. Those of no length have arrived in any case.
    const Index moved = std::max<Index>(0, std::min(rows.end, rows_.active(0)) - rows.begin);
    const auto hand_out = [&](T* to, const Buffer<T>& from, Index width) {
      to += (run.number * batch_ + rows.begin) * width;
      const T* own = from.data() + addresses_.in_state(rows.begin) * width;
      copy_or_zero(to, arrived ? own : nullptr, moved * width);
      copy_or_zero(to + moved * width, own + moved * width, (rows.end - rows.begin - moved) * width);
    };
    if (arrived && time_ > 0) {
      // Forward, all rows began with step 0; in reverse, those are left that began with the last.
      const Range left{rows.begin, std::min(rows.end, rows_.active(run.order.reverse ? time_ - 1 : 0))};
      if (left.begin < left.end) {
        const Index at = addresses_.before_chunk(rows.begin) * addresses_.dgates_row();
        arrive_at_state(run, left, {0, panels_}, run.dgates.data() + at, 0);
      }
      if (run.carry.data() && !net_.traits.has_cell_state && !modified_) {
        k_.add(moved * net_.hidden, addresses_.carry_at(run, rows.begin), addresses_.dh_at(run, rows.begin));
      }
    }
    if (args_.dc0) hand_out(args_.dc0, run.carry, net_.hidden);
    hand_out(args_.dh0, run.dh, net_.output);
  }

  // Both directions' input gradients together, then through the dropout below. False if there was nothing to do.
  bool finish_input(Index layer, const Crew& crew) const {
    const bool dropped = layer > 0 && tape_.dropout > 0;
    const input_dropout::Mask<T> mask = input_dropout::mask_of(net_, tape_.interventions, layer);
    if (layer == 0 && !args_.dx) return false;
    if (net_.directions == 1 && !dropped && !mask.data) return false;
    if (interrupt_.stopped()) return true;
    const BackwardRun<T>& run = runs_.at(layer, 0);
    const Range rows = crew.slice_of(rows_.total());
    const Range part{rows.begin * run.input, rows.end * run.input};
    const Index size = part.end - part.begin;
    T* dx = run.dx + part.begin;
    if (net_.directions == 2) k_.add(size, runs_.at(layer, 1).dx + part.begin, dx);
    if (mask.data) input_dropout::apply<T>(k_, rows_, mask, rows, dx, dx);
    if (dropped) {
      k_.dropout(size, tape_.first_row * net_.y_width() + part.begin,
                 tape_.dropout_key + static_cast<std::uint64_t>(layer - 1), tape_.dropout, dx, dx);
    }
    return true;
  }

  // The weights of all layers, so that one barrier is enough for them.
  void pack(int index, int threads, const Crew& crew) const {
    for (Index layer = net_.layers - 1; layer >= 0; --layer) {
      for (Index d = 0; d < net_.directions; ++d) {
        const BackwardRun<T>& run = runs_.at(layer, d);
        if (schedule_.works_on(index, threads, d)) run.weights->pack(run.parameters, crew.index, crew.size);
      }
    }
    crew.sync();
  }

  const Recurrent& net_;
  const BackwardArgs<T>& args_;
  const Tape<T>& tape_;
  Interrupt& interrupt_;
  const Kernels<T>& k_;
  const Rows& rows_;
  Index time_;
  Index batch_;
  Index first_;  // the earliest step to go back to
  Schedule schedule_;
  Index chunk_;
  Index panels_;  // of units, as the step divides them
  bool modified_;  // the step is more than its kernel
  bool halves_;  // of the batch are summed separately
  BackwardAddresses<T> addresses_;
  const RowSums& sum_;
  ChunkProducts<T> products_;
  NormsOverTime<T> norms_;
  const Interventions<T> by_;
  InterventionRows<T> interventions_;
  TapeWindow<T> window_;
  BackwardRuns<T> runs_;
  std::vector<Buffer<T>> scratch_;  // per thread
};

}  // namespace

template <class T>
void backward(const Recurrent& net, const BackwardArgs<T>& args, const Tape<T>& tape, Interrupt& interrupt) {
  if (tape.rows.batch() == 0) {
    const Index steps = args.norms_of_rows ? 0 : tape.rows.time();
    const auto size = static_cast<std::size_t>(net.layers * net.directions * steps) * sizeof(double);
    std::memset(args.dh_norm, 0, size);
    if (args.dc_norm) std::memset(args.dc_norm, 0, size);
    return;
  }
  BackwardPass<T>(net, args, tape, interrupt).run();
}

template void backward(const Recurrent&, const BackwardArgs<float>&, const Tape<float>&, Interrupt&);
template void backward(const Recurrent&, const BackwardArgs<double>&, const Tape<double>&, Interrupt&);

}  // namespace bptt

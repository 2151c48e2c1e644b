// Backpropagation through time: per layer from the top, per direction, per chunk of time from the end of the
// recursion run the fused steps, then the products of what they leave (chunk_products.hpp).
#include <cstring>

#include "core/chunk_products.hpp"
#include "core/squares.hpp"
#include "runtime/float_mode.hpp"

namespace bptt {
namespace {

template <class T>
class BackwardPass {
 public:
  BackwardPass(const Recurrent& net, const BackwardArgs<T>& args, const Tape<T>& tape, Interrupt& interrupt)
      : net_(net), args_(args), tape_(tape), interrupt_(interrupt), k_(kernels<T>()), rows_(tape.rows),
        time_(rows_.time()), batch_(rows_.batch()), first_(std::max<Index>(0, time_ - args.steps)), width_(net.width()),
        dgates_row_(padded_row(net.dgates * net.hidden, sizeof(T))), schedule_(net, time_ - first_, batch_, sizeof(T)),
        chunk_(std::max<Index>(1, std::min(time_ - first_, args.chunk ? args.chunk : schedule_.chunk_steps()))),
        // Of units, as the step divides them.
        panels_(k_.panel_count({net.traits.gates * net.hidden, net.hidden, 1})),
        surrounded_(net.surrounded() || tape.interventions.any() || args.clip.any() || args.errors), sum_(net),
        halves_(!rows_.ragged() && schedule_.sums_halves(net)),
        places_{rows_, chunk_, static_cast<std::size_t>(net.hidden) * sizeof(T)},
        products_(net, places_, dgates_row_, halves_) {}

  void run() {
    for (Index d = 0; d < net_.directions; ++d) rooms_.push_back(new_room());
    for (Index layer = net_.layers - 1; layer >= 0; --layer) prepare(layer);
    for (int i = 0; i < schedule_.threads(); ++i) scratch_.emplace_back(k_.transposed_scratch);
    run_team(schedule_.threads(), [this](int index, int threads) {
      const FlushSubnormals mode;
      const Crew everyone = schedule_.everyone(index, threads);
      const Crew crew = schedule_.crew(index, threads);
      const Split split = schedule_.split(crew, panels_, surrounded_);
      const bool apart = schedule_.keeps_rows(split, crew, rows_) && !surrounded_;
      T* scratch = scratch_[static_cast<std::size_t>(index)].data();
      pack(index, threads, crew);
      for (Index layer = net_.layers - 1; layer >= 0; --layer) {
        for (Index d = 0; d < net_.directions; ++d) {
          if (schedule_.works_on(index, threads, d)) run_direction(layer, d, split, apart, crew, index == 0, scratch);
        }
        everyone.sync();
        if (finish_input(layer, everyone)) everyone.sync();
      }
    });
  }

 private:
  Work<T>& work(Index layer, Index d) {
    return work_[static_cast<std::size_t>((net_.layers - 1 - layer) * net_.directions + d)];
  }

  Room<T> new_room() const {
    Room<T> room;
    if (surrounded_) room.scratch = std::make_shared<BackScratch<T>>(net_, batch_);
    const Index steps = chunk_ + 1;
    room.dgates = Buffer<T>(steps * batch_ * dgates_row_);
    room.dh = Buffer<T>(places_.states() * net_.output);
    if (net_.traits.has_carry) room.carry = Buffer<T>(places_.states() * net_.hidden);
    if (sum_.total) room.sums = Buffer<T>(batch_ * sum_.total);
    if (rows_.ragged() || surrounded_) room.h_in = Buffer<T>(steps * batch_ * net_.output);
    if (net_.traits.two_products) room.last_in = Buffer<T>(steps * batch_ * net_.hidden);
    if (net_.options.projection) {
      room.inner = Buffer<T>(steps * batch_ * net_.hidden);
      room.dprojected = Buffer<T>(steps * batch_ * net_.output);
    }
    if (halves_ && schedule_.threads() > 1) {
      const Index widest = std::max(net_.input, net_.layers > 1 ? width_ : 0);
      for (int half = 0; half < 2; ++half) room.halves.emplace_back(net_.summed_parameters(widest));
    }
    room.dh_squares = Buffer<double>(steps * batch_ * panels_);
    if (net_.traits.has_cell_state) room.dc_squares = Buffer<double>(steps * batch_ * panels_);
    return room;
  }

  // Everything else a layer needs, allocated before the threads start. The gradients between layers alternate between
  // two buffers; the reverse direction has one of its own, so that both directions can run at once.
  void prepare(Index layer) {
    const auto& kept = tape_.layers[static_cast<std::size_t>(layer)];
    const Index input = net_.input_of(layer);
    const Index input_size = rows_.total() * input;
    T* dx = args_.dx;
    if (layer > 0) {
      Buffer<T>& buffer = between_[layer % 2];
      if (!buffer.data()) buffer = Buffer<T>(input_size);
      dx = buffer.data();
    }
    if (net_.directions == 2 && !reverse_dx_.data()) {
      reverse_dx_ = Buffer<T>(rows_.total() * std::max(net_.input, width_));
    }
    for (Index d = 0; d < net_.directions; ++d) {
      Work<T>& w = work_.emplace_back();
      static_cast<Room<T>&>(w) = rooms_[static_cast<std::size_t>(d)];
      w.parameters = direction_parameters(net_, args_.parameters, layer, d);
      w.gradients = direction_parameters(net_, args_.gradients, layer, d);
      w.number = layer * net_.directions + d;
      w.course = {time_, d == 1};
      w.input = input;
      w.x = tape_.x;
      w.x_is_below = layer > 0 && tape_.dropout == 0;
      if (layer > 0) {
        const auto& below = tape_.layers[static_cast<std::size_t>(layer - 1)];
        w.x = w.x_is_below ? below.h.data() : below.dropped.data();
      }
      w.is_first = layer == 0;
      w.is_last = layer + 1 == net_.layers;
      w.dy = w.is_last ? args_.dy : upper_dx_;
      if (w.dy) w.dy += d * net_.output;
      w.dx = d == 0 || !dx ? dx : reverse_dx_.data();
      w.h = kept.h.data() + d * net_.output;
      w.kept = &kept.directions[static_cast<std::size_t>(d)];
      w.gates = w.kept->gates.data();
      w.c = w.kept->c.data();
      w.packed = std::make_unique<PackedBackward<T>>(net_, k_, input, dx != nullptr);
    }
    upper_dx_ = dx;
  }

  static void start(T* to, const T* from, Index size) {
    if (!to) return;
    if (from) {
      std::memcpy(to, from, static_cast<std::size_t>(size) * sizeof(T));
    } else {
      std::memset(to, 0, static_cast<std::size_t>(size) * sizeof(T));
    }
  }

  // The weights of all layers, so that one barrier is enough for them.
  void pack(int index, int threads, const Crew& crew) {
    for (Index layer = net_.layers - 1; layer >= 0; --layer) {
      for (Index d = 0; d < net_.directions; ++d) {
        const Work<T>& w = work(layer, d);
        if (schedule_.works_on(index, threads, d)) w.packed->pack(w.parameters, crew.index, crew.size);
      }
    }
    crew.sync();
  }

  // `apart`: the thread keeps to its rows, and waits for others only before sums over all of them.
  void run_direction(Index layer, Index d, Split split, bool apart, const Crew& crew, bool polls, T* scratch) {
    const Work<T>& w = work(layer, d);
    start_state(w, crew.share_of(batch_));
    if (crew.leads()) {
      if (args_.errors) start(errors_at(w.number, 0), nullptr, rows_.total() * net_.output);
      start_dx(w);
      for (Index t = 0; t < first_; ++t) record_norms(w, t, {}, {});
    }
    if (!apart) crew.sync();

    // Steps of the recursion, last first; a chunk is [begin, end).
    for (Index end = time_; end > first_;) {
      const Index begin = std::max(first_, end - chunk_);
      const Index low = std::min(w.course.at(begin), w.course.at(end - 1));
      if (polls) interrupt_.poll();
      for (Index s = end - 1; s >= begin; --s) {
        if (polls && s % schedule_.poll_steps() == 0) interrupt_.poll();
        const bool as_before = s + 1 == time_ || touched(w, s) == touched(w, s + 1);
        if (split == Split::rows && !as_before) crew.sync();  // rows change hands
        if (!interrupt_.stopped()) step(w, s, low, s + 1 == end, s + 1 == time_, split, crew);
        if (split == Split::units) crew.sync();
      }
      finish_chunk(w, {low, end - begin}, split, apart, crew, scratch);
      crew.sync();
      end = begin;
    }
    if (!interrupt_.stopped()) finish_state(w, crew);
  }

  // What becomes of a chunk's gate gradients.
  void finish_chunk(const Work<T>& w, const Chunk& chunk, Split split, bool apart, const Crew& crew, T* scratch) {
    // The thread finds what it wrote in its core's cache.
    if (apart && !interrupt_.stopped()) products_.multiply_input_by_steps(w, chunk, crew.share_of(batch_));
    const bool alone = apart && halves_ && crew.size == 2;  // nobody else has rows of its half
    if (split != Split::units && !alone) crew.sync();
    if (rows_.ragged()) {
      products_.align(w, chunk, surrounded_, crew);
      crew.sync();
    }
    if (!interrupt_.stopped()) {
      products_.sum_gradients(w, chunk, crew, scratch);
      if (!apart) products_.multiply_input(w, chunk, crew);
    }
    if (halves_) crew.sync();
    if (!interrupt_.stopped()) {
      products_.add_halves(w, crew);
      collect_norms(w, chunk, crew);
    }
    const Index last = w.course.reverse ? chunk.low + chunk.steps - 1 : chunk.low;  // in the order of this pass
    rows_.for_each_part(crew.share_of(rows_.active(last)), [&](Range kept) {
      std::memcpy(w.dgates.data() + places_.kept_at(kept.begin) * dgates_row_,
                  w.dgates.data() + places_.chunk_at(last, kept.begin, chunk.low) * dgates_row_,
                  static_cast<std::size_t>((kept.end - kept.begin) * dgates_row_) * sizeof(T));
    });
    // Per chunk, as all other sums are: the same whether a sequence is inverted whole or in pieces.
    if (crew.leads() && sum_.total) {
      sum_.add_up(net_, k_, batch_, w.sums.data(), w.gradients);
      start(w.sums.data(), nullptr, w.sums.size());
    }
  }

  // Zero for the steps that are not gone back to.
  void start_dx(const Work<T>& w) const {
    if (w.is_first || !rows_.halved()) return start(w.dx, nullptr, rows_.base(first_) * w.input);
    rows_.for_each_part({0, batch_}, [&](Range rows) {
      start(w.dx + rows_.at(0, rows.begin) * w.input, nullptr, first_ * (rows.end - rows.begin) * w.input);
    });
  }

  // Gradients of the final state, to start from.
  void start_state(const Work<T>& w, Range mine) const {
    rows_.for_each_part(mine, [&](Range rows) {
      const auto hand_in = [&](const Buffer<T>& to, Index at, const T* from, Index width) {
        if (!to.data()) return;
        if (from) from += (w.number * batch_ + rows.begin) * width;
        start(to.data() + at * width, from, (rows.end - rows.begin) * width);
      };
      hand_in(w.dh, places_.state_at(rows.begin), args_.dh, net_.output);
      hand_in(w.carry, places_.state_at(rows.begin), args_.dc, net_.hidden);
      hand_in(w.sums, rows.begin, nullptr, sum_.total);
    });
  }

  // Rows that step number s of the recursion works on. In reverse, those that began with the step before it in the
  // order of this pass are to be left.
  Index touched(const Work<T>& w, Index s) const {
    return rows_.active(w.course.reverse && s + 1 < time_ ? w.course.at(s + 1) : w.course.at(s));
  }

  void step(const Work<T>& w, Index s, Index low, bool first_of_chunk, bool first_of_all, Split split,
            const Crew& crew) const {
    if (split == Split::nobody && !crew.leads()) return;
    const Index t = w.course.at(s);
    const Index all = touched(w, s);
    const Range mine = split == Split::rows ? crew.share_of(all) : Range{0, all};
    const Range units = split == Split::units ? crew.share_of(panels_) : Range{0, panels_};
    // Rows that the step after this one in the recursion had too, and those that end with this one.
    const Index later = first_of_all ? 0 : std::min(rows_.active(t), rows_.active(w.course.at(s + 1)));
    const auto dgates_next = [&](Index b) {
      const Index at = first_of_chunk ? places_.kept_at(b) : places_.chunk_at(w.course.at(s + 1), b, low);
      return w.dgates.data() + at * dgates_row_;
    };
    const auto for_each = [&](Index begin, Index end, auto visit) {
      rows_.for_each_part({std::max(mine.begin, begin), std::min(mine.end, end)}, visit);
    };
    const auto invert = [&](Range rows) { step_rows(w, t, low, rows, units, nullptr); };
    const auto invert_next = [&](Range rows) { step_rows(w, t, low, rows, units, dgates_next(rows.begin)); };
    const auto arrive = [&](Range rows) { leave(w, rows, units, dgates_next(rows.begin), s + 1); };
    // Rows that began with the step before this one in the order of this pass.
    const Index gone = w.course.reverse && !first_of_all ? rows_.active(t - 1) : 0;
    if (surrounded_) {
      for_each(0, later, arrive);
      for_each(rows_.active(t), gone, arrive);
      for_each(0, rows_.active(t), invert);
      return;
    }
    for_each(0, later, invert_next);
    for_each(later, rows_.active(t), invert);
    for_each(rows_.active(t), gone, arrive);
  }

  // dL/d(the state that rows started step number s of the recursion from), from their gate gradients.
  void leave(const Work<T>& w, Range rows, Range units, const T* dgates, Index s) const {
    T* const dh = w.dh.data() + places_.state_at(rows.begin) * net_.output;
    if (surrounded_) {
      arrive_around(net_, k_, *w.packed, rows.end - rows.begin, dgates, dgates_row_, dh,
                    w.carry.data() ? w.carry.data() + places_.state_at(rows.begin) * net_.hidden : nullptr,
                    interventions_at(net_, tape_.interventions, rows_, w.course, w.number, w.course.at(s), rows.begin),
                    w.scratch->at(rows.begin));
      return;
    }
    Product<T> p{};
    p.rows = rows.end - rows.begin;
    p.shape = w.packed->recurrent_shape;
    p.a = dgates + net_.recurrent_at * net_.hidden;
    p.a_row = dgates_row_;
    p.b = w.packed->weight_hh.data();
    p.out = dh;
    p.out_row = net_.hidden;
    p.panel_begin = units.begin;
    p.panel_end = units.end;
    k_.product(p);
  }

  // dgates_next: of the first of the rows.
  void step_rows(const Work<T>& w, Index t, Index low, Range rows, Range units, const T* dgates_next) const {
    const Index at = places_.chunk_at(t, rows.begin, low);
    const Index before = w.course.slot_before(t);
    const Index after = w.course.slot(t);
    BackwardStep<T> b{};
    b.rows = rows.end - rows.begin;
    b.hidden = net_.hidden;
    b.panel_begin = units.begin;
    b.panel_end = units.end;
    b.panels = panels_;
    b.last_first = schedule_.alternates() && t % 2 != 0;
    b.u = w.packed->weight_hh.data();
    b.dgates_row = dgates_row_;
    b.dgates = w.dgates.data() + at * dgates_row_;
    b.dgates_next = dgates_next;
    b.dh = w.dh.data() + places_.state_at(rows.begin) * net_.output;
    b.dy_row = width_;
    b.dy = w.dy ? w.dy + places_.between_at(w.is_last, t, rows.begin) * width_ : nullptr;
    b.carry = w.carry.data() ? w.carry.data() + places_.state_at(rows.begin) * net_.hidden : nullptr;
    b.h_prev = w.h + places_.h_at(w, before, rows.begin) * width_;
    b.h_prev_row = width_;
    if (net_.tape_gates) {
      b.gates_row = tape_.gates_row;
      b.gates = w.gates + rows_.at(t, rows.begin) * b.gates_row;
    } else {
      b.gates_row = width_;
      b.gates = w.h + places_.h_at(w, after, rows.begin) * width_;
    }
    b.peephole = w.parameters.peephole;
    T* const sums = w.sums.data() ? w.sums.data() + rows.begin * sum_.total : nullptr;
    b.dpeephole = sum_.peephole >= 0 ? sums + sum_.peephole : nullptr;
    b.dpeephole_row = sum_.total;
    b.lstm = &w.packed->lstm;
    b.c_row = b.c_prev_row = net_.hidden;
    if (w.c) {
      b.c_prev = w.c + rows_.slot(before, rows.begin) * b.c_row;
      b.c = w.c + rows_.slot(after, rows.begin) * b.c_row;
    }
    const Index squares = at * panels_;
    b.dh_squares = w.dh_squares.data() + squares;
    b.dc_squares = w.dc_squares.data() ? w.dc_squares.data() + squares : nullptr;
    if (!surrounded_) {
      k_.backward[static_cast<int>(net_.traits.cell)](b);
      return;
    }
    invert_around(net_, k_, *w.packed, w.parameters, args_.clip, b,
                  interventions_at(net_, tape_.interventions, rows_, w.course, w.number, t, rows.begin), *w.kept,
                  rows_.at(t, rows.begin), sums, w.scratch->at(rows.begin),
                  {row_of(w.h_in, at, net_.output), row_of(w.last_in, at, net_.hidden),
                   row_of(w.inner, at, net_.hidden), row_of(w.dprojected, at, net_.output),
                   args_.errors ? errors_at(w.number, rows_.base(t) + rows.begin) : nullptr});
  }

  T* errors_at(Index number, Index row) const { return args_.errors + (number * rows_.total() + row) * net_.output; }

  void collect_norms(const Work<T>& w, const Chunk& chunk, const Crew& crew) const {
    const Range mine = crew.share_of(chunk.steps);
    for (Index t = chunk.low + mine.begin; t < chunk.low + mine.end; ++t) {
      ErrorNorm dh, dc;
      rows_.for_each_part({0, rows_.active(t)}, [&](Range rows) {
        const Index begin = places_.chunk_at(t, rows.begin, chunk.low) * panels_;
        const Index end = begin + (rows.end - rows.begin) * panels_;
        for (Index i = begin; i < end; ++i) dh.add(w.dh_squares.data()[i]);
        if (!w.dc_squares.data()) return;
        for (Index i = begin; i < end; ++i) dc.add(w.dc_squares.data()[i]);
      });
      record_norms(w, t, dh, dc);
    }
  }

  void record_norms(const Work<T>& w, Index t, const ErrorNorm& dh, const ErrorNorm& dc) const {
    args_.dh_norm[w.number * time_ + t] = dh.value();
    if (args_.dc_norm) args_.dc_norm[w.number * time_ + t] = dc.value();
  }

  // Gradients of the initial state: zero where the recursion did not get that far back.
  void finish_state(const Work<T>& w, const Crew& crew) const {
    rows_.for_each_part(crew.share_of(batch_), [&](Range rows) { finish_rows(w, rows); });
  }

  void finish_rows(const Work<T>& w, Range rows) const {
    const bool arrived = first_ == 0;
    // Rows that took a step. Those of no length have arrived in any case.
    const Index moved = std::max<Index>(0, std::min(rows.end, rows_.active(0)) - rows.begin);
    const auto hand_out = [&](T* to, const Buffer<T>& from, Index width) {
      to += (w.number * batch_ + rows.begin) * width;
      const T* own = from.data() + places_.state_at(rows.begin) * width;
      start(to, arrived ? own : nullptr, moved * width);
      start(to + moved * width, own + moved * width, (rows.end - rows.begin - moved) * width);
    };
    if (arrived && time_ > 0) {
      // Forward, all rows began with step 0; in reverse, those are left that began with the last.
      const Range left{rows.begin, std::min(rows.end, rows_.active(w.course.reverse ? time_ - 1 : 0))};
      if (left.begin < left.end) {
        leave(w, left, {0, panels_}, w.dgates.data() + places_.kept_at(rows.begin) * dgates_row_, 0);
      }
      if (w.carry.data() && !net_.traits.has_cell_state && !surrounded_) {
        const Index begin = places_.state_at(rows.begin) * net_.hidden;
        k_.add(moved * net_.hidden, w.carry.data() + begin, w.dh.data() + begin);
      }
    }
    if (args_.dc0) hand_out(args_.dc0, w.carry, net_.hidden);
    hand_out(args_.dh0, w.dh, net_.output);
  }

  // Both directions' input gradients together, then through the dropout below. False if there was nothing to do.
  bool finish_input(Index layer, const Crew& crew) {
    const bool dropped = layer > 0 && tape_.dropout > 0;
    if (layer == 0 && !args_.dx) return false;
    if (net_.directions == 1 && !dropped) return false;
    if (interrupt_.stopped()) return true;
    const Work<T>& w = work(layer, 0);
    const Range part = crew.share_of(rows_.total() * w.input);
    const Index size = part.end - part.begin;
    T* dx = w.dx + part.begin;
    if (net_.directions == 2) k_.add(size, work(layer, 1).dx + part.begin, dx);
    if (dropped) {
      k_.dropout(size, tape_.first_row * width_ + part.begin, tape_.dropout_key + static_cast<std::uint64_t>(layer - 1),
                 tape_.dropout, dx, dx);
    }
    return true;
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
  Index width_;
  Index dgates_row_;
  Schedule schedule_;
  Index chunk_;
  Index panels_;
  bool surrounded_;
  SumColumns sum_;
  bool halves_;  // of the batch are summed apart
  BackwardRows places_;
  ChunkProducts<T> products_;
  std::vector<Room<T>> rooms_;  // per direction
  std::vector<Work<T>> work_;
  std::vector<Buffer<T>> scratch_;
  Buffer<T> between_[2];
  Buffer<T> reverse_dx_;
  const T* upper_dx_ = nullptr;
};

}  // namespace

template <class T>
void backward(const Recurrent& net, const BackwardArgs<T>& args, const Tape<T>& tape, Interrupt& interrupt) {
  if (tape.rows.batch() == 0) {
    const auto size = static_cast<std::size_t>(net.layers * net.directions * tape.rows.time()) * sizeof(double);
    std::memset(args.dh_norm, 0, size);
    if (args.dc_norm) std::memset(args.dc_norm, 0, size);
    return;
  }
  BackwardPass<T>(net, args, tape, interrupt).run();
}

template void backward(const Recurrent&, const BackwardArgs<float>&, const Tape<float>&, Interrupt&);
template void backward(const Recurrent&, const BackwardArgs<double>&, const Tape<double>&, Interrupt&);

}  // namespace bptt

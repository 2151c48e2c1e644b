// The forward pass: per layer and direction pack the weights, then per chunk of time project its inputs in one
// product and run the fused steps over it.
#include <cstring>
#include <deque>
#include <utility>

#include "core/around.hpp"
#include "core/schedule.hpp"
#include "runtime/float_mode.hpp"

namespace bptt {
namespace {

// One layer and direction, with the arrays it reads and writes.
template <class T>
struct Work {
  const PackedDirection<T>* packed;
  const T* x;           // (T, B, input)
  bool x_is_below;      // x is the layer below: slot 0 of its output
  T* h;                 // the output of slot 0, this direction's columns
  T* y = nullptr;       // where it is copied to, step by step, if h has only the latest slots
  T* gates = nullptr;   // of time step 0, or of the chunk if nothing is kept
  T* c = nullptr;       // of slot 0, or of one row of units if nothing is kept
  typename Tape<T>::Direction* kept = nullptr;
  Buffer<T> own_gates{};  // where nothing is kept
  Buffer<T> own_c{};
  Buffer<T> own_h{};  // where the output is copied
};

template <class T>
class ForwardPass {
 public:
  ForwardPass(const Recurrent& net, const ForwardArgs<T>& args, Tape<T>* tape, Interrupt& interrupt)
      : net_(net), args_(args), rows_(tape ? tape->rows : args.rows), tape_(tape), interrupt_(interrupt),
        k_(args.packed ? args.packed->kernels() : kernels<T>()),
        schedule_(net, args.rows.time(), args.rows.batch(), sizeof(T)),
        chunk_(std::min(args.rows.time(), schedule_.projected_steps())), width_(net.width()),
        gates_row_(net.tape_gates ? padded_row(net.tape_gates * net.hidden, sizeof(T)) : width_),
        surrounded_(net.surrounded() || args.interventions.any()),
        fused_(schedule_.fuses_projection(net, k_.lanes) && !net.options.layer_norm && !net.traits.two_products &&
               (!args.packed || args.packed->at(0).input_shape.gates == net.traits.gates)) {
    if (!tape && schedule_.keeps_halves_apart(net, rows_, !surrounded_)) rows_.halve();
  }

  void run() {
    for (Index layer = 0; layer < net_.layers; ++layer) prepare(layer);
    panels_ = k_.panel_count(work_.front().packed->recurrent_shape);
    if (surrounded_) {
      for (Index d = 0; d < net_.directions; ++d) scratch_.emplace_back(net_, rows_.batch(), tape_ != nullptr);
    }
    run_team(schedule_.threads(), [this](int index, int threads) {
      const FlushSubnormals mode;
      const Crew everyone = schedule_.everyone(index, threads);
      const Crew crew = schedule_.crew(index, threads);
      const Split split = schedule_.split(crew, panels_, surrounded_);
      const bool apart = schedule_.keeps_rows(split, crew, rows_);
      if (!args_.packed) pack(index, threads, crew);
      for (Index layer = 0; layer < net_.layers; ++layer) {
        for (Index d = 0; d < net_.directions; ++d) {
          if (schedule_.works_on(index, threads, d)) run_direction(layer, d, split, apart, crew, index == 0);
        }
        if (layer + 1 == net_.layers) break;
        if (drops(layer)) {
          everyone.sync();
          drop(layer, everyone);
        }
        // A thread that keeps to its rows finds in the layer below what it wrote there itself.
        if (!apart || net_.directions == 2 || drops(layer)) everyone.sync();
      }
    });
  }

 private:
  bool drops(Index layer) const { return tape_ && tape_->dropout > 0 && layer + 1 < net_.layers; }

  // Everything a layer needs, allocated before the threads start. Without a tape, layers alternate between two
  // outputs, and the last one's is the caller's.
  void prepare(Index layer) {
    T* output = nullptr;
    if (tape_) {
      output = tape_->layers[static_cast<std::size_t>(layer)].h.data();
      if (drops(layer)) {
        tape_->layers[static_cast<std::size_t>(layer)].dropped = Buffer<T>(rows_.total() * width_);
      }
    } else if (layer + 1 == net_.layers) {
      output = args_.y;
    } else {
      Buffer<T>& buffer = outputs_[layer % 2];
      if (!buffer.data()) buffer = Buffer<T>(rows_.slots() * width_);
      output = buffer.data();
    }
    const bool dropped = layer > 0 && drops(layer - 1);
    const T* x = layer == 0 ? args_.x
                 : dropped  ? tape_->layers[static_cast<std::size_t>(layer - 1)].dropped.data()
                            : previous_output_;
    for (Index d = 0; d < net_.directions; ++d) {
      if (!args_.packed)
        own_.emplace_back(net_, k_, net_.input_of(layer), fused_ ? InputPanels::by_gates : InputPanels::plain);
      const auto* packed = args_.packed ? &args_.packed->at(layer * net_.directions + d) : &own_.back();
      Work<T>& w = work_.emplace_back(Work<T>{packed, x, layer > 0 && !dropped, output + d * net_.output});
      if (rows_.halved() && layer + 1 == net_.layers) {
        w.own_h = Buffer<T>((chunk_ + 1) * rows_.batch() * width_);
        w.y = std::exchange(w.h, w.own_h.data());
      }
      if (tape_) {
        auto& kept = tape_->layers[static_cast<std::size_t>(layer)].directions[static_cast<std::size_t>(d)];
        w.gates = kept.gates.data();
        w.c = kept.c.data();
        w.kept = &kept;
      } else {
        if (net_.tape_gates) w.own_gates = Buffer<T>(chunk_ * rows_.batch() * gates_row_);
        if (net_.traits.has_cell_state) w.own_c = Buffer<T>(rows_.apart_rows(cell_bytes()) * net_.hidden);
        w.gates = w.own_gates.data();
        w.c = w.own_c.data();
      }
    }
    previous_output_ = output;
  }

  // The weights of all layers, so that one barrier is enough for them.
  void pack(int index, int threads, const Crew& crew) {
    for (Index layer = 0; layer < net_.layers; ++layer) {
      for (Index d = 0; d < net_.directions; ++d) {
        if (!schedule_.works_on(index, threads, d)) continue;
        own_[static_cast<std::size_t>(layer * net_.directions + d)].pack(
            direction_parameters(net_, args_.parameters, layer, d), crew.index, crew.size);
      }
    }
    crew.sync();
  }

  std::size_t cell_bytes() const { return static_cast<std::size_t>(net_.hidden) * sizeof(T); }

  const T* x_at(const Work<T>& w, Index t, Index b) const {
    return w.x + (w.x_is_below ? rows_.slot(t + 1, b) : rows_.base(t) + b) * w.packed->input_shape.depth;
  }
  T* h_at(const Work<T>& w, Index slot, Index b) const {
    return w.h + (w.y ? rows_.in_array(chunk_ + 1, slot % (chunk_ + 1), b) : rows_.slot(slot, b)) * width_;
  }
  // In an array of so many steps from `low` on.
  T* gates_at(const Work<T>& w, Index t, Index b, Index low) const {
    if (!net_.tape_gates) return h_at(w, t + 1, b);
    return w.gates + gates_row_ * (tape_            ? rows_.at(t, b)
                                   : rows_.halved() ? rows_.in_array(chunk_, t - low, b)
                                                    : rows_.base(t) - rows_.base(low) + b);
  }
  // Of row b in an inference, updated in place.
  T* own_c_at(const Work<T>& w, Index b) const { return w.c + rows_.apart(b, cell_bytes()) * net_.hidden; }
  T* c_at(const Work<T>& w, Index slot, Index b) const {
    return tape_ ? w.c + rows_.slot(slot, b) * net_.hidden : own_c_at(w, b);
  }

  // `rows` rows of states that are so wide, from and to rows so far apart; null: zeros.
  static void copy_state(Index rows, Index width, const T* from, Index from_row, T* to, Index to_row) {
    for (Index b = 0; b < rows; ++b) {
      if (from) {
        std::memcpy(to + b * to_row, from + b * from_row, static_cast<std::size_t>(width) * sizeof(T));
      } else {
        std::memset(to + b * to_row, 0, static_cast<std::size_t>(width) * sizeof(T));
      }
    }
  }

  // Calls visit(rows, slot) for those of `mine` whose recursion starts (or else ends) with the state in that slot.
  template <class Visit>
  void for_each_end(const Course& course, bool starts, Range mine, Visit visit) const {
    const auto visit_mine = [&](Index begin, Index end, Index slot) {
      const Range rows{std::max(begin, mine.begin), std::min(end, mine.end)};
      rows_.for_each_part(rows, [&](Range part) { visit(part, slot); });
    };
    if (course.reverse != starts) {  // all at the front of the sequence
      visit_mine(0, course.reverse ? rows_.active(0) : rows_.batch(), course.reverse ? 1 : 0);
      return;
    }
    for (Index t = rows_.time() - 1; t >= 0; --t)
      visit_mine(rows_.active(t + 1), rows_.active(t), starts ? t + 2 : t + 1);
  }

  // `apart`: the thread keeps to its rows, and waits for nobody.
  void run_direction(Index layer, Index d, Split split, bool apart, const Crew& crew, bool polls) {
    const Index number = layer * net_.directions + d;
    Work<T>& w = work_[static_cast<std::size_t>(number)];
    const Course course{rows_.time(), d == 1};
    const Index H = net_.hidden, P = net_.output, B = rows_.batch();
    const T* h0 = args_.h0 ? args_.h0 + number * B * P : nullptr;
    const T* c0 = args_.c0 ? args_.c0 + number * B * H : nullptr;
    const auto row_of = [](auto* states, Index b, Index width) { return states ? states + b * width : nullptr; };
    const Range mine = crew.share_of(B);
    if (rows_.ragged()) clear_room(w, mine);
    for_each_end(course, true, mine, [&](Range rows, Index slot) {
      const Index b = rows.begin, count = rows.end - b;
      copy_state(count, P, row_of(h0, b, P), P, h_at(w, slot, b), width_);
      if (w.c && tape_) copy_state(count, H, row_of(c0, b, H), H, c_at(w, slot, b), H);
    });
    if (w.c && !tape_) {
      rows_.for_each_part(mine, [&](Range rows) {
        copy_state(rows.end - rows.begin, H, row_of(c0, rows.begin, H), H, own_c_at(w, rows.begin), H);
      });
    }
    if (w.y) put_out(w, {0, 1}, mine);
    if (!apart) crew.sync();

    for (Index begin = 0; begin < rows_.time(); begin += chunk_) {
      const Index end = std::min(begin + chunk_, rows_.time());
      if (polls) interrupt_.poll();
      const Index low = std::min(course.at(begin), course.at(end - 1));
      if (!fused_) {
        if (!interrupt_.stopped()) project(w, course, low, end - begin, apart, crew);
        if (!apart) crew.sync();
      }
      for (Index s = begin; s < end; ++s) {
        if (polls && s % schedule_.poll_steps() == 0) interrupt_.poll();
        const bool as_before = s == 0 || rows_.active(course.at(s)) == rows_.active(course.at(s - 1));
        if (split == Split::rows && !as_before) crew.sync();  // rows change hands
        if (!interrupt_.stopped()) step(w, course, number, course.at(s), low, split, crew);
        if (split == Split::units) crew.sync();
      }
      if (split == Split::nobody || (!tape_ && !apart)) crew.sync();
      if (w.y && !interrupt_.stopped()) put_out(w, {begin + 1, end + 1}, mine);
    }
    if (!apart) crew.sync();
    T* h = args_.h + number * B * P;
    T* c = args_.c ? args_.c + number * B * H : nullptr;
    // Rows without a step keep what they came with.
    rows_.for_each_part({std::max(rows_.active(0), mine.begin), mine.end}, [&](Range idle) {
      const Index b = idle.begin, count = idle.end - b;
      copy_state(count, P, row_of(h0, b, P), P, h + b * P, P);
      if (w.c && tape_) copy_state(count, H, row_of(c0, b, H), H, c + b * H, H);
    });
    for_each_end(course, false, mine, [&](Range rows, Index slot) {
      const Index b = rows.begin, count = rows.end - b;
      copy_state(count, P, h_at(w, slot, b), width_, h + b * P, P);
      if (w.c && tape_) copy_state(count, H, c_at(w, slot, b), H, c + b * H, H);
    });
    if (w.c && !tape_) {
      rows_.for_each_part(mine, [&](Range rows) {
        copy_state(rows.end - rows.begin, H, own_c_at(w, rows.begin), H, c + rows.begin * H, H);
      });
    }
  }

  // Copies the latest slots to where the output lies step by step.
  void put_out(const Work<T>& w, Range slots, Range mine) const {
    for (Index slot = slots.begin; slot < slots.end; ++slot) {
      rows_.for_each_part(mine, [&](Range rows) {
        std::memcpy(w.y + (rows_.slot(slot) + rows.begin) * width_, h_at(w, slot, rows.begin),
                    static_cast<std::size_t>((rows.end - rows.begin) * width_) * sizeof(T));
      });
    }
  }

  // What is room only takes part in large products, with factors of zero: it must not hold a NaN.
  void clear_room(const Work<T>& w, Range mine) const {
    for (Index t = 0; t < rows_.time(); ++t) {
      const Range room{std::max(rows_.active(t), mine.begin), std::min(rows_.room(t), mine.end)};
      copy_state(room.end - room.begin, net_.output, nullptr, 0, h_at(w, t + 1, room.begin), width_);
    }
  }

  // The steps [low, low + steps) in one product, room and all; but one by one where they are projected into h, and
  // the room holds states that the reverse direction starts from.
  void project(const Work<T>& w, const Course& course, Index low, Index steps, bool apart, const Crew& crew) const {
    if (apart || rows_.halved()) {
      for (Index t = low; t < low + steps; ++t) {
        rows_.for_each_part(crew.share_of(rows_.batch()), [&](Range rows) { project_rows(w, t, rows, low); });
      }
      return;
    }
    const Index each = rows_.ragged() && course.reverse && !net_.tape_gates ? 1 : steps;
    for (Index t = low; t < low + steps; t += each) {
      const Index high = t + each - 1;
      project_rows(w, t, crew.share_of(rows_.base(high) + rows_.active(high) - rows_.base(t)), low);
    }
  }

  // Counted from step t on.
  void project_rows(const Work<T>& w, Index t, Range rows, Index low) const {
    Product<T> p{};
    p.rows = rows.end - rows.begin;
    p.shape = w.packed->input_shape;
    p.a_row = p.shape.depth;
    p.a = x_at(w, t, rows.begin);
    p.b = w.packed->weight_ih.data();
    p.init = net_.options.layer_norm ? nullptr : w.packed->bias.data();
    p.init_row = 0;
    p.out_row = gates_row_;
    p.out = gates_at(w, t, rows.begin, low);
    p.panel_begin = 0;
    p.panel_end = k_.panel_count(w.packed->input_shape);
    k_.product(p);
    if (!net_.options.layer_norm) return;
    const Index columns = net_.traits.gates * net_.hidden;
    const Index at = rows_.base(t) + rows.begin;
    T* const hat = tape_ ? w.kept->hat_ih.data() + at * columns : nullptr;
    T* const scale = tape_ ? w.kept->scale_ih.data() + at * 2 : nullptr;
    normalise_input(net_, k_, *w.packed, p.rows, p.out, p.out_row, hat, scale);
  }

  void step(const Work<T>& w, const Course& course, Index number, Index t, Index low, Split split,
            const Crew& crew) const {
    if (split == Split::nobody && !crew.leads()) return;
    const Range mine = split == Split::rows ? crew.share_of(rows_.active(t)) : Range{0, rows_.active(t)};
    const Range units = split == Split::units ? crew.share_of(panels_) : Range{0, panels_};
    rows_.for_each_part(mine, [&](Range rows) { step_rows(w, course, number, t, low, rows, units); });
  }

  void step_rows(const Work<T>& w, const Course& course, Index number, Index t, Index low, Range rows,
                 Range units) const {
    const Index before = course.slot_before(t);
    const Index after = course.slot(t);
    ForwardStep<T> s{};
    s.rows = rows.end - rows.begin;
    s.hidden = net_.hidden;
    s.panel_begin = units.begin;
    s.panel_end = units.end;
    s.last_first = schedule_.alternates() && t % 2 != 0;
    if (fused_) {
      s.input = s.x_row = w.packed->input_shape.depth;
      s.x = x_at(w, t, rows.begin);
      s.w = w.packed->weight_ih.data();
      s.bias = w.packed->bias.data();
    }
    s.u = w.packed->weight_hh.data();
    s.output = net_.output;
    s.h_in = s.h_prev = h_at(w, before, rows.begin);
    s.h_in_row = s.h_prev_row = width_;
    s.h = h_at(w, after, rows.begin);
    s.h_row = width_;
    s.gates_row = gates_row_;
    s.gates = gates_at(w, t, rows.begin, low);
    s.hidden_bias = w.packed->hidden_bias.data();
    s.peephole = w.packed->peephole.data();
    s.lstm = &w.packed->lstm;
    s.c_row = s.c_prev_row = net_.hidden;
    if (w.c) {
      s.c_prev = c_at(w, before, rows.begin);
      s.c = c_at(w, after, rows.begin);
    }
    s.keep = tape_ != nullptr;
    if (!surrounded_) {
      k_.forward[static_cast<int>(net_.traits.cell)](s);
      return;
    }
    StepArrays<T> arrays = scratch_[static_cast<std::size_t>(number % net_.directions)].at(rows.begin);
    if (tape_) keep_in_tape<T>(net_, *w.kept, rows_.base(t) + rows.begin, arrays);
    step_around(net_, k_, *w.packed, s,
                interventions_at(net_, args_.interventions, rows_, course, number, t, rows.begin), arrays);
  }

  void drop(Index layer, const Crew& crew) const {
    const auto& kept = tape_->layers[static_cast<std::size_t>(layer)];
    const Range part = crew.share_of(rows_.total() * width_);
    k_.dropout(part.end - part.begin, tape_->first_row * width_ + part.begin,
               tape_->dropout_key + static_cast<std::uint64_t>(layer), tape_->dropout,
               kept.h.data() + rows_.batch() * width_ + part.begin, kept.dropped.data() + part.begin);
  }

  const Recurrent& net_;
  const ForwardArgs<T>& args_;
  Rows rows_;
  Tape<T>* tape_;
  Interrupt& interrupt_;
  const Kernels<T>& k_;
  Schedule schedule_;
  Index chunk_;
  Index width_;
  Index gates_row_;
  Index panels_ = 0;  // of units, as the step divides them
  bool surrounded_;  // the step is more than its kernel
  bool fused_;  // the projection, into the step
  std::vector<StepScratch<T>> scratch_;  // per direction
  std::deque<PackedDirection<T>> own_;  // where there is no snapshot
  std::vector<Work<T>> work_;
  Buffer<T> outputs_[2];
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
  const bool plain = !net.surrounded() && !args.interventions.any() && (tape.dropout == 0 || net.layers == 1);
  if (Schedule(net, tape.rows.time(), tape.rows.batch(), sizeof(T)).keeps_halves_apart(net, tape.rows, plain)) {
    tape.rows.halve();
  }
  if (args.rows.batch() > 0) ForwardPass<T>(net, args, &tape, interrupt).run();
}

template void infer(const Recurrent&, const ForwardArgs<float>&, Interrupt&);
template void infer(const Recurrent&, const ForwardArgs<double>&, Interrupt&);
template void forward(const Recurrent&, const ForwardArgs<float>&, Tape<float>&, Interrupt&);
template void forward(const Recurrent&, const ForwardArgs<double>&, Tape<double>&, Interrupt&);

}  // namespace bptt

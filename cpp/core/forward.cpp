// The forward pass: per layer and direction pack the weights, then per chunk of time project its inputs in one
// product and run the fused steps over it.
#include <cstring>
#include <deque>

#include "core/pack.hpp"
#include "core/schedule.hpp"
#include "runtime/float_mode.hpp"

namespace bptt {
namespace {

// One layer and direction, with the arrays it reads and writes.
template <class T>
struct Work {
  const PackedDirection<T>* packed;
  const T* x;           // (T, B, input)
  T* h;                 // the output of slot 0, this direction's columns
  T* gates = nullptr;   // of time step 0, or of the chunk if nothing is kept
  T* c = nullptr;       // of slot 0, or of one row of units if nothing is kept
  Buffer<T> own_gates{};  // where nothing is kept
  Buffer<T> own_c{};
};

template <class T>
class ForwardPass {
 public:
  ForwardPass(const Recurrent& net, const ForwardArgs<T>& args, Tape<T>* tape, Interrupt& interrupt)
      : net_(net), args_(args), tape_(tape), interrupt_(interrupt),
        k_(args.packed ? args.packed->kernels() : kernels<T>()), schedule_(net, args.time, args.batch, sizeof(T)),
        chunk_(std::min(args.time, schedule_.projected_steps())), width_(net.directions * net.hidden),
        gates_row_(net.traits.tape_gates ? padded_row(net.traits.tape_gates * net.hidden, sizeof(T)) : width_),
        fused_(schedule_.fuses_projection(net, k_.lanes) &&
               (!args.packed || args.packed->at(0).input_shape.gates == net.traits.gates)) {}

  void run() {
    for (Index layer = 0; layer < net_.layers; ++layer) prepare(layer);
    run_team(schedule_.threads(), [this](int index, int threads) {
      const FlushSubnormals mode;
      const Crew everyone = schedule_.everyone(index, threads);
      const Crew crew = schedule_.crew(index, threads);
      for (Index layer = 0; layer < net_.layers; ++layer) {
        for (Index d = 0; d < net_.directions; ++d) {
          if (schedule_.works_on(index, threads, d)) run_direction(layer, d, crew, index == 0);
        }
        everyone.sync();
        if (drops(layer)) {
          drop(layer, everyone);
          everyone.sync();
        }
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
        tape_->layers[static_cast<std::size_t>(layer)].dropped = Buffer<T>(args_.time * args_.batch * width_);
      }
    } else if (layer + 1 == net_.layers) {
      output = args_.y;
    } else {
      Buffer<T>& buffer = outputs_[layer % 2];
      if (!buffer.data()) buffer = Buffer<T>((args_.time + 2) * args_.batch * width_);
      output = buffer.data();
    }
    const T* x = args_.x;
    if (layer > 0) {
      x = tape_ && drops(layer - 1) ? tape_->layers[static_cast<std::size_t>(layer - 1)].dropped.data()
                                    : previous_output_ + args_.batch * width_;
    }
    for (Index d = 0; d < net_.directions; ++d) {
      if (!args_.packed)
        own_.emplace_back(net_, k_, net_.input_of(layer), fused_ ? InputPanels::by_gates : InputPanels::plain);
      const auto* packed = args_.packed ? &args_.packed->at(layer * net_.directions + d) : &own_.back();
      Work<T>& w = work_.emplace_back(Work<T>{packed, x, output + d * net_.hidden});
      if (tape_) {
        auto& kept = tape_->layers[static_cast<std::size_t>(layer)].directions[static_cast<std::size_t>(d)];
        w.gates = kept.gates.data();
        w.c = kept.c.data();
      } else {
        if (net_.traits.tape_gates) w.own_gates = Buffer<T>(chunk_ * args_.batch * gates_row_);
        if (net_.traits.has_cell_state) w.own_c = Buffer<T>(args_.batch * net_.hidden);
        w.gates = w.own_gates.data();
        w.c = w.own_c.data();
      }
    }
    previous_output_ = output;
  }

  // States in and out: rows of (L * D, B, H) against rows of a time slot.
  void copy_state(const T* from, Index from_row, T* to, Index to_row) const {
    for (Index b = 0; b < args_.batch; ++b) {
      T* row = to + b * to_row;
      if (from) {
        std::memcpy(row, from + b * from_row, static_cast<std::size_t>(net_.hidden) * sizeof(T));
      } else {
        std::memset(row, 0, static_cast<std::size_t>(net_.hidden) * sizeof(T));
      }
    }
  }

  void run_direction(Index layer, Index d, const Crew& crew, bool polls) {
    const Index number = layer * net_.directions + d;
    Work<T>& w = work_[static_cast<std::size_t>(number)];
    const Course course{args_.time, d == 1};
    const Index state_size = args_.batch * net_.hidden;
    const Index slot = args_.batch * width_;
    const Index c_slot = tape_ ? state_size : 0;  // without a tape c is updated in place
    if (!args_.packed) {
      own_[static_cast<std::size_t>(number)].pack(direction_parameters(net_, args_.parameters, layer, d), crew.index,
                                                  crew.size);
    }
    if (crew.leads()) {
      const Index at = number * state_size;
      copy_state(args_.h0 ? args_.h0 + at : nullptr, net_.hidden, w.h + course.first_slot() * slot, width_);
      if (w.c) {
        copy_state(args_.c0 ? args_.c0 + at : nullptr, net_.hidden, w.c + course.first_slot() * c_slot, net_.hidden);
      }
    }
    crew.sync();

    const Index panels = k_.panel_count(w.packed->recurrent_shape);
    const Split split = schedule_.split(crew, panels);
    for (Index begin = 0; begin < args_.time; begin += chunk_) {
      const Index end = std::min(begin + chunk_, args_.time);
      if (polls) interrupt_.poll();
      const Index low = std::min(course.at(begin), course.at(end - 1));
      const Index gates_origin = tape_ ? 0 : low;  // the time step that w.gates starts with
      if (!fused_) {
        if (!interrupt_.stopped()) project(w, low, end - begin, gates_origin, crew);
        crew.sync();
      }
      for (Index s = begin; s < end; ++s) {
        if (polls && s % schedule_.poll_steps() == 0) interrupt_.poll();
        if (!interrupt_.stopped()) step(w, course, course.at(s), gates_origin, c_slot, split, crew, panels);
        if (split == Split::units) crew.sync();
      }
      if (!tape_ || split == Split::nobody) crew.sync();
    }
    crew.sync();
    if (crew.leads()) {
      const Index last = args_.time > 0 ? course.slot(course.at(args_.time - 1)) : course.first_slot();
      copy_state(w.h + last * slot, width_, args_.h + number * state_size, net_.hidden);
      if (w.c) copy_state(w.c + last * c_slot, net_.hidden, args_.c + number * state_size, net_.hidden);
    }
  }

  void project(const Work<T>& w, Index low, Index steps, Index origin, const Crew& crew) const {
    const Range rows = crew.share_of(steps * args_.batch);
    const Index first = low * args_.batch + rows.begin;
    Product<T> p{};
    p.rows = rows.end - rows.begin;
    p.shape = w.packed->input_shape;
    p.a_row = p.shape.depth;
    p.a = w.x + first * p.a_row;
    p.b = w.packed->weight_ih.data();
    p.init = w.packed->bias.data();
    p.init_row = 0;
    p.out_row = gates_row_;
    p.out = net_.traits.tape_gates ? w.gates + (first - origin * args_.batch) * p.out_row
                                   : w.h + (first + args_.batch) * width_;
    p.panel_begin = 0;
    p.panel_end = k_.panel_count(w.packed->input_shape);
    k_.product(p);
  }

  void step(const Work<T>& w, const Course& course, Index t, Index origin, Index c_slot, Split split, const Crew& crew,
            Index panels) const {
    if (split == Split::nobody && !crew.leads()) return;
    const Range rows = split == Split::rows ? crew.share_of(args_.batch) : Range{0, args_.batch};
    const Range units = split == Split::units ? crew.share_of(panels) : Range{0, panels};
    const Index slot = args_.batch * width_;
    ForwardStep<T> s{};
    s.rows = rows.end - rows.begin;
    s.hidden = net_.hidden;
    s.panel_begin = units.begin;
    s.panel_end = units.end;
    s.last_first = schedule_.alternates() && t % 2 != 0;
    if (fused_) {
      s.input = s.x_row = w.packed->input_shape.depth;
      s.x = w.x + (t * args_.batch + rows.begin) * s.x_row;
      s.w = w.packed->weight_ih.data();
      s.bias = w.packed->bias.data();
    }
    s.u = w.packed->weight_hh.data();
    s.h_prev = w.h + course.slot_before(t) * slot + rows.begin * width_;
    s.h_prev_row = width_;
    s.h = w.h + course.slot(t) * slot + rows.begin * width_;
    s.h_row = width_;
    s.gates_row = gates_row_;
    s.gates = net_.traits.tape_gates ? w.gates + ((t - origin) * args_.batch + rows.begin) * s.gates_row : s.h;
    s.hidden_bias = w.packed->hidden_bias.data();
    s.peephole = w.packed->peephole.data();
    s.c_row = net_.hidden;
    if (w.c) {
      s.c_prev = w.c + course.slot_before(t) * c_slot + rows.begin * s.c_row;
      s.c = w.c + course.slot(t) * c_slot + rows.begin * s.c_row;
    }
    s.keep = tape_ != nullptr;
    k_.forward[static_cast<int>(net_.traits.cell)](s);
  }

  void drop(Index layer, const Crew& crew) const {
    const auto& kept = tape_->layers[static_cast<std::size_t>(layer)];
    const Range part = crew.share_of(args_.time * args_.batch * width_);
    k_.dropout(part.end - part.begin, part.begin, tape_->dropout_key + static_cast<std::uint64_t>(layer),
               tape_->dropout, kept.h.data() + args_.batch * width_ + part.begin, kept.dropped.data() + part.begin);
  }

  const Recurrent& net_;
  const ForwardArgs<T>& args_;
  Tape<T>* tape_;
  Interrupt& interrupt_;
  const Kernels<T>& k_;
  Schedule schedule_;
  Index chunk_;
  Index width_;
  Index gates_row_;
  bool fused_;  // the projection, into the step
  std::deque<PackedDirection<T>> own_;  // where there is no snapshot
  std::vector<Work<T>> work_;
  Buffer<T> outputs_[2];
  const T* previous_output_ = nullptr;
};

}  // namespace

template <class T>
void infer(const Recurrent& net, const ForwardArgs<T>& args, Interrupt& interrupt) {
  if (args.batch > 0) ForwardPass<T>(net, args, nullptr, interrupt).run();
}

template <class T>
void forward(const Recurrent& net, const ForwardArgs<T>& args, Tape<T>& tape, Interrupt& interrupt) {
  tape.x = args.x;
  if (args.batch > 0) ForwardPass<T>(net, args, &tape, interrupt).run();
}

template void infer(const Recurrent&, const ForwardArgs<float>&, Interrupt&);
template void infer(const Recurrent&, const ForwardArgs<double>&, Interrupt&);
template void forward(const Recurrent&, const ForwardArgs<float>&, Tape<float>&, Interrupt&);
template void forward(const Recurrent&, const ForwardArgs<double>&, Tape<double>&, Interrupt&);

}  // namespace bptt

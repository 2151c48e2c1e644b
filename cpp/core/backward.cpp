// Backpropagation through time: per layer from the top, per direction, per chunk of time from the end of the
// recursion run the fused steps, then the products of what they leave (chunk_products.hpp).
#include <cmath>
#include <cstring>
#include <memory>

#include "core/around.hpp"
#include "core/chunk_products.hpp"
#include "runtime/float_mode.hpp"

namespace bptt {
namespace {

// What is needed while a layer and direction are worked on. The next layer finds it free, and in cache.
template <class T>
struct Room {
  std::shared_ptr<BackScratch<T>> scratch;  // of surrounded steps
  Buffer<T> dgates;   // (chunk + 1, B, dgates * H): the last slot is the step before the chunk in the recursion
  Buffer<T> dh;       // (B, P)
  Buffer<T> carry;    // (B, H)
  Buffer<T> sums;     // (B, sum_.total)
  Buffer<T> h_in;     // (chunk, B, P), ragged or surrounded: what the products of a chunk's steps started from
  Buffer<T> last_in;  // (chunk, B, H): as in ChunkRows
  Buffer<T> inner;    // (chunk, B, H)
  Buffer<T> dprojected;       // (chunk, B, P)
  Buffer<double> dh_squares;  // (chunk, B, panels)
  Buffer<double> dc_squares;
};

// One layer and direction.
template <class T>
struct Work : Room<T> {
  DirectionParameters<const T> parameters;
  DirectionParameters<T> gradients;
  Index input;
  const T* x;   // (T, B, input)
  const T* dy;  // (T, B, D * H) or null, this direction's columns
  T* dx;        // (T, B, input) or null: not asked for
  const T* h;   // of slot 0, this direction's columns
  const T* gates;
  const T* c;
  const typename Tape<T>::Direction* kept;
  std::unique_ptr<PackedBackward<T>> packed;
};

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
        surrounded_(net.surrounded() || tape.interventions.any() || args.clip.any() || args.errors), sum_(net) {}

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
    room.dgates = Buffer<T>((chunk_ + 1) * batch_ * dgates_row_);
    room.dh = Buffer<T>(batch_ * net_.output);
    if (net_.traits.has_carry) room.carry = Buffer<T>(batch_ * net_.hidden);
    if (sum_.total) room.sums = Buffer<T>(batch_ * sum_.total);
    if (rows_.ragged() || surrounded_) room.h_in = Buffer<T>(chunk_ * batch_ * net_.output);
    if (net_.traits.two_products) room.last_in = Buffer<T>(chunk_ * batch_ * net_.hidden);
    if (net_.options.projection) {
      room.inner = Buffer<T>(chunk_ * batch_ * net_.hidden);
      room.dprojected = Buffer<T>(chunk_ * batch_ * net_.output);
    }
    room.dh_squares = Buffer<double>(chunk_ * batch_ * panels_);
    if (net_.traits.has_cell_state) room.dc_squares = Buffer<double>(chunk_ * batch_ * panels_);
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
      w.input = input;
      w.x = tape_.x;
      if (layer > 0) {
        const auto& below = tape_.layers[static_cast<std::size_t>(layer - 1)];
        w.x = tape_.dropout > 0 ? below.dropped.data() : below.h.data() + batch_ * width_;
      }
      w.dy = layer + 1 == net_.layers ? args_.dy : upper_dx_;
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
    const Index number = layer * net_.directions + d;
    const Work<T>& w = work(layer, d);
    const Course course{time_, d == 1};
    start_state(w, number, crew.share_of(batch_));
    if (crew.leads()) {
      if (args_.errors) start(errors_at(number, 0), nullptr, rows_.total() * net_.output);
      start(w.dx, nullptr, rows_.base(first_) * w.input);
      for (Index t = 0; t < first_; ++t) record_norms(number, t, 0, 0);
    }
    if (!apart) crew.sync();

    // Steps of the recursion, last first; a chunk is [begin, end).
    for (Index end = time_; end > first_;) {
      const Index begin = std::max(first_, end - chunk_);
      const Index low = std::min(course.at(begin), course.at(end - 1));
      const ChunkOperands<T> chunk = operands(w, course, low, end - begin);
      if (polls) interrupt_.poll();
      for (Index s = end - 1; s >= begin; --s) {
        if (polls && s % schedule_.poll_steps() == 0) interrupt_.poll();
        const bool as_before = s + 1 == time_ || touched(course, s) == touched(course, s + 1);
        if (split == Split::rows && !as_before) crew.sync();  // rows change hands
        if (!interrupt_.stopped()) step(w, course, number, s, low, s + 1 == end, s + 1 == time_, split, crew);
        if (split == Split::units) crew.sync();
      }
      if (apart && !interrupt_.stopped()) {  // the thread finds what it wrote in its core's cache
        const Range mine = crew.share_of(batch_);
        for (Index at = 0; at < chunk.rows; at += batch_)
          multiply_input(w, chunk, low, {at + mine.begin, at + mine.end});
      }
      if (split != Split::units) crew.sync();
      if (rows_.ragged()) {
        align(w, course, low, end - begin, crew);
        crew.sync();
      }
      if (!interrupt_.stopped()) {
        add_weight_gradients(net_, k_, chunk, w.gradients, crew.index, crew.size, scratch);
        if (!apart) multiply_input(w, chunk, low, crew.share_of(chunk.rows));
        collect_norms(w, number, low, end - begin, crew);
      }
      if (crew.leads()) {
        // Per chunk, as all other sums are: the same whether a sequence is inverted whole or in pieces.
        if (sum_.total) {
          sum_.add_up(net_, k_, batch_, w.sums.data(), w.gradients);
          start(w.sums.data(), nullptr, w.sums.size());
        }
        const Index last = course.at(begin);
        std::memcpy(w.dgates.data() + chunk_ * batch_ * dgates_row_,
                    w.dgates.data() + (rows_.base(last) - rows_.base(low)) * dgates_row_,
                    static_cast<std::size_t>(rows_.active(last) * dgates_row_) * sizeof(T));
      }
      crew.sync();
      end = begin;
    }
    if (!interrupt_.stopped()) finish_state(w, course, number, crew);
  }

  // Gradients of the final state, to start from.
  void start_state(const Work<T>& w, Index number, Range rows) const {
    const auto hand_in = [&](const Buffer<T>& to, const T* from, Index width) {
      if (!to.data()) return;
      if (from) from += (number * batch_ + rows.begin) * width;
      start(to.data() + rows.begin * width, from, (rows.end - rows.begin) * width);
    };
    hand_in(w.dh, args_.dh, net_.output);
    hand_in(w.carry, args_.dc, net_.hidden);
    hand_in(w.sums, nullptr, sum_.total);
  }

  // Rows that step number s of the recursion works on. In reverse, those that began with the step before it in the
  // order of this pass are to be left.
  Index touched(const Course& course, Index s) const {
    return rows_.active(course.reverse && s + 1 < time_ ? course.at(s + 1) : course.at(s));
  }

  void step(const Work<T>& w, const Course& course, Index number, Index s, Index low, bool first_of_chunk,
            bool first_of_all, Split split, const Crew& crew) const {
    if (split == Split::nobody && !crew.leads()) return;
    const Index t = course.at(s);
    const Index all = touched(course, s);
    const Range mine = split == Split::rows ? crew.share_of(all) : Range{0, all};
    const Range units = split == Split::units ? crew.share_of(panels_) : Range{0, panels_};
    const auto clipped = [&](Index begin, Index end) {
      return Range{std::max(mine.begin, begin), std::min(mine.end, end)};
    };
    // Rows that the step after this one in the recursion had too, and those that end with this one.
    const Index later = first_of_all ? 0 : std::min(rows_.active(t), rows_.active(course.at(s + 1)));
    const Index next = first_of_all     ? 0
                       : first_of_chunk ? chunk_ * batch_
                                        : rows_.base(course.at(s + 1)) - rows_.base(low);
    const T* dgates_next = w.dgates.data() + next * dgates_row_;
    if (surrounded_) {
      const Range gone = course.reverse && !first_of_all ? clipped(rows_.active(t), rows_.active(t - 1)) : Range{0, 0};
      for (const Range rows : {clipped(0, later), gone}) leave(w, course, number, rows, units, dgates_next, s + 1);
      step_rows(w, course, number, t, low, clipped(0, rows_.active(t)), units, nullptr);
      return;
    }
    step_rows(w, course, number, t, low, clipped(0, later), units, dgates_next);
    step_rows(w, course, number, t, low, clipped(later, rows_.active(t)), units, nullptr);
    // Rows that began with the step before this one in the order of this pass.
    if (course.reverse && !first_of_all) {
      leave(w, course, number, clipped(rows_.active(t), rows_.active(t - 1)), units, dgates_next, s + 1);
    }
  }

  // dL/d(the state that rows started step number s of the recursion from), from its gate gradients.
  void leave(const Work<T>& w, const Course& course, Index number, Range rows, Range units, const T* dgates,
             Index s) const {
    if (rows.begin >= rows.end) return;
    if (surrounded_) {
      arrive_around(net_, k_, *w.packed, rows.end - rows.begin, dgates + rows.begin * dgates_row_, dgates_row_,
                    w.dh.data() + rows.begin * net_.output,
                    w.carry.data() ? w.carry.data() + rows.begin * net_.hidden : nullptr,
                    interventions_at(net_, tape_.interventions, rows_, course, number, course.at(s), rows.begin),
                    w.scratch->at(rows.begin));
      return;
    }
    Product<T> p{};
    p.rows = rows.end - rows.begin;
    p.shape = w.packed->recurrent_shape;
    p.a = dgates + rows.begin * dgates_row_ + net_.recurrent_at * net_.hidden;
    p.a_row = dgates_row_;
    p.b = w.packed->weight_hh.data();
    p.out = w.dh.data() + rows.begin * net_.hidden;
    p.out_row = net_.hidden;
    p.panel_begin = units.begin;
    p.panel_end = units.end;
    k_.product(p);
  }

  void step_rows(const Work<T>& w, const Course& course, Index number, Index t, Index low, Range rows, Range units,
                 const T* dgates_next) const {
    if (rows.begin >= rows.end) return;
    const Index at = rows_.base(t) - rows_.base(low) + rows.begin;
    const Index before = rows_.slot(course.slot_before(t)) + rows.begin;
    const Index after = rows_.slot(course.slot(t)) + rows.begin;
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
    b.dgates_next = dgates_next ? dgates_next + rows.begin * dgates_row_ : nullptr;
    b.dh = w.dh.data() + rows.begin * net_.output;
    b.dy_row = width_;
    b.dy = w.dy ? w.dy + (rows_.base(t) + rows.begin) * width_ : nullptr;
    b.carry = w.carry.data() ? w.carry.data() + rows.begin * net_.hidden : nullptr;
    b.h_prev = w.h + before * width_;
    b.h_prev_row = width_;
    if (net_.tape_gates) {
      b.gates_row = tape_.gates_row;
      b.gates = w.gates + (rows_.base(t) + rows.begin) * b.gates_row;
    } else {
      b.gates_row = width_;
      b.gates = w.h + after * width_;
    }
    b.peephole = w.parameters.peephole;
    T* const sums = w.sums.data() ? w.sums.data() + rows.begin * sum_.total : nullptr;
    b.dpeephole = sum_.peephole >= 0 ? sums + sum_.peephole : nullptr;
    b.dpeephole_row = sum_.total;
    b.lstm = &w.packed->lstm;
    b.c_row = b.c_prev_row = net_.hidden;
    if (w.c) {
      b.c_prev = w.c + before * b.c_row;
      b.c = w.c + after * b.c_row;
    }
    const Index squares = at * panels_;
    b.dh_squares = w.dh_squares.data() + squares;
    b.dc_squares = w.dc_squares.data() ? w.dc_squares.data() + squares : nullptr;
    if (!surrounded_) {
      k_.backward[static_cast<int>(net_.traits.cell)](b);
      return;
    }
    invert_around(net_, k_, *w.packed, w.parameters, args_.clip, b,
                  interventions_at(net_, tape_.interventions, rows_, course, number, t, rows.begin), *w.kept,
                  rows_.base(t) + rows.begin, sums, w.scratch->at(rows.begin),
                  {row_of(w.h_in, at, net_.output), row_of(w.last_in, at, net_.hidden),
                   row_of(w.inner, at, net_.hidden), row_of(w.dprojected, at, net_.output),
                   args_.errors ? errors_at(number, rows_.base(t) + rows.begin) : nullptr});
  }

  // The states that a ragged chunk's steps started from, row by row beside its gate gradients (surrounded steps have
  // put them there), and zeros in the room.
  void align(const Work<T>& w, const Course& course, Index low, Index steps, const Crew& crew) const {
    const Range mine = crew.share_of(steps);
    for (Index t = low + mine.begin; t < low + mine.end; ++t) {
      const Index at = rows_.base(t) - rows_.base(low);
      if (!surrounded_) {
        const T* from = w.h + rows_.slot(course.slot_before(t)) * width_;
        for (Index b = 0; b < rows_.active(t); ++b) {
          std::memcpy(w.h_in.data() + (at + b) * net_.output, from + b * width_,
                      static_cast<std::size_t>(net_.output) * sizeof(T));
        }
      }
      const Index rest = at + rows_.active(t);
      const Index room = rows_.room(t) - rows_.active(t);
      const auto clear = [&](const Buffer<T>& buffer, Index width) {
        if (buffer.data()) start(buffer.data() + rest * width, nullptr, room * width);
      };
      clear(w.h_in, net_.output);
      clear(w.dgates, dgates_row_);
      clear(w.last_in, net_.hidden);
      clear(w.inner, net_.hidden);
      clear(w.dprojected, net_.output);
    }
  }

  // What the chunk [low, low + steps) has for its products.
  ChunkOperands<T> operands(const Work<T>& w, const Course& course, Index low, Index steps) const {
    const Index high = low + steps - 1;
    const bool gathered = w.h_in.data() != nullptr;
    ChunkOperands<T> chunk{};
    chunk.rows = rows_.base(high) + rows_.active(high) - rows_.base(low);
    chunk.dgates = w.dgates.data();
    chunk.dgates_row = dgates_row_;
    chunk.x = w.x + rows_.base(low) * w.input;
    chunk.input = w.input;
    chunk.h = gathered ? w.h_in.data() : w.h + rows_.slot(course.slot_before(low)) * width_;
    chunk.h_row = gathered ? net_.output : width_;
    chunk.last_in = w.last_in.data();
    chunk.inner = w.inner.data();
    chunk.dprojected = w.dprojected.data();
    return chunk;
  }

  void multiply_input(const Work<T>& w, const ChunkOperands<T>& chunk, Index low, Range rows) const {
    if (!w.dx) return;
    multiply_input_gradients(k_, chunk, rows, w.packed->input_shape, w.packed->weight_ih.data(),
                             w.dx + rows_.base(low) * w.input);
  }

  T* errors_at(Index number, Index row) const { return args_.errors + (number * rows_.total() + row) * net_.output; }

  void collect_norms(const Work<T>& w, Index number, Index low, Index steps, const Crew& crew) const {
    const Range mine = crew.share_of(steps);
    for (Index t = mine.begin; t < mine.end; ++t) {
      const Index begin = (rows_.base(low + t) - rows_.base(low)) * panels_;
      const Index end = begin + rows_.active(low + t) * panels_;
      double dh = 0, dc = 0;
      for (Index i = begin; i < end; ++i) dh += w.dh_squares.data()[i];
      if (w.dc_squares.data()) {
        for (Index i = begin; i < end; ++i) dc += w.dc_squares.data()[i];
      }
      record_norms(number, low + t, dh, dc);
    }
  }

  void record_norms(Index number, Index t, double dh_squares, double dc_squares) const {
    args_.dh_norm[number * time_ + t] = std::sqrt(dh_squares);
    if (args_.dc_norm) args_.dc_norm[number * time_ + t] = std::sqrt(dc_squares);
  }

  // Gradients of the initial state: zero where the recursion did not get that far back.
  void finish_state(const Work<T>& w, const Course& course, Index number, const Crew& crew) const {
    const Range rows = crew.share_of(batch_);
    const bool arrived = first_ == 0;
    // Rows that took a step. Those of no length have arrived in any case.
    const Index moved = std::max<Index>(0, std::min(rows.end, rows_.active(0)) - rows.begin);
    const auto hand_out = [&](T* to, const Buffer<T>& from, Index width) {
      to += (number * batch_ + rows.begin) * width;
      const T* own = from.data() + rows.begin * width;
      start(to, arrived ? own : nullptr, moved * width);
      start(to + moved * width, own + moved * width, (rows.end - rows.begin - moved) * width);
    };
    if (arrived && time_ > 0) {
      // Forward, all rows began with step 0; in reverse, those are left that began with the last.
      const Index t = course.reverse ? time_ - 1 : 0;
      leave(w, course, number, {rows.begin, std::min(rows.end, rows_.active(t))}, {0, panels_},
            w.dgates.data() + chunk_ * batch_ * dgates_row_, 0);
      if (w.carry.data() && !net_.traits.has_cell_state && !surrounded_) {
        const Index begin = rows.begin * net_.hidden;
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

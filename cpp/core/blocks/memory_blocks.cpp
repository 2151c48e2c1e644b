#include "core/blocks/memory_blocks.hpp"

#include <cmath>
#include <cstring>

#include "core/timeless/error_norm.hpp"
#include "runtime/isa.hpp"
#include "runtime/workspace.hpp"

namespace bptt {
namespace {

constexpr Index kPollSteps = 16;  // reading the clock takes a quarter of a short step

template <class T>
void add_scaled(Index n, T factor, const T* __restrict x, T* __restrict y) {
  for (Index i = 0; i < n; ++i) y[i] += factor * x[i];
}

template <class T>
void clear(Index n, T* x) {
  if (n > 0) std::memset(x, 0, static_cast<std::size_t>(n) * sizeof(T));
}

template <class T>
void copy(Index n, const T* from, T* to) {
  if (n > 0) std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(T));
}

// A row of a step: its places in arrays over time and in states.
struct Place {
  Index row;
  Index before;  // the row of the step before; -1 at the first step
  Index b;
};

// What both passes share: sizes, memory, and where the state before a step lies.
template <class T>
class Pass {
 public:
  Pass(const MemoryBlocks& net, const Rows& rows, const BlockInputs<T>& in, const BlockStates<T>& states)
      : net_(net), rows_(rows), in_(in), states_(states), memory_((I_ + H_ + 3) * H_) {
    clear(memory_.size(), memory_.data());
  }

 protected:
  struct State {
    const T* h;
    const T* c;
  };
  State initial(Index b) const { return {in_.h0 ? in_.h0 + b * M_ : zeros_, in_.c0 ? in_.c0 + b * H_ : zeros_}; }
  State after(Index row) const { return {states_.y + row * M_, states_.c + row * H_}; }
  State old(const Place& at) const {
    if (in_.reset && in_.reset[at.row]) return {zeros_, zeros_};
    return at.before < 0 ? initial(at.b) : after(at.before);
  }

  // Calls visit(place) for the rows that run at step t.
  template <class Visit>
  void for_each_row(Index t, Visit visit) const {
    const Index row = rows_.base(t), before = t == 0 ? 0 : rows_.base(t - 1);
    for (Index b = 0; b < rows_.active(t); ++b) visit(Place{row + b, t == 0 ? -1 : before + b, b});
  }

  // Calls visit(value, column) for what the units read at a step: x, the outputs of the cells, and the gates.
  template <class Visit>
  void for_each_source(const Place& at, Visit visit) const {
    const State state = old(at);
    T* column = columns_;
    for (Index j = 0; j < I_ + H_; ++j, column += H_) {
      visit(j < I_ ? in_.x[at.row * I_ + j] : j < I_ + M_ ? state.h[j - I_] : state.c[j - I_], column);
    }
  }

  const MemoryBlocks& net_;
  const Rows& rows_;
  const BlockInputs<T>& in_;
  const BlockStates<T>& states_;
  const Index I_ = net_.input;
  const Index M_ = net_.outputs();
  const Index H_ = net_.units();
  const Index K_ = net_.blocks;
  const Buffer<T> memory_;
  T* const columns_ = memory_.data();  // transposed weights, or their gradients: (I + H, H)
  T* const sums_ = columns_ + (I_ + H_) * H_;  // of the units at a step, or their errors
  T* const bias_ = sums_ + H_;  // the gradient
  T* const zeros_ = bias_ + H_;
};

template <class T>
class Forward : Pass<T> {
 public:
  Forward(const MemoryBlocks& net, const Rows& rows, const BlockInputs<T>& in, const BlockStates<T>& out)
      : Pass<T>(net, rows, in, out) {
    const T* weight = in.parameters;
    for (const Index count : {I_, H_}) {
      T* column = columns_ + (weight == in.parameters ? 0 : I_ * H_);
      for (Index unit = 0; unit < H_; ++unit) {
        for (Index j = 0; j < count; ++j) column[j * H_ + unit] = *weight++;
      }
    }
  }

  void run(std::pair<T*, T*> final, Interrupt& interrupt) {
    store_ended(-1, final);
    for (Index t = 0; t < rows_.time() && !interrupt.stopped(); ++t) {
      this->for_each_row(t, [&](const Place& at) { step(at); });
      const Index first = rows_.base(t) + rows_.active(t), count = rows_.base(t + 1) - first;
      clear(count * M_, states_.y + first * M_);  // rows past active(t) hold zeros
      clear(count * H_, states_.c + first * H_);
      clear(count * 2 * M_, states_.inner + first * 2 * M_);
      store_ended(t, final);
      if (t % kPollSteps == 0) interrupt.poll();
    }
  }

 private:
  void step(const Place& at) {
    clear(H_ - net_.biases, sums_);
    copy(net_.biases, in_.parameters + H_ * (I_ + H_), sums_ + H_ - net_.biases);
    this->for_each_source(at, [&](T value, const T* column) { add_scaled(H_, value, column, sums_); });

    T* c = states_.c + at.row * H_;
    T* inner = states_.inner + at.row * 2 * M_;
    const T* old = this->old(at).c;
    for (Index j = M_; j < H_; ++j) c[j] = 1 / (1 + std::exp(-sums_[j]));
    for (Index j = 0; j < M_; ++j) {
      const T* gate = c + M_ + j / net_.cells;
      const T g = 2 * std::tanh(sums_[j] / 2);  // 4 sigmoid(x) - 2, accurate near 0
      c[j] = old[j] + gate[0] * g;
      const T squashed = net_.squash ? std::tanh(c[j] / 2) : c[j];
      inner[j] = g;
      inner[M_ + j] = squashed;
      states_.y[at.row * M_ + j] = gate[K_] * squashed;
    }
  }

  // A row ends where the next step no longer has it. Rows without a step keep their initial state.
  void store_ended(Index t, std::pair<T*, T*> final) const {
    const Index end = t < 0 ? rows_.batch() : rows_.active(t);
    for (Index b = rows_.active(t + 1); b < end; ++b) {
      const auto last = t < 0 ? this->initial(b) : this->after(rows_.base(t) + b);
      copy(M_, last.h, final.first + b * M_);
      copy(H_, last.c, final.second + b * H_);
    }
  }

  using Pass<T>::net_;
  using Pass<T>::rows_;
  using Pass<T>::in_;
  using Pass<T>::states_;
  using Pass<T>::I_;
  using Pass<T>::M_;
  using Pass<T>::H_;
  using Pass<T>::K_;
  using Pass<T>::columns_;
  using Pass<T>::sums_;
};

template <class T>
class Backward : Pass<T> {
 public:
  Backward(const MemoryBlocks& net, const Rows& rows, const BlockInputs<T>& in, const BlockStates<T>& states,
           const BlockErrors<T>& errors)
      : Pass<T>(net, rows, in, states), e_(errors) {}

  void run(Interrupt& interrupt) {
    const Index steps = rows_.time(), first = steps - std::min(e_.steps, steps);
    const Index norms = e_.norms_of_rows ? rows_.total() : steps;
    clear(norms, e_.dh_norm);
    clear(norms, e_.dc_norm);
    if (e_.dx) clear(rows_.total() * I_, e_.dx);
    if (e_.kept) clear(rows_.total() * M_, e_.kept);
    for (Index t = steps - 1; t >= first && !interrupt.stopped(); --t) {
      ErrorNorm dh, dc;
      this->for_each_row(t, [&](const Place& at) {
        if (e_.norms_of_rows) dh = dc = {};
        step(at, dh, dc);
        const Index place = e_.norms_of_rows ? at.row : t;
        e_.dh_norm[place] = dh.value();
        e_.dc_norm[place] = dc.value();
      });
      if ((steps - t) % net_.chunk == 0 || t == first) add_sums();
      if (t % kPollSteps == 0) interrupt.poll();
    }
    if (first > 0) {  // the errors of rows with a step do not reach the initial state
      clear(rows_.active(0) * M_, e_.dh);
      clear(rows_.active(0) * H_, e_.dc);
    }
  }

 private:
  // Turns the error of the state after the step, in dh and dc, into the error of the state before.
  void step(const Place& at, ErrorNorm& dh_norm, ErrorNorm& dc_norm) {
    T* dh = e_.dh + at.b * M_;
    T* dc = e_.dc + at.b * H_;
    if (e_.dy) add_scaled(M_, T{1}, e_.dy + at.row * M_, dh);
    limit(M_, dh, dh_norm);
    if (e_.kept) copy(M_, dh, e_.kept + at.row * M_);
    invert_outputs(at.row, dh, dc);
    limit(H_, dc, dc_norm);
    invert_cells(at.row, dh, dc);
    if (e_.gradients) {
      this->for_each_source(at, [&](T value, T* column) { add_scaled(H_, value, sums_, column); });
      add_scaled(H_, T{1}, sums_, bias_);
    }
    const T* weight = in_.parameters;
    for (Index j = 0; e_.dx && j < H_; ++j) add_scaled(I_, sums_[j], weight + j * I_, e_.dx + at.row * I_);
    clear(M_, dh);
    clear(H_ - M_, dc + M_);
    if ((in_.reset && in_.reset[at.row]) || (e_.cut && e_.cut[at.row])) {
      clear(M_, dc);
    } else if (!net_.truncated) {
      weight += H_ * I_;
      for (Index j = 0; j < H_; ++j, weight += H_) {
        add_scaled(M_, sums_[j], weight, dh);
        add_scaled(H_ - M_, sums_[j], weight + M_, dc + M_);
      }
    }
  }

  void limit(Index n, T* error, ErrorNorm& norm) const {
    e_.clip.apply(kernels_, 1, n, error);
    norm.add(squares_of(kernels_, n, error));
  }

  // y = o squashed, squashed = tanh(s / 2): the error of s.
  void invert_outputs(Index row, const T* dh, T* dc) const {
    const T* o = states_.c + row * H_ + M_ + K_;
    const T* squashed = states_.inner + row * 2 * M_ + M_;
    for (Index j = 0; j < M_; ++j) {
      const T slope = net_.squash ? (1 - squashed[j]) * (1 + squashed[j]) / 2 : T{1};
      dc[j] += dh[j] * o[j / net_.cells] * slope;
    }
  }

  // y = o squashed, s = s_old + i g, g = 2 tanh(a / 2): the errors of the gates and of all sums.
  void invert_cells(Index row, const T* dh, T* dc) {
    const T* c = states_.c + row * H_;
    const T* inner = states_.inner + row * 2 * M_;
    for (Index j = 0; j < M_; ++j) {
      const Index gate = M_ + j / net_.cells;
      const T g = inner[j];
      dc[gate] += dc[j] * g;
      dc[gate + K_] += dh[j] * inner[M_ + j];
      sums_[j] = dc[j] * c[gate] * (1 - g / 2) * (1 + g / 2);
    }
    for (Index j = M_; j < H_; ++j) sums_[j] = dc[j] * c[j] * (1 - c[j]);
  }

  // Adds the sums of a chunk to the gradients, and starts again.
  void add_sums() {
    T* gradient = e_.gradients;
    if (!gradient) return;
    for (const Index count : {I_, H_}) {
      const T* column = columns_ + (gradient == e_.gradients ? 0 : I_ * H_);
      for (Index unit = 0; unit < H_; ++unit) {
        for (Index j = 0; j < count; ++j) *gradient++ += column[j * H_ + unit];
      }
    }
    add_scaled(net_.biases, T{1}, bias_ + H_ - net_.biases, gradient);
    clear(this->memory_.size(), columns_);
  }

  using Pass<T>::net_;
  using Pass<T>::rows_;
  using Pass<T>::in_;
  using Pass<T>::states_;
  using Pass<T>::I_;
  using Pass<T>::M_;
  using Pass<T>::H_;
  using Pass<T>::K_;
  using Pass<T>::columns_;
  using Pass<T>::sums_;
  using Pass<T>::bias_;
  const BlockErrors<T>& e_;
  const Kernels<T>& kernels_ = kernels<T>();
};

}  // namespace

template <class T>
void blocks_forward(const MemoryBlocks& net, const Rows& rows, const BlockInputs<T>& in, const BlockStates<T>& out,
                    std::pair<T*, T*> final, Interrupt& interrupt) {
  Forward<T>(net, rows, in, out).run(final, interrupt);
}

template <class T>
void blocks_backward(const MemoryBlocks& net, const Rows& rows, const BlockInputs<T>& in, const BlockStates<T>& states,
                     const BlockErrors<T>& errors, Interrupt& interrupt) {
  Backward<T>(net, rows, in, states, errors).run(interrupt);
}

#define BPTT_INSTANTIATE(T)                                                                                     \
  template void blocks_forward(const MemoryBlocks&, const Rows&, const BlockInputs<T>&, const BlockStates<T>&,  \
                               std::pair<T*, T*>, Interrupt&);                                                  \
  template void blocks_backward(const MemoryBlocks&, const Rows&, const BlockInputs<T>&, const BlockStates<T>&, \
                                const BlockErrors<T>&, Interrupt&);
BPTT_INSTANTIATE(float)
BPTT_INSTANTIATE(double)
#undef BPTT_INSTANTIATE

}  // namespace bptt

#include "core/blocks/memory_blocks.hpp"

#include <cmath>

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

// What both passes share: sizes, and where the state before a step lies.
template <class T>
class Pass {
 public:
  Pass(const MemoryBlocks& net, const Rows& rows, const BlockInputs<T>& in, const BlockStates<T>& states)
      : net_(net), rows_(rows), in_(in), states_(states), zeros_(H_) {
    std::fill_n(zeros_.data(), H_, T{0});
  }

 protected:
  struct State {
    const T* h;
    const T* c;
  };
  State initial(Index b) const {
    return {in_.h0 ? in_.h0 + b * M_ : zeros_.data(), in_.c0 ? in_.c0 + b * H_ : zeros_.data()};
  }
  State after(Index row) const { return {states_.y + row * M_, states_.c + row * H_}; }
  State before(Index t, Index b) const {
    if (in_.reset && in_.reset[rows_.at(t, b)]) return {zeros_.data(), zeros_.data()};
    return t == 0 ? initial(b) : after(rows_.at(t - 1, b));
  }

  // Calls visit(j, value) for what the units read at a step: x, then the outputs of cells, then the gates.
  template <class Visit>
  void for_each_source(Index row, const State& old, Visit visit) const {
    for (Index j = 0; j < I_; ++j) visit(j, in_.x[row * I_ + j]);
    for (Index j = 0; j < M_; ++j) visit(I_ + j, old.h[j]);
    for (Index j = M_; j < H_; ++j) visit(I_ + j, old.c[j]);
  }

  const MemoryBlocks& net_;
  const Rows& rows_;
  const BlockInputs<T>& in_;
  const BlockStates<T>& states_;
  const Index I_ = net_.input;
  const Index M_ = net_.outputs();
  const Index H_ = net_.units();
  const Index K_ = net_.blocks;
  Buffer<T> zeros_;
};

template <class T>
class Forward : Pass<T> {
 public:
  Forward(const MemoryBlocks& net, const Rows& rows, const BlockInputs<T>& in, const BlockStates<T>& out)
      : Pass<T>(net, rows, in, out), columns_((I_ + H_) * H_), sums_(H_) {
    const T* recurrent = in.parameters + H_ * I_;
    for (Index unit = 0; unit < H_; ++unit) {
      for (Index j = 0; j < I_; ++j) columns_.data()[j * H_ + unit] = in.parameters[unit * I_ + j];
      for (Index j = 0; j < H_; ++j) columns_.data()[(I_ + j) * H_ + unit] = recurrent[unit * H_ + j];
    }
  }

  void step(Index t, Index b) {
    const Index row = rows_.at(t, b);
    const auto old = this->before(t, b);
    T* sums = sums_.data();
    std::fill_n(sums, H_ - net_.biases, T{0});
    std::copy_n(in_.parameters + H_ * (I_ + H_), net_.biases, sums + H_ - net_.biases);
    this->for_each_source(row, old, [&](Index j, T value) { add_scaled(H_, value, columns_.data() + j * H_, sums); });

    T* c = states_.c + row * H_;
    T* inner = states_.inner + row * 2 * M_;
    for (Index j = M_; j < H_; ++j) c[j] = 1 / (1 + std::exp(-sums[j]));
    for (Index j = 0; j < M_; ++j) {
      const Index block = j / net_.cells;
      const T g = 2 * std::tanh(sums[j] / 2);  // 4 sigmoid(x) - 2, accurate near 0
      c[j] = old.c[j] + c[M_ + block] * g;
      const T squashed = net_.squash ? std::tanh(c[j] / 2) : c[j];
      inner[j] = g;
      inner[M_ + j] = squashed;
      states_.y[row * M_ + j] = c[M_ + K_ + block] * squashed;
    }
  }

  // Rows past active(t) hold zeros.
  void clear_padding(Index t) const {
    const Index first = rows_.base(t) + rows_.active(t), count = rows_.base(t + 1) - first;
    std::fill_n(states_.y + first * M_, count * M_, T{0});
    std::fill_n(states_.c + first * H_, count * H_, T{0});
    std::fill_n(states_.inner + first * 2 * M_, count * 2 * M_, T{0});
  }

  // A row ends where the next step no longer has it. Rows without a step keep their initial state.
  void store_ended(Index t, std::pair<T*, T*> final) const {
    const Index end = t < 0 ? rows_.batch() : rows_.active(t);
    for (Index b = rows_.active(t + 1); b < end; ++b) {
      const auto last = t < 0 ? this->initial(b) : this->after(rows_.at(t, b));
      std::copy_n(last.h, M_, final.first + b * M_);
      std::copy_n(last.c, H_, final.second + b * H_);
    }
  }

 private:
  using Pass<T>::net_;
  using Pass<T>::rows_;
  using Pass<T>::in_;
  using Pass<T>::states_;
  using Pass<T>::I_;
  using Pass<T>::M_;
  using Pass<T>::H_;
  using Pass<T>::K_;
  Buffer<T> columns_;  // the transposed weights
  Buffer<T> sums_;
};

template <class T>
class Backward : Pass<T> {
 public:
  Backward(const MemoryBlocks& net, const Rows& rows, const BlockInputs<T>& in, const BlockStates<T>& states,
           const BlockErrors<T>& errors)
      : Pass<T>(net, rows, in, states), e_(errors), columns_((I_ + H_) * H_), da_(H_), bias_(H_) {
    clear_sums();
  }

  // Turns the error of the state after the step, in dh and dc, into the error of the state before.
  void step(Index t, Index b, ErrorNorm& dh_norm, ErrorNorm& dc_norm) {
    const Index row = rows_.at(t, b);
    T* dh = e_.dh + b * M_;
    T* dc = e_.dc + b * H_;
    if (e_.dy) add_scaled(M_, T{1}, e_.dy + row * M_, dh);
    if (e_.clip.any()) e_.clip.apply(kernels_, 1, M_, dh);
    dh_norm.add(squares_of(kernels_, M_, dh));
    if (e_.kept) std::copy_n(dh, M_, e_.kept + row * M_);

    invert_outputs(row, dh, dc);
    if (e_.clip.any()) e_.clip.apply(kernels_, 1, H_, dc);
    dc_norm.add(squares_of(kernels_, H_, dc));
    invert_cells(row, dh, dc);
    const T* da = da_.data();
    if (e_.gradients) {
      this->for_each_source(row, this->before(t, b),
                            [&](Index j, T value) { add_scaled(H_, value, da, columns_.data() + j * H_); });
      add_scaled(H_, T{1}, da, bias_.data());
    }
    if (e_.dx) {
      std::fill_n(e_.dx + row * I_, I_, T{0});
      for (Index j = 0; j < H_; ++j) add_scaled(I_, da[j], in_.parameters + j * I_, e_.dx + row * I_);
    }
    std::fill_n(dh, M_, T{0});
    std::fill_n(dc + M_, H_ - M_, T{0});
    if ((in_.reset && in_.reset[row]) || (e_.cut && e_.cut[row])) {
      std::fill_n(dc, M_, T{0});
    } else if (!net_.truncated) {
      const T* recurrent = in_.parameters + H_ * I_;
      for (Index j = 0; j < H_; ++j, recurrent += H_) {
        add_scaled(M_, da[j], recurrent, dh);
        add_scaled(H_ - M_, da[j], recurrent + M_, dc + M_);
      }
    }
  }

  // Adds the sums of a chunk to the gradients.
  void add_sums() {
    if (!e_.gradients) return;
    T* recurrent = e_.gradients + H_ * I_;
    for (Index unit = 0; unit < H_; ++unit) {
      for (Index j = 0; j < I_; ++j) e_.gradients[unit * I_ + j] += columns_.data()[j * H_ + unit];
      for (Index j = 0; j < H_; ++j) recurrent[unit * H_ + j] += columns_.data()[(I_ + j) * H_ + unit];
    }
    add_scaled(net_.biases, T{1}, bias_.data() + H_ - net_.biases, recurrent + H_ * H_);
    clear_sums();
  }

 private:
  // y = o squashed, squashed = tanh(s / 2): the error of s.
  void invert_outputs(Index row, const T* dh, T* dc) const {
    const T* c = states_.c + row * H_;
    const T* squashed = states_.inner + row * 2 * M_ + M_;
    for (Index j = 0; j < M_; ++j) {
      const T slope = net_.squash ? (1 - squashed[j]) * (1 + squashed[j]) / 2 : T{1};
      dc[j] += dh[j] * c[M_ + K_ + j / net_.cells] * slope;
    }
  }

  // y = o squashed, s = s_old + i g, g = 2 tanh(a / 2): the errors of the gates and of all sums.
  void invert_cells(Index row, const T* dh, T* dc) {
    const T* c = states_.c + row * H_;
    const T* inner = states_.inner + row * 2 * M_;
    T* da = da_.data();
    for (Index j = 0; j < M_; ++j) {
      const Index block = j / net_.cells;
      const T g = inner[j];
      dc[M_ + block] += dc[j] * g;
      dc[M_ + K_ + block] += dh[j] * inner[M_ + j];
      da[j] = dc[j] * c[M_ + block] * (1 - g / 2) * (1 + g / 2);
    }
    for (Index j = M_; j < H_; ++j) da[j] = dc[j] * c[j] * (1 - c[j]);
  }

  void clear_sums() {
    std::fill_n(columns_.data(), (I_ + H_) * H_, T{0});
    std::fill_n(bias_.data(), H_, T{0});
  }

  using Pass<T>::net_;
  using Pass<T>::rows_;
  using Pass<T>::in_;
  using Pass<T>::states_;
  using Pass<T>::I_;
  using Pass<T>::M_;
  using Pass<T>::H_;
  using Pass<T>::K_;
  const BlockErrors<T>& e_;
  const Kernels<T>& kernels_ = kernels<T>();
  Buffer<T> columns_;  // gradients of the transposed weights
  Buffer<T> da_;
  Buffer<T> bias_;
};

}  // namespace

template <class T>
void blocks_forward(const MemoryBlocks& net, const Rows& rows, const BlockInputs<T>& in, const BlockStates<T>& out,
                    std::pair<T*, T*> final, Interrupt& interrupt) {
  Forward<T> pass(net, rows, in, out);
  pass.store_ended(-1, final);
  for (Index t = 0; t < rows.time() && !interrupt.stopped(); ++t) {
    for (Index b = 0; b < rows.active(t); ++b) pass.step(t, b);
    if (rows.ragged()) pass.clear_padding(t);
    pass.store_ended(t, final);
    if (t % kPollSteps == 0) interrupt.poll();
  }
}

template <class T>
void blocks_backward(const MemoryBlocks& net, const Rows& rows, const BlockInputs<T>& in, const BlockStates<T>& states,
                     const BlockErrors<T>& errors, Interrupt& interrupt) {
  Backward<T> pass(net, rows, in, states, errors);
  const Index T_ = rows.time(), first = T_ - std::min(errors.steps, T_);
  const Index norms = errors.norms_of_rows ? rows.total() : T_;
  std::fill_n(errors.dh_norm, norms, 0.0);
  std::fill_n(errors.dc_norm, norms, 0.0);
  if (errors.dx) std::fill_n(errors.dx, rows.total() * net.input, T{0});
  if (errors.kept) std::fill_n(errors.kept, rows.total() * net.outputs(), T{0});
  for (Index t = T_ - 1; t >= first && !interrupt.stopped(); --t) {
    ErrorNorm dh, dc;
    for (Index b = 0; b < rows.active(t); ++b) {
      if (errors.norms_of_rows) dh = dc = {};
      pass.step(t, b, dh, dc);
      const Index at = errors.norms_of_rows ? rows.at(t, b) : t;
      errors.dh_norm[at] = dh.value();
      errors.dc_norm[at] = dc.value();
    }
    if ((T_ - t) % MemoryBlocks::kChunk == 0) pass.add_sums();
    if (t % kPollSteps == 0) interrupt.poll();
  }
  pass.add_sums();
  if (first > 0) {  // the errors of rows with a step do not reach the initial state
    std::fill_n(errors.dh, rows.active(0) * net.outputs(), T{0});
    std::fill_n(errors.dc, rows.active(0) * net.units(), T{0});
  }
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

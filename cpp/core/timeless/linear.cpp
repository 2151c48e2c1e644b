#include "core/timeless/linear.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/addressing.hpp"
#include "runtime/float_mode.hpp"
#include "runtime/isa.hpp"
#include "runtime/team.hpp"
#include "runtime/workspace.hpp"

namespace bptt {
namespace {

constexpr double kWorthATeam = 4e6;  // floating-point operations
constexpr double kPollFlops = 4e8;         // between two polls for an interrupt: a few milliseconds of one core
constexpr Index kPollElements = 1 << 24;   // elements between two polls, where memory is read once
constexpr Index kRows = 1024;              // a block of transposed_product in depth
constexpr Index kFewestRows = 96;          // below, packed weights are read too often
constexpr Index kOutputs = 512;            // of a transposed product: a block of its left operand fits in cache
constexpr Index kFewestColumns = 64;

// The number of items to process between two polls for an interrupt. One item costs `each`, and one stretch of work may
// cost `budget`. Cutting the work changes no bit of the result: only sums over rows depend on an order, and these are
// cut at the ends of their blocks.
Index piece(double each, double budget, Index fewest, Index most) {
  const double wanted = budget / std::max(1.0, each);
  return wanted < static_cast<double>(most) ? std::max(fewest, static_cast<Index>(wanted)) : most;
}

// One thread's view of the interrupt: thread 0 polls, and all threads read the flag.
struct Watch {
  Interrupt& interrupt;
  bool polls;

  bool stopped() const { return interrupt.stopped(); }
  // Calls f(begin, end) for one piece of the range after the other, until all is done or the call is stopped.
  template <class F>
  void go_through(Range range, Index step, F f) const {
    for (Index begin = range.begin; begin < range.end && !stopped(); begin += step) {
      f(begin, std::min(begin + step, range.end));
      if (polls) interrupt.poll();
    }
  }
};

template <class T>
int threads_for(const LinearArgs<T>& args) {
  const double work = 2.0 * static_cast<double>(args.rows) * static_cast<double>(args.input * args.output);
  return work < kWorthATeam ? 1 : get_num_threads();
}

// The right operand (depth, columns) whose element (k, n) is source[k * k_stride + n * n_stride], packed by a crew.
template <class T>
struct Operand {
  Operand(const Kernels<T>& kernels, Index depth, Index columns, const T* from, Index k_step, Index n_step)
      : k(kernels), shape{depth, columns, 1}, source(from), k_stride(k_step), n_stride(n_step),
        packed(k.packed_size(shape)) {}

  void pack(int index, int threads, const Watch& watch) const {
    const Index panels = k.panel_count(shape);
    const Index step = piece(elements() / static_cast<double>(std::max<Index>(1, panels)), kPollElements, 1, panels);
    watch.go_through(slice_of(panels, index, threads), step, [&](Index begin, Index end) {
      PackPanels<T> args{};
      args.shape = shape;
      args.source = source;
      args.k_stride = k_stride;
      args.n_stride = n_stride;
      args.packed = packed.data();
      args.panel_begin = begin;
      args.panel_end = end;
      k.pack(args);
    });
  }

  // out = init + a . this for these rows of a and out; init is one row or null.
  void multiply(Range rows, const T* a, const T* init, T* out, const Watch& watch) const {
    const Index panels = k.panel_count(shape);
    const Index most = piece(2 * elements(), kPollFlops, kFewestRows, kRows);
    const double panel = 2 * elements() * static_cast<double>(most) / static_cast<double>(std::max<Index>(1, panels));
    const Index step = piece(panel, kPollFlops, 1, panels);
    watch.go_through(rows, most, [&](Index first, Index last) {
      Product<T> p{};
      p.rows = last - first;
      p.shape = shape;
      p.a = a + first * shape.depth;
      p.a_row = shape.depth;
      p.b = packed.data();
      p.init = init;
      p.out = out + first * shape.units;
      p.out_row = shape.units;
      watch.go_through({0, panels}, step, [&](Index begin, Index end) {
        p.panel_begin = begin;
        p.panel_end = end;
        k.product(p);
      });
    });
  }

  double elements() const { return static_cast<double>(shape.depth) * static_cast<double>(shape.units); }

  const Kernels<T>& k;
  PanelShape shape;
  const T* source;
  Index k_stride;
  Index n_stride;
  Buffer<T> packed;
};

template <class T>
void multiply_rows_of(const LinearArgs<T>& args, const Operand<T>& weight, bool packs, T* y, Interrupt& interrupt) {
  const int wanted = threads_for(args);
  Barrier barrier(wanted);
  run_team(wanted, [&](int index, int threads) {
    const FlushSubnormals mode;
    const Watch watch{interrupt, index == 0};
    if (packs) {
      weight.pack(index, threads, watch);
      if (threads > 1) barrier.wait();
    }
    weight.multiply(slice_of(args.rows, index, threads), args.x, args.bias, y, watch);
  });
}

// The gradients of weight and bias. Each thread of a team sums some outputs.
template <class T>
class LinearGradients {
 public:
  LinearGradients(const LinearArgs<T>& args, const T* dy, T* dweight, T* dbias, int threads)
      : k_(kernels<T>(args.precision)), args_(args), dy_(dy), dweight_(dweight), dbias_(dbias),
        copies_(shares_cache_sets(args.output, sizeof(T)) && args.rows >= 512 && args.input >= 256),
        dy_row_(copies_ ? padded_row(args.output, sizeof(T)) : args.output) {
    if (!dweight) return;
    for (int i = 0; i < threads; ++i) scratch_.emplace_back(k_.transposed_scratch);
    if (copies_) copy_ = Buffer<T>(std::min(kRows, args.rows) * dy_row_);
  }

  void add(int index, int threads, const Watch& watch) const {
    const Range mine = slice_of(args_.output, index, threads);
    if (dweight_) {
      T* const scratch = scratch_[static_cast<std::size_t>(index)].data();
      watch.go_through({0, args_.rows}, kRows,
                       [&](Index row, Index row_end) { add_rows({row, row_end}, mine, scratch, watch); });
    }
    if (dbias_) {
      const Index at_once = piece(static_cast<double>(args_.rows), kPollElements, kFewestColumns, args_.output);
      watch.go_through(mine, at_once, [&](Index begin, Index end) {
        k_.add_columns({1, args_.rows, end - begin, dy_ + begin, args_.output, 0, dbias_ + begin, nullptr, false});
      });
    }
  }

 private:
  void add_rows(Range rows, Range mine, T* scratch, const Watch& watch) const {
    const double block_rows = 2.0 * static_cast<double>(std::min(kRows, args_.rows));
    const Index part = piece(block_rows * static_cast<double>(args_.input), kPollFlops, kOutputs, args_.output);
    const Index columns = piece(block_rows * static_cast<double>(part), kPollFlops, kFewestColumns, args_.input);
    TransposedProduct<T> p{};
    p.runs = 1;
    p.a_row = dy_row_;
    p.b_row = args_.input;
    p.out_row = args_.input;
    p.scratch = scratch;
    p.depth = rows.end - rows.begin;
    p.a = dy_ + rows.begin * args_.output;
    if (copies_) {
      for (Index i = 0; i < p.depth; ++i) {
        std::memcpy(copy_.data() + i * dy_row_ + mine.begin, p.a + i * args_.output + mine.begin,
                    static_cast<std::size_t>(mine.end - mine.begin) * sizeof(T));
      }
      p.a = copy_.data();
    }
    watch.go_through(mine, part, [&](Index begin, Index end) {
      p.m_begin = begin;
      p.m_end = end;
      watch.go_through({0, args_.input}, columns, [&](Index first, Index last) {
        p.columns = last - first;
        p.b = args_.x + rows.begin * args_.input + first;
        p.out = dweight_ + first;
        k_.transposed_product(p);
      });
    });
  }

  const Kernels<T>& k_;
  const LinearArgs<T>& args_;
  const T* dy_;
  T* dweight_;  // or null
  T* dbias_;    // or null
  // The weight gradients read columns of dy, once for every few columns of x. A copy is faster where the rows of dy
  // have an unlucky distance, and both have many rows.
  bool copies_;
  Index dy_row_;
  Buffer<T> copy_;
  std::vector<Buffer<T>> scratch_;
};

}  // namespace

template <class T>
void linear_forward(const LinearArgs<T>& args, T* y, Interrupt& interrupt) {
  const Operand<T> weight(kernels<T>(args.precision), args.input, args.output, args.weight, 1, args.input);
  multiply_rows_of(args, weight, true, y, interrupt);
}

template <class T>
struct PackedLinear<T>::Packed {
  Operand<T> weight;
  Buffer<T> bias;
};

template <class T>
PackedLinear<T>::PackedLinear(const LinearArgs<T>& args, Interrupt& interrupt)
    : args_(args), packed_(new Packed{{kernels<T>(args.precision), args.input, args.output, args.weight, 1, args.input},
                                      Buffer<T>(args.output)}) {
  packed_->weight.pack(0, 1, Watch{interrupt, true});
  packed_->weight.source = nullptr;  // it belongs to the caller
  args_.weight = nullptr;
  if (!args.bias) return;
  std::copy_n(args.bias, args.output, packed_->bias.data());
  args_.bias = packed_->bias.data();
}

template <class T>
PackedLinear<T>::~PackedLinear() = default;

template <class T>
void PackedLinear<T>::forward(Index rows, const T* x, T* y, Interrupt& interrupt) const {
  LinearArgs<T> args = args_;
  args.rows = rows;
  args.x = x;
  multiply_rows_of(args, packed_->weight, false, y, interrupt);
}

template <class T>
void linear_backward(const LinearArgs<T>& args, const T* dy, T* dweight, T* dbias, T* dx, Interrupt& interrupt) {
  const int wanted = threads_for(args);
  const Operand<T> weight(kernels<T>(args.precision), args.output, dx ? args.input : 0, args.weight, args.input, 1);
  const LinearGradients<T> gradients(args, dy, dweight, dbias, wanted);
  Barrier barrier(wanted);
  run_team(wanted, [&](int index, int threads) {
    const FlushSubnormals mode;
    const Watch watch{interrupt, index == 0};
    weight.pack(index, threads, watch);
    gradients.add(index, threads, watch);
    if (threads > 1) barrier.wait();
    if (dx) weight.multiply(slice_of(args.rows, index, threads), dy, nullptr, dx, watch);
  });
}

#define BPTT_INSTANTIATE(T)                                           \
  template class PackedLinear<T>;                                     \
  template void linear_forward(const LinearArgs<T>&, T*, Interrupt&); \
  template void linear_backward(const LinearArgs<T>&, const T*, T*, T*, T*, Interrupt&);
BPTT_INSTANTIATE(float)
BPTT_INSTANTIATE(double)
#undef BPTT_INSTANTIATE

}  // namespace bptt

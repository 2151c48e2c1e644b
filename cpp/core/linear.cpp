#include "core/linear.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/strides.hpp"
#include "runtime/float_mode.hpp"
#include "runtime/isa.hpp"
#include "runtime/team.hpp"
#include "runtime/workspace.hpp"

namespace bptt {
namespace {

constexpr double kWorthATeam = 4e6;  // floating-point operations
constexpr Index kRowsBetweenPolls = 1024;  // a multiple of the depth of a block of transposed_product: same bits

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

  void pack(int index, int threads) const {
    const Range panels = share(k.panel_count(shape), index, threads);
    PackPanels<T> args{};
    args.shape = shape;
    args.source = source;
    args.k_stride = k_stride;
    args.n_stride = n_stride;
    args.packed = packed.data();
    args.panel_begin = panels.begin;
    args.panel_end = panels.end;
    k.pack(args);
  }

  // The same for many rows, which thread 0 stops now and then to ask whether to go on.
  void multiply(Range rows, const T* a, const T* init, T* out, int index, Interrupt& interrupt) const {
    for (Index begin = rows.begin; begin < rows.end && !interrupt.stopped(); begin += kRowsBetweenPolls) {
      multiply({begin, std::min(begin + kRowsBetweenPolls, rows.end)}, a, init, out);
      if (index == 0) interrupt.poll();
    }
  }

  // out = init + a . this for rows [begin, end) of a and out; init is one row or null.
  void multiply(Range rows, const T* a, const T* init, T* out) const {
    Product<T> p{};
    p.rows = rows.end - rows.begin;
    p.shape = shape;
    p.a = a + rows.begin * shape.depth;
    p.a_row = shape.depth;
    p.b = packed.data();
    p.init = init;
    p.out = out + rows.begin * shape.units;
    p.out_row = shape.units;
    p.panel_end = k.panel_count(shape);
    k.product(p);
  }

  const Kernels<T>& k;
  PanelShape shape;
  const T* source;
  Index k_stride;
  Index n_stride;
  Buffer<T> packed;
};

}  // namespace

template <class T>
void linear_forward(const LinearArgs<T>& args, T* y, Interrupt& interrupt) {
  const Operand<T> weight(kernels<T>(), args.input, args.output, args.weight, 1, args.input);
  const int wanted = threads_for(args);
  Barrier barrier(wanted);
  run_team(wanted, [&](int index, int threads) {
    const FlushSubnormals mode;
    weight.pack(index, threads);
    if (threads > 1) barrier.wait();
    weight.multiply(share(args.rows, index, threads), args.x, args.bias, y, index, interrupt);
  });
}

template <class T>
void linear_backward(const LinearArgs<T>& args, const T* dy, T* dweight, T* dbias, T* dx, Interrupt& interrupt) {
  const Kernels<T>& k = kernels<T>();
  const int wanted = threads_for(args);
  const Operand<T> weight(k, args.output, dx ? args.input : 0, args.weight, args.input, 1);
  std::vector<Buffer<T>> scratch;
  for (int i = 0; i < wanted; ++i) scratch.emplace_back(k.transposed_scratch);
  // The weight gradients read columns of dy, once for every few columns of x: faster from a copy where its rows are an
  // unlucky distance apart and there are many of both.
  const bool copies = shares_cache_sets(args.output, sizeof(T)) && args.rows >= 512 && args.input >= 256;
  const Index dy_row = copies ? padded_row(args.output, sizeof(T)) : args.output;
  Buffer<T> copy;
  if (copies) copy = Buffer<T>(std::min(kRowsBetweenPolls, args.rows) * dy_row);
  Barrier barrier(wanted);
  run_team(wanted, [&](int index, int threads) {
    const FlushSubnormals mode;
    weight.pack(index, threads);
    const Range mine = share(args.output, index, threads);
    TransposedProduct<T> p{};
    p.runs = 1;
    p.m_begin = mine.begin;
    p.m_end = mine.end;
    p.columns = args.input;
    p.a_row = dy_row;
    p.b_row = args.input;
    p.out = dweight;
    p.out_row = args.input;
    p.scratch = scratch[static_cast<std::size_t>(index)].data();
    for (Index row = 0; row < args.rows && !interrupt.stopped(); row += kRowsBetweenPolls) {
      p.depth = std::min(kRowsBetweenPolls, args.rows - row);
      p.a = dy + row * args.output;
      if (copies) {
        for (Index i = 0; i < p.depth; ++i) {
          std::memcpy(copy.data() + i * dy_row + mine.begin, p.a + i * args.output + mine.begin,
                      static_cast<std::size_t>(mine.end - mine.begin) * sizeof(T));
        }
        p.a = copy.data();
      }
      p.b = args.x + row * args.input;
      k.transposed_product(p);
      if (index == 0) interrupt.poll();
    }
    if (dbias) {
      k.add_columns(
          {1, args.rows, mine.end - mine.begin, dy + mine.begin, args.output, 0, dbias + mine.begin, nullptr, false});
    }
    if (threads > 1) barrier.wait();
    if (dx) weight.multiply(share(args.rows, index, threads), dy, nullptr, dx, index, interrupt);
  });
}

#define BPTT_INSTANTIATE(T)                                           \
  template void linear_forward(const LinearArgs<T>&, T*, Interrupt&); \
  template void linear_backward(const LinearArgs<T>&, const T*, T*, T*, T*, Interrupt&);
BPTT_INSTANTIATE(float)
BPTT_INSTANTIATE(double)
#undef BPTT_INSTANTIATE

}  // namespace bptt

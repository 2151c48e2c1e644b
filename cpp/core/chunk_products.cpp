#include "core/chunk_products.hpp"

#include <algorithm>

namespace bptt {
namespace {

// Columns of the gate gradients' input side, in parts that lie together in the weights, each with the distance from its
// column to its row there.
template <class F>
void for_each_input_part(const Recurrent& net, Range columns, F f) {
  const Index rotate = net.input_rotate * net.hidden;
  const Index wrap = net.traits.gates * net.hidden - rotate;  // first column whose row is at the weights' front again
  const Range head{columns.begin, std::min(columns.end, wrap)};
  const Range tail{std::max(columns.begin, wrap), columns.end};
  if (head.begin < head.end) f(head, rotate);
  if (tail.begin < tail.end) f(tail, -wrap);
}

}  // namespace

template <class T>
void add_weight_gradients(const Recurrent& net, const Kernels<T>& k, const ChunkOperands<T>& chunk,
                          const DirectionParameters<T>& gradients, bool sets, int index, int threads, T* scratch) {
  const Index columns = net.traits.gates * net.hidden;
  const Range all = share(columns, index, threads);
  const T* recurrent = chunk.dgates + net.recurrent_at * net.hidden;

  TransposedProduct<T> p{};
  p.runs = chunk.runs;
  p.depth = chunk.rows;
  p.sets = sets;
  p.scratch = scratch;
  const auto multiply = [&](Range mine, Index b_run) {
    p.m_begin = mine.begin;
    p.m_end = mine.end;
    p.a_run = chunk.run * p.a_row;
    p.b_run = b_run * p.b_row;
    if (mine.begin < mine.end) k.transposed_product(p);
  };

  p.a = recurrent;
  p.a_row = chunk.dgates_row;
  p.b = chunk.h;
  p.b_row = chunk.h_row;
  p.columns = p.out_row = net.output;
  p.out = gradients.weight_hh;
  const Index first = net.traits.two_products ? columns - net.hidden : columns;  // column of the second product
  multiply({all.begin, std::min(all.end, first)}, chunk.h_run);
  if (first < columns) {
    p.b = chunk.last_in;
    p.b_row = net.hidden;
    multiply({std::max(all.begin, first), all.end}, chunk.run);
  }

  p.a = chunk.dgates;
  p.b = chunk.x;
  p.b_row = p.columns = p.out_row = chunk.input;
  for_each_input_part(net, all, [&](Range part, Index shift) {
    p.out = gradients.weight_ih + shift * chunk.input;
    multiply(part, chunk.x_run);
  });

  if (net.options.projection) {
    p.a = chunk.dprojected;
    p.a_row = net.output;
    p.b = chunk.inner;
    p.b_row = p.columns = p.out_row = net.hidden;
    p.out = gradients.weight_hr;
    multiply(share(net.output, index, threads), chunk.run);
  }

  if (!net.bias || net.options.layer_norm) return;
  // Where both sides of a gate have the same gradient, the sums are the same, too.
  const bool alike = net.dgates == net.traits.gates && net.input_rotate == 0;
  ColumnSums<T> sums{};
  sums.runs = chunk.runs;
  sums.depth = chunk.rows;
  sums.columns = all.end - all.begin;
  sums.a = recurrent + all.begin;
  sums.a_row = chunk.dgates_row;
  sums.a_run = chunk.run * chunk.dgates_row;
  sums.out = gradients.bias_hh + all.begin;
  sums.also = alike ? gradients.bias_ih + all.begin : nullptr;
  sums.sets = sets;
  k.add_columns(sums);
  if (alike) return;
  for_each_input_part(net, all, [&](Range part, Index shift) {
    sums.columns = part.end - part.begin;
    sums.a = chunk.dgates + part.begin;
    sums.out = gradients.bias_ih + part.begin + shift;
    k.add_columns(sums);
  });
}

template <class T>
void multiply_input_gradients(const Kernels<T>& k, Index rows, const T* dgates, Index dgates_row, PanelShape shape,
                              const T* packed, T* dx, Index dx_row) {
  Product<T> p{};
  p.rows = rows;
  p.shape = shape;
  p.a = dgates;
  p.a_row = dgates_row;
  p.b = packed;
  p.out = dx;
  p.out_row = dx_row;
  p.panel_begin = 0;
  p.panel_end = k.panel_count(shape);
  k.product(p);
}

#define BPTT_INSTANTIATE(T)                                                                        \
  template void add_weight_gradients(const Recurrent&, const Kernels<T>&, const ChunkOperands<T>&, \
                                     const DirectionParameters<T>&, bool, int, int, T*);           \
  template void multiply_input_gradients(const Kernels<T>&, Index, const T*, Index, PanelShape, const T*, T*, Index);
BPTT_INSTANTIATE(float)
BPTT_INSTANTIATE(double)
#undef BPTT_INSTANTIATE

}  // namespace bptt

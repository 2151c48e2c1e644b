#include "core/modifiers/modified_step.hpp"

#include "core/modifiers/cell_stages.hpp"
#include "core/modifiers/projection.hpp"
#include "core/modifiers/recurrent_dropout.hpp"
#include "core/modifiers/reset.hpp"
#include "core/modifiers/zoneout.hpp"
#include "core/timeless/error_norm.hpp"

namespace bptt {
namespace {

// The sum of squares of each row goes to the row's first panel.
template <class T>
void record_squares(const BackwardContext<T>& b, Index columns, const T* x, double* squares) {
  for (Index row = 0; row < b.step.rows; ++row) {
    double* at = squares + row * b.step.panels;
    at[0] = squares_of(b.k, columns, x + row * columns);
    for (Index p = 1; p < b.step.panels; ++p) at[p] = 0;
  }
}

// dL/dh_t as a whole: what came from step t + 1, and dy.
template <class T>
void complete_output_error(BackwardContext<T>& b) {
  BackwardStep<T>& s = b.step;
  const Index P = b.net.output;
  if (s.dy) {
    for (Index r = 0; r < s.rows; ++r) b.k.add(P, s.dy + r * s.dy_row, s.dh + r * P);
    s.dy = nullptr;
  }
  b.clip.apply(b.k, s.rows, P, s.dh);
  if (b.chunk.error) copy_rows<T>(s.rows, P, {s.dh, P}, b.chunk.error);
  record_squares(b, P, s.dh, s.dh_squares);
  s.dh_squares = nullptr;
}

// dL/dc_t as a whole. Without zoneout of c, only the kernel knows it, for h is made from c.
template <class T>
void complete_cell_error(BackwardContext<T>& b) {
  BackwardStep<T>& s = b.step;
  b.clip.apply(b.k, s.rows, b.net.hidden, s.carry);
  record_squares(b, b.net.hidden, s.carry, s.dc_squares);
  s.dc_squares = nullptr;
}

}  // namespace

template <class T>
void forward_modified(ForwardContext<T>& f) {
  // Where the results go, after the modifiers that follow the kernel.
  const RowSpan<T> h{f.step.h, f.step.h_row}, c{f.step.c, f.step.c_row};
  if (f.net.options.projection) {
    f.step.h = f.arrays.inner;
    f.step.h_row = f.net.hidden;
  }
  if (f.net.options.zoneout_c > 0) {
    f.step.c = f.arrays.candidate;
    f.step.c_row = f.net.hidden;
  }
  reset::forward(f);
  recurrent_dropout::forward(f);
  cell_stages::forward(f);
  zoneout::forward_c(f, c);
  projection::forward(f, h);
  zoneout::forward_h(f, h);
}

template <class T>
void backward_modified(BackwardContext<T>& b) {
  complete_output_error(b);
  zoneout::backward_h(b);
  if (b.arrays.direct_c) {
    complete_cell_error(b);
    zoneout::backward_c(b);
  }
  projection::backward(b);
  reset::forward(b);
  recurrent_dropout::recompute(b);
  cell_stages::backward(b);
  zoneout::add_direct_c(b);
}

template <class T>
void backward_modified_state(const StateErrorContext<T>& x) {
  const RowSpan<const T> recurrent{x.dgates.data + x.net.recurrent_at * x.net.hidden, x.dgates.row};
  multiply_rows<T>(x.k, x.rows, recurrent, x.weights.weight_hh, nullptr, {x.dh, x.net.output});
  recurrent_dropout::backward(x);
  if (x.carry && !x.net.traits.has_cell_state) {  // what reached h' without the weights
    x.k.add(x.size(), x.carry, x.dh);
    std::memset(x.carry, 0, static_cast<std::size_t>(x.size()) * sizeof(T));
  }
  zoneout::add_direct_h(x);
  reset::backward(x);
}

template void forward_modified(ForwardContext<float>&);
template void forward_modified(ForwardContext<double>&);
template void backward_modified(BackwardContext<float>&);
template void backward_modified(BackwardContext<double>&);
template void backward_modified_state(const StateErrorContext<float>&);
template void backward_modified_state(const StateErrorContext<double>&);

}  // namespace bptt

#include "core/around_shared.hpp"
#include "core/squares.hpp"

namespace bptt {

SumColumns::SumColumns(const Recurrent& net) {
  const auto take = [this](Index& column, Index width) {
    column = total;
    total += width;
  };
  const Index columns = net.traits.gates * net.hidden;
  if (net.options.peephole) take(peephole, net.traits.peepholes * net.hidden);
  if (!net.options.layer_norm) return;
  take(norm_ih, columns);
  take(norm_hh, columns);
  if (net.traits.has_cell_state) take(norm_c, net.hidden);
  if (!net.bias) return;
  take(bias_ih, columns);
  take(bias_hh, columns);
  if (net.traits.has_cell_state) take(bias_norm_c, net.hidden);
}

template <class T>
void SumColumns::add_up(const Recurrent& net, const Kernels<T>& k, Index rows, const T* sums,
                        const DirectionParameters<T>& to) const {
  const Index columns = net.traits.gates * net.hidden;
  const auto add = [&](Index column, Index width, T* gradient) {
    if (column >= 0) k.add_columns({1, rows, width, sums + column, total, 0, gradient, nullptr, false});
  };
  add(peephole, net.traits.peepholes * net.hidden, to.peephole);
  add(norm_ih, columns, to.norm_ih);
  add(bias_ih, columns, to.bias_ih);
  add(norm_hh, columns, to.norm_hh);
  add(bias_hh, columns, to.bias_hh);
  add(norm_c, net.hidden, to.norm_c);
  add(bias_norm_c, net.hidden, to.bias_norm_c);
}

template <class T>
BackScratch<T>::BackScratch(const Recurrent& net, Index rows)
    : output_(net.output), hidden_(net.hidden), raw_width_(net.traits.dgates * net.hidden), h_prev_(rows * output_) {
  if (net.options.zoneout_h > 0) {
    direct_h_ = Buffer<T>(rows * output_);
    std::memset(direct_h_.data(), 0, static_cast<std::size_t>(rows * output_) * sizeof(T));
  }
  if (net.options.zoneout_c > 0) direct_c_ = Buffer<T>(rows * hidden_);
  if (net.options.projection) dcell_ = Buffer<T>(rows * hidden_);
  if (net.options.layer_norm) raw_ = Buffer<T>(rows * raw_width_);
  if (net.traits.has_cell_state) c_prev_ = Buffer<T>(rows * hidden_);
  if (net.normalises_cell()) {
    hat_c_ = Buffer<T>(rows * hidden_);
    seen_ = Buffer<T>(rows * hidden_);
    scale_c_ = Buffer<T>(rows);
  }
}

template <class T>
BackArrays<T> BackScratch<T>::at(Index row) const {
  const auto from = [row](const Buffer<T>& buffer, Index width) { return row_of(buffer, row, width); };
  return {from(direct_h_, output_), from(direct_c_, hidden_), from(dcell_, hidden_),
          from(raw_, raw_width_),   from(h_prev_, output_),   from(c_prev_, hidden_),
          from(hat_c_, hidden_),    from(seen_, hidden_),     from(scale_c_, Index{1})};
}

template <class T>
void arrive_around(const Recurrent& net, const Kernels<T>& k, const PackedBackward<T>& packed, Index rows,
                   const T* dgates, Index dgates_row, T* dh, T* carry, const StepInterventions<T>& by,
                   const BackArrays<T>& arrays) {
  const Index size = rows * net.output;
  multiply_rows<T>(k, rows, packed.recurrent_shape, dgates + net.recurrent_at * net.hidden, dgates_row,
                   packed.weight_hh.data(), nullptr, dh, net.output);
  if (by.recurrent_mask) k.multiply(size, dh, by.recurrent_mask, dh);
  if (carry && !net.traits.has_cell_state) {
    k.add(size, carry, dh);
    std::memset(carry, 0, static_cast<std::size_t>(size) * sizeof(T));
  }
  if (arrays.direct_h) k.add(size, arrays.direct_h, dh);
  if (!by.reset) return;
  for (Index row = 0; row < rows; ++row) {
    if (!by.reset[row]) continue;
    std::memset(dh + row * net.output, 0, static_cast<std::size_t>(net.output) * sizeof(T));
    if (carry) std::memset(carry + row * net.hidden, 0, static_cast<std::size_t>(net.hidden) * sizeof(T));
  }
}

namespace {

// The first of the row's panels gets the sum of squares of all its columns.
template <class T>
void put_squares(const Kernels<T>& k, Index rows, Index columns, const T* x, double* squares, Index panels) {
  for (Index row = 0; row < rows; ++row) {
    double* at = squares + row * panels;
    at[0] = squares_of(k, columns, x + row * columns);
    for (Index p = 1; p < panels; ++p) at[p] = 0;
  }
}

// From the raw gate gradients of a group to those of one side before its norm.
template <class T>
void invert_norm(const Kernels<T>& k, Index rows, const NormGroup& group, const T* raw, Index raw_row, const T* hat,
                 const T* scale, Index hat_row, const T* gain, T* sums, Index norm, Index bias, Index sums_row, T* out,
                 Index out_row) {
  NormaliseBack<T> n{};
  n.rows = rows;
  n.columns = group.end - group.begin;
  n.dy = raw;
  n.dy_row = raw_row;
  n.hat = hat + group.begin;
  n.hat_row = hat_row;
  n.scale = scale + group.number;
  n.scale_row = 2;
  n.gain = gain + group.begin;
  n.dgain = sums + norm + group.begin;
  n.dbias = bias >= 0 ? sums + bias + group.begin : nullptr;
  n.sums_row = sums_row;
  n.dx = out + group.begin;
  n.dx_row = out_row;
  k.normalise_back(n);
}

}  // namespace

template <class T>
void invert_around(const Recurrent& net, const Kernels<T>& k, const PackedBackward<T>& packed,
                   const DirectionParameters<const T>& parameters, const StateClip& clip, BackwardStep<T> b,
                   const StepInterventions<T>& by, const typename Tape<T>::Direction& kept, Index at, T* sums,
                   const BackArrays<T>& arrays, const ChunkRows<T>& chunk) {
  const Index H = net.hidden, P = net.output, columns = net.traits.gates * H;
  const SumColumns sum(net);
  const auto copy_rows = [&](const T* from, Index row, Index width, T* to) {
    for (Index r = 0; r < b.rows; ++r) {
      std::memcpy(to + r * width, from + r * row, static_cast<std::size_t>(width) * sizeof(T));
    }
  };
  if (b.dy) {
    for (Index r = 0; r < b.rows; ++r) k.add(P, b.dy + r * b.dy_row, b.dh + r * P);
    b.dy = nullptr;
  }
  clip.apply(k, b.rows, P, b.dh);
  if (chunk.error) copy_rows(b.dh, P, P, chunk.error);
  put_squares(k, b.rows, P, b.dh, b.dh_squares, b.panels);
  b.dh_squares = nullptr;
  if (arrays.direct_h) {  // h = keep h' + (1 - keep) fresh
    k.unblend({b.rows, P, by.keep_h, static_cast<T>(net.options.zoneout_h), b.dh, arrays.direct_h});
  }
  if (arrays.direct_c) {
    clip.apply(k, b.rows, H, b.carry);
    put_squares(k, b.rows, H, b.carry, b.dc_squares, b.panels);
    b.dc_squares = nullptr;
    k.unblend({b.rows, H, by.keep_c, static_cast<T>(net.options.zoneout_c), b.carry, arrays.direct_c});
    b.c = kept.candidate.data() + at * H;
    b.c_row = H;
  }
  if (net.options.projection) {  // h = W_hr inner
    copy_rows(b.dh, P, P, chunk.dh);
    copy_rows(kept.inner.data() + at * H, H, H, chunk.inner);
    multiply_rows<T>(k, b.rows, packed.output_shape, b.dh, P, packed.weight_hr.data(), nullptr, arrays.dcell, H);
    b.dh = arrays.dcell;
  }

  // What the step started from.
  b.h_prev = after_reset(by.reset, b.rows, P, b.h_prev, b.h_prev_row, arrays.h_prev);
  if (b.c_prev) b.c_prev = after_reset(by.reset, b.rows, H, b.c_prev, b.c_prev_row, arrays.c_prev);
  copy_rows(b.h_prev, b.h_prev_row, P, chunk.h_in);
  if (by.recurrent_mask) k.multiply(b.rows * P, chunk.h_in, by.recurrent_mask, chunk.h_in);
  b.h_in = chunk.h_in;
  b.h_in_row = P;
  b.recurrent_mask = by.recurrent_mask;

  const bool norm = net.options.layer_norm;
  T* const dgates = b.dgates;
  const Index dgates_row = b.dgates_row;
  if (norm) {
    b.dgates = arrays.raw;
    b.dgates_row = net.traits.dgates * H;
  }
  // The plain LSTM's kernel takes no stages; its variant inverts the same tape.
  const bool clips_cell = clip.any() && net.traits.has_cell_state && !arrays.direct_c;
  const Cell cell = clips_cell && net.traits.cell == Cell::lstm ? Cell::lstm_variant : net.traits.cell;
  const auto run = [&](Stage stage) {
    b.stage = stage;
    k.backward[static_cast<int>(cell)](b);
  };
  const auto invert_recurrent = [&](const NormGroup& group) {
    invert_norm(k, b.rows, group, arrays.raw + net.traits.recurrent_at * H + group.begin, b.dgates_row,
                kept.hat_hh.data() + at * columns, kept.scale_hh.data() + at * 2, columns, parameters.norm_hh, sums,
                sum.norm_hh, sum.bias_hh, sum.total, dgates + columns, dgates_row);
  };
  if (net.traits.two_products) {
    run(Stage::output);
    const NormGroup last{columns - H, columns, 1};
    if (norm) invert_recurrent(last);
    copy_rows(b.gates + columns, b.gates_row, H, chunk.last_in);
    multiply_rows<T>(k, b.rows, packed.last_shape, dgates + net.recurrent_at * H + last.begin, dgates_row,
                     packed.weight_last.data(), nullptr, b.dh, H);
    run(Stage::gates);
    if (norm) invert_recurrent({0, columns - H, 0});
  } else if (clips_cell || net.normalises_cell()) {
    if (net.normalises_cell()) {
      auto n = normalisation<T>(b.rows, H, b.c, b.c_row, arrays.hat_c, H, arrays.scale_c, 1, parameters.norm_c);
      n.bias = parameters.bias_norm_c;
      n.out = arrays.seen;
      n.out_row = H;
      k.normalise(n);
      b.seen = arrays.seen;
    }
    run(Stage::output);
    if (net.normalises_cell()) {
      NormaliseBack<T> back{};
      back.rows = b.rows;
      back.columns = H;
      back.dy = back.dx = b.dh;
      back.dy_row = back.dx_row = H;
      back.hat = arrays.hat_c;
      back.hat_row = H;
      back.scale = arrays.scale_c;
      back.scale_row = 1;
      back.gain = parameters.norm_c;
      back.dgain = sums + sum.norm_c;
      back.dbias = sum.bias_norm_c >= 0 ? sums + sum.bias_norm_c : nullptr;
      back.sums_row = sum.total;
      k.normalise_back(back);
    }
    run(Stage::cell);
    if (clips_cell) clip.apply(k, b.rows, H, b.dh);
    run(Stage::gates);
  } else {
    run(Stage::whole);
  }
  if (norm && !net.traits.two_products) for_each_norm_group(net, invert_recurrent);
  if (norm) {
    for_each_norm_group(net, [&](const NormGroup& group) {
      const Index first = group.begin - net.traits.input_rotate * H;  // of the raw columns, which are turned
      invert_norm(k, b.rows, group, arrays.raw + (first < 0 ? first + columns : first), b.dgates_row,
                  kept.hat_ih.data() + at * columns, kept.scale_ih.data() + at * 2, columns, parameters.norm_ih, sums,
                  sum.norm_ih, sum.bias_ih, sum.total, dgates, dgates_row);
    });
  }
  if (arrays.direct_c) k.add(b.rows * H, arrays.direct_c, b.carry);
}

#define BPTT_INSTANTIATE(T)                                                                                            \
  template class BackScratch<T>;                                                                                       \
  template void SumColumns::add_up(const Recurrent&, const Kernels<T>&, Index, const T*,                               \
                                   const DirectionParameters<T>&) const;                                               \
  template void arrive_around(const Recurrent&, const Kernels<T>&, const PackedBackward<T>&, Index, const T*, Index,   \
                              T*, T*, const StepInterventions<T>&, const BackArrays<T>&);                              \
  template void invert_around(const Recurrent&, const Kernels<T>&, const PackedBackward<T>&,                           \
                              const DirectionParameters<const T>&, const StateClip&, BackwardStep<T>,                  \
                              const StepInterventions<T>&, const Tape<T>::Direction&, Index, T*, const BackArrays<T>&, \
                              const ChunkRows<T>&);
BPTT_INSTANTIATE(float)
BPTT_INSTANTIATE(double)
#undef BPTT_INSTANTIATE

}  // namespace bptt

#include "core/modifiers/step_arrays.hpp"

namespace bptt {

template <class T>
StepInterventions<T> InterventionRows<T>::at(const TimeOrder& order, Index number, Index t, Index row) const {
  StepInterventions<T> found{};
  // A reset before step t separates it from step t - 1, in the reverse direction, too. There is none past a row's end.
  const Index separated = order.reverse ? t + 1 : t;
  if (all_.reset && separated < rows_.time()) found.reset = all_.reset + rows_.base(separated) + row;
  const Index place = number * rows_.total() + rows_.base(t) + row;
  const Index in_batch = number * rows_.batch() + row;
  if (all_.recurrent_mask) found.recurrent_mask = all_.recurrent_mask + in_batch * net_.output;
  if (all_.keep_h) found.keep_h = all_.keep_h + place * net_.output;
  if (all_.cut) found.cut = all_.cut + rows_.base(t) + row;
  if (all_.keep_c) found.keep_c = all_.keep_c + place * net_.hidden;
  return found;
}

template <class T>
ForwardScratch<T>::ForwardScratch(const Recurrent& net, Index rows, bool with_tape)
    : output_(net.output), hidden_(net.hidden), columns_(net.traits.gates * net.hidden), h_prev_(rows * output_),
      h_in_(rows * output_) {
  if (net.traits.has_cell_state) c_prev_ = Buffer<T>(rows * hidden_);
  if (net.options.zoneout_c > 0 && !with_tape) candidate_ = Buffer<T>(rows * hidden_);
  if (net.options.projection && !with_tape) inner_ = Buffer<T>(rows * hidden_);
  if (net.normalises_cell()) {
    seen_ = Buffer<T>(rows * hidden_);
    scale_c_ = Buffer<T>(rows);
  }
  if (net.options.layer_norm && !with_tape) {
    hat_hh_ = Buffer<T>(rows * columns_);
    scale_hh_ = Buffer<T>(rows * 2);
  }
}

template <class T>
ForwardArrays<T> ForwardScratch<T>::at(Index row) const {
  const auto from = [row](const Buffer<T>& buffer, Index width) { return row_of(buffer, row, width); };
  return {from(h_prev_, output_),    from(h_in_, output_),    from(c_prev_, hidden_),
          from(candidate_, hidden_), from(inner_, hidden_),   from(seen_, hidden_),
          from(scale_c_, Index{1}),  from(hat_hh_, columns_), from(scale_hh_, 2)};
}

template <class T>
ForwardArrays<T> ForwardScratch<T>::at(Index row, const typename Tape<T>::Direction& tape, Index tape_row) const {
  ForwardArrays<T> arrays = at(row);
  const auto take = [&](const Buffer<T>& buffer, Index width, T*& array) {
    if (buffer.data()) array = buffer.data() + tape_row * width;
  };
  take(tape.candidate, hidden_, arrays.candidate);
  take(tape.inner, hidden_, arrays.inner);
  take(tape.hat_hh, columns_, arrays.hat_hh);
  take(tape.scale_hh, 2, arrays.scale_hh);
  return arrays;
}

template <class T>
BackwardScratch<T>::BackwardScratch(const Recurrent& net, Index rows)
    : output_(net.output), hidden_(net.hidden), raw_width_(net.traits.dgates * net.hidden), h_prev_(rows * output_) {
  if (net.options.zoneout_h > 0) {
    direct_h_ = Buffer<T>(rows * output_);
    std::memset(direct_h_.data(), 0, static_cast<std::size_t>(rows * output_) * sizeof(T));
  }
  if (net.options.zoneout_c > 0) direct_c_ = Buffer<T>(rows * hidden_);
  if (net.options.projection) dinner_ = Buffer<T>(rows * hidden_);
  if (net.options.layer_norm) raw_ = Buffer<T>(rows * raw_width_);
  if (net.traits.has_cell_state) c_prev_ = Buffer<T>(rows * hidden_);
  if (net.normalises_cell()) {
    hat_c_ = Buffer<T>(rows * hidden_);
    seen_ = Buffer<T>(rows * hidden_);
    scale_c_ = Buffer<T>(rows);
  }
}

template <class T>
BackwardArrays<T> BackwardScratch<T>::at(Index row) const {
  const auto from = [row](const Buffer<T>& buffer, Index width) { return row_of(buffer, row, width); };
  return {from(direct_h_, output_), from(direct_c_, hidden_), from(dinner_, hidden_),
          from(raw_, raw_width_),   from(h_prev_, output_),   from(c_prev_, hidden_),
          from(hat_c_, hidden_),    from(seen_, hidden_),     from(scale_c_, Index{1})};
}

template class InterventionRows<float>;
template class InterventionRows<double>;
template class ForwardScratch<float>;
template class ForwardScratch<double>;
template class BackwardScratch<float>;
template class BackwardScratch<double>;

}  // namespace bptt

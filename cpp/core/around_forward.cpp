#include "core/around_shared.hpp"

namespace bptt {

template <class T>
StepScratch<T>::StepScratch(const Recurrent& net, Index rows, bool kept)
    : output_(net.output), hidden_(net.hidden), columns_(net.traits.gates * net.hidden), h_prev_(rows * output_),
      h_in_(rows * output_) {
  if (net.traits.has_cell_state) c_prev_ = Buffer<T>(rows * hidden_);
  if (net.options.zoneout_c > 0 && !kept) candidate_ = Buffer<T>(rows * hidden_);
  if (net.options.projection && !kept) inner_ = Buffer<T>(rows * hidden_);
  if (net.normalises_cell()) {
    seen_ = Buffer<T>(rows * hidden_);
    scale_c_ = Buffer<T>(rows);
  }
  if (net.options.layer_norm && !kept) {
    hat_hh_ = Buffer<T>(rows * columns_);
    scale_hh_ = Buffer<T>(rows * 2);
  }
}

template <class T>
StepArrays<T> StepScratch<T>::at(Index row) const {
  const auto from = [row](const Buffer<T>& buffer, Index width) { return row_of(buffer, row, width); };
  return {from(h_prev_, output_),    from(h_in_, output_),    from(c_prev_, hidden_),
          from(candidate_, hidden_), from(inner_, hidden_),   from(seen_, hidden_),
          from(scale_c_, Index{1}),  from(hat_hh_, columns_), from(scale_hh_, 2)};
}

template <class T>
void keep_in_tape(const Recurrent& net, const typename Tape<T>::Direction& kept, Index at, StepArrays<T>& arrays) {
  const auto from = [&](const Buffer<T>& buffer, Index width, T*& array) {
    if (buffer.data()) array = buffer.data() + at * width;
  };
  from(kept.candidate, net.hidden, arrays.candidate);
  from(kept.inner, net.hidden, arrays.inner);
  from(kept.hat_hh, net.traits.gates * net.hidden, arrays.hat_hh);
  from(kept.scale_hh, 2, arrays.scale_hh);
}

template <class T>
StepInterventions<T> interventions_at(const Recurrent& net, const Interventions<T>& by, const Rows& rows,
                                      const Course& course, Index number, Index t, Index row) {
  StepInterventions<T> at{};
  // A reset before step t parts it from step t - 1, in the reverse direction, too. Past a row's end there is none.
  const Index parted = course.reverse ? t + 1 : t;
  if (by.reset && parted < rows.time()) at.reset = by.reset + rows.base(parted) + row;
  const Index place = number * rows.total() + rows.base(t) + row;
  if (by.recurrent_mask) at.recurrent_mask = by.recurrent_mask + (number * rows.batch() + row) * net.output;
  if (by.keep_h) at.keep_h = by.keep_h + place * net.output;
  if (by.keep_c) at.keep_c = by.keep_c + place * net.hidden;
  return at;
}

namespace {

// U h_in of the gates [group.begin, group.end), normalised, to where the kernel expects the recurrent side.
template <class T>
void add_normalised(const Recurrent& net, const Kernels<T>& k, const PackedDirection<T>& packed,
                    const ForwardStep<T>& s, const StepArrays<T>& arrays, const NormGroup& group) {
  const Index columns = net.traits.gates * net.hidden;
  T* hat = arrays.hat_hh + group.begin;
  auto n = normalisation<T>(s.rows, group.end - group.begin, hat, columns, hat, columns, arrays.scale_hh + group.number,
                            2, packed.norm_hh.data() + group.begin);
  const bool apart = group.number == 1 && net.traits.has_hidden_bias;
  n.add = !apart;
  n.bias = apart ? packed.hidden_bias.data() : nullptr;
  n.out = s.gates + (apart ? columns : group.begin);
  n.out_row = s.gates_row;
  k.normalise(n);
}

}  // namespace

template <class T>
void normalise_input(const Recurrent& net, const Kernels<T>& k, const PackedDirection<T>& packed, Index rows, T* out,
                     Index out_row, T* hat, T* scale) {
  for_each_norm_group(net, [&](const NormGroup& group) {
    T* const x = out + group.begin;
    auto n = normalisation<T>(rows, group.end - group.begin, x, out_row, hat ? hat + group.begin : x,
                              hat ? net.traits.gates * net.hidden : out_row, scale ? scale + group.number : nullptr, 2,
                              packed.norm_ih.data() + group.begin);
    n.bias = packed.bias.data() + group.begin;
    n.out = x;
    n.out_row = out_row;
    k.normalise(n);
  });
}

template <class T>
void step_around(const Recurrent& net, const Kernels<T>& k, const PackedDirection<T>& packed, ForwardStep<T> s,
                 const StepInterventions<T>& by, const StepArrays<T>& arrays) {
  const Index columns = net.traits.gates * net.hidden;
  const Index last = columns - net.hidden;  // first column of the last gate
  const auto run = [&](Stage stage) {
    s.stage = stage;
    k.forward[static_cast<int>(net.traits.cell)](s);
  };

  s.h_prev = after_reset(by.reset, s.rows, net.output, s.h_prev, s.h_prev_row, arrays.h_prev);
  if (s.c_prev) s.c_prev = after_reset(by.reset, s.rows, net.hidden, s.c_prev, s.c_prev_row, arrays.c_prev);
  s.h_in = s.h_prev;
  s.h_in_row = s.h_prev_row;
  if (by.recurrent_mask) {
    for (Index row = 0; row < s.rows; ++row) {
      k.multiply(net.output, s.h_prev + row * s.h_prev_row, by.recurrent_mask + row * net.output,
                 arrays.h_in + row * net.output);
    }
    s.h_in = arrays.h_in;
    s.h_in_row = net.output;
  }
  T* const h = s.h;
  const Index h_row = s.h_row;
  if (net.options.projection) {
    s.h = arrays.inner;
    s.h_row = net.hidden;
  }
  T* const c = s.c;
  const Index c_row = s.c_row;
  if (net.options.zoneout_c > 0) {
    s.c = arrays.candidate;
    s.c_row = net.hidden;
  }

  const bool norm = net.options.layer_norm;
  if (norm || net.traits.two_products) {
    T* const to = norm ? arrays.hat_hh : s.gates;
    const Index to_row = norm ? columns : s.gates_row;
    multiply_rows<T>(k, s.rows, packed.recurrent_shape, s.h_in, s.h_in_row, s.u, norm ? nullptr : to, to, to_row);
    s.u = nullptr;
    if (net.traits.two_products) {
      if (norm) add_normalised(net, k, packed, s, arrays, {0, last, 0});
      run(Stage::gates);
      multiply_rows<T>(k, s.rows, packed.last_shape, s.gates + columns, s.gates_row, packed.weight_last.data(),
                       norm ? nullptr : to + last, to + last, to_row);
      if (norm) add_normalised(net, k, packed, s, arrays, {last, columns, 1});
      run(Stage::output);
    } else {
      for_each_norm_group(net, [&](const NormGroup& group) { add_normalised(net, k, packed, s, arrays, group); });
      if (net.normalises_cell()) {
        run(Stage::gates);
        auto n = normalisation<T>(s.rows, net.hidden, s.c, s.c_row, arrays.seen, net.hidden, arrays.scale_c, 1,
                                  packed.norm_c.data());
        n.bias = packed.bias_norm_c.data();
        n.out = arrays.seen;
        n.out_row = net.hidden;
        k.normalise(n);
        s.seen = arrays.seen;
        run(Stage::output);
      } else {
        run(Stage::whole);
      }
    }
  } else {
    run(Stage::whole);
  }

  const auto blend = [&](const T* keep, double share, Index width, const T* old, Index old_row, const T* fresh,
                         Index fresh_row, T* out, Index out_row) {
    k.blend({s.rows, width, keep, static_cast<T>(share), old, old_row, fresh, fresh_row, out, out_row});
  };
  if (net.options.zoneout_c > 0) {
    blend(by.keep_c, net.options.zoneout_c, net.hidden, s.c_prev, s.c_prev_row, s.c, s.c_row, c, c_row);
  }
  if (net.options.projection) {
    multiply_rows<T>(k, s.rows, packed.output_shape, s.h, s.h_row, packed.weight_hr.data(), nullptr, h, h_row);
  }
  if (net.options.zoneout_h > 0) {
    blend(by.keep_h, net.options.zoneout_h, net.output, s.h_prev, s.h_prev_row, h, h_row, h, h_row);
  }
}

#define BPTT_INSTANTIATE(T)                                                                                           \
  template class StepScratch<T>;                                                                                      \
  template StepInterventions<T> interventions_at(const Recurrent&, const Interventions<T>&, const Rows&,              \
                                                 const Course&, Index, Index, Index);                                 \
  template void keep_in_tape(const Recurrent&, const Tape<T>::Direction&, Index, StepArrays<T>&);                     \
  template void normalise_input(const Recurrent&, const Kernels<T>&, const PackedDirection<T>&, Index, T*, Index, T*, \
                                T*);                                                                                  \
  template void step_around(const Recurrent&, const Kernels<T>&, const PackedDirection<T>&, ForwardStep<T>,           \
                            const StepInterventions<T>&, const StepArrays<T>&);
BPTT_INSTANTIATE(float)
BPTT_INSTANTIATE(double)
#undef BPTT_INSTANTIATE

}  // namespace bptt

#include "core/modifiers/layer_norm.hpp"

namespace bptt::layer_norm {
namespace {

// One side of the pre-activations, input or recurrent, of a backward step.
template <class T>
struct Side {
  const T* hat;    // (rows, G * H)
  const T* scale;  // (rows, 2)
  const T* gain;   // (G * H)
  Index norm;      // columns of the sums: dL/dgain
  Index bias;      // and dL/dbias, or -1
  T* dgates;       // where the gradients go
};

// `raw`: gradients of the group's first column after the norm.
template <class T>
void invert_group(const BackwardContext<T>& b, const Side<T>& side, const Group& group, const T* raw) {
  NormaliseBack<T> n{};
  n.rows = b.step.rows;
  n.columns = group.end - group.begin;
  n.dy = raw;
  n.dy_row = b.step.dgates_row;
  n.hat = side.hat + group.begin;
  n.hat_row = b.net.traits.gates * b.net.hidden;
  n.scale = side.scale + group.number;
  n.scale_row = 2;
  n.gain = side.gain + group.begin;
  n.dgain = b.sums + side.norm + group.begin;
  n.dbias = side.bias >= 0 ? b.sums + side.bias + group.begin : nullptr;
  n.sums_row = b.columns.total;
  n.dx = side.dgates + group.begin;
  n.dx_row = b.dgates.row;
  b.k.normalise_back(n);
}

}  // namespace

template <class T>
void forward_input(const Recurrent& net, const Kernels<T>& k, const PackedForward<T>& weights, Index rows, RowSpan<T> a,
                   Kept<T> kept) {
  for_each_group(net, [&](const Group& group) {
    Normalise<T> n{};
    n.rows = rows;
    n.columns = group.end - group.begin;
    n.x = n.out = a.data + group.begin;
    n.x_row = n.out_row = a.row;
    n.hat = kept.hat ? kept.hat + group.begin : n.out;
    n.hat_row = kept.hat ? net.traits.gates * net.hidden : a.row;
    n.scale = kept.scale ? kept.scale + group.number : nullptr;
    n.scale_row = 2;
    n.gain = weights.norm_ih.data() + group.begin;
    n.bias = weights.bias.data() + group.begin;
    k.normalise(n);
  });
}

template <class T>
void forward_recurrent(const ForwardContext<T>& f, const Group& group) {
  const Index columns = f.net.traits.gates * f.net.hidden;
  // A hidden bias belongs to the recurrent side of the last gate, which the kernel reads after the gates.
  const bool separate = group.number == 1 && f.net.traits.has_hidden_bias;
  Normalise<T> n{};
  n.rows = f.step.rows;
  n.columns = group.end - group.begin;
  n.x = n.hat = f.arrays.hat_hh + group.begin;
  n.x_row = n.hat_row = columns;
  n.scale = f.arrays.scale_hh + group.number;
  n.scale_row = 2;
  n.gain = f.weights.norm_hh.data() + group.begin;
  n.bias = separate ? f.weights.hidden_bias.data() : nullptr;
  n.add = !separate;
  n.out = f.step.gates + (separate ? columns : group.begin);
  n.out_row = f.step.gates_row;
  f.k.normalise(n);
}

template <class T>
void forward_cell(ForwardContext<T>& f) {
  Normalise<T> n{};
  n.rows = f.step.rows;
  n.columns = n.hat_row = n.out_row = f.net.hidden;
  n.x = f.step.c;
  n.x_row = f.step.c_row;
  n.hat = n.out = f.arrays.seen;
  n.scale = f.arrays.scale_c;
  n.scale_row = 1;
  n.gain = f.weights.norm_c.data();
  n.bias = f.weights.bias_norm_c.data();
  f.k.normalise(n);
  f.step.seen = f.arrays.seen;
}

template <class T>
void backward_recurrent(const BackwardContext<T>& b, const Group& group) {
  const Index columns = b.net.traits.gates * b.net.hidden;
  const Side<T> side{b.taped(b.tape.hat_hh, columns),
                     b.taped(b.tape.scale_hh, 2),
                     b.parameters.norm_hh,
                     b.columns.norm_hh,
                     b.columns.bias_hh,
                     b.dgates.data + columns};
  invert_group(b, side, group, b.arrays.raw + b.net.traits.recurrent_at * b.net.hidden + group.begin);
}

template <class T>
void backward_input(const BackwardContext<T>& b, const Group& group) {
  const Index columns = b.net.traits.gates * b.net.hidden;
  const Side<T> side{b.taped(b.tape.hat_ih, columns),
                     b.taped(b.tape.scale_ih, 2),
                     b.parameters.norm_ih,
                     b.columns.norm_ih,
                     b.columns.bias_ih,
                     b.dgates.data};
  const Index first = group.begin - b.net.traits.input_rotate * b.net.hidden;  // of the raw columns, rotated
  invert_group(b, side, group, b.arrays.raw + (first < 0 ? first + columns : first));
}

template <class T>
void recompute_cell(BackwardContext<T>& b) {
  Normalise<T> n{};
  n.rows = b.step.rows;
  n.columns = n.hat_row = n.out_row = b.net.hidden;
  n.x = b.step.c;
  n.x_row = b.step.c_row;
  n.hat = b.arrays.hat_c;
  n.scale = b.arrays.scale_c;
  n.scale_row = 1;
  n.gain = b.parameters.norm_c;
  n.bias = b.parameters.bias_norm_c;
  n.out = b.arrays.seen;
  b.k.normalise(n);
  b.step.seen = b.arrays.seen;
}

template <class T>
void backward_cell(const BackwardContext<T>& b) {
  NormaliseBack<T> n{};
  n.rows = b.step.rows;
  n.columns = n.dy_row = n.dx_row = n.hat_row = b.net.hidden;
  n.dy = n.dx = b.step.dh;
  n.hat = b.arrays.hat_c;
  n.scale = b.arrays.scale_c;
  n.scale_row = 1;
  n.gain = b.parameters.norm_c;
  n.dgain = b.sums + b.columns.norm_c;
  n.dbias = b.columns.bias_norm_c >= 0 ? b.sums + b.columns.bias_norm_c : nullptr;
  n.sums_row = b.columns.total;
  b.k.normalise_back(n);
}

#define BPTT_INSTANTIATE(T)                                                                                    \
  template void forward_input(const Recurrent&, const Kernels<T>&, const PackedForward<T>&, Index, RowSpan<T>, \
                              Kept<T>);                                                                        \
  template void forward_recurrent(const ForwardContext<T>&, const Group&);                                     \
  template void forward_cell(ForwardContext<T>&);                                                              \
  template void backward_recurrent(const BackwardContext<T>&, const Group&);                                   \
  template void backward_input(const BackwardContext<T>&, const Group&);                                       \
  template void recompute_cell(BackwardContext<T>&);                                                           \
  template void backward_cell(const BackwardContext<T>&);
BPTT_INSTANTIATE(float)
BPTT_INSTANTIATE(double)
#undef BPTT_INSTANTIATE

}  // namespace bptt::layer_norm

#include "core/modifiers/row_sums.hpp"

namespace bptt {

RowSums::RowSums(const Recurrent& net) {
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
void RowSums::add_to(const DirectionParameters<T>& gradients, const Recurrent& net, const Kernels<T>& k, Index rows,
                     const T* sums) const {
  const Index columns = net.traits.gates * net.hidden;
  const auto add = [&](Index column, Index width, T* gradient) {
    if (column >= 0) k.add_columns({1, rows, width, sums + column, total, 0, gradient, nullptr, false});
  };
  add(peephole, net.traits.peepholes * net.hidden, gradients.peephole);
  add(norm_ih, columns, gradients.norm_ih);
  add(bias_ih, columns, gradients.bias_ih);
  add(norm_hh, columns, gradients.norm_hh);
  add(bias_hh, columns, gradients.bias_hh);
  add(norm_c, net.hidden, gradients.norm_c);
  add(bias_norm_c, net.hidden, gradients.bias_norm_c);
}

template void RowSums::add_to(const DirectionParameters<float>&, const Recurrent&, const Kernels<float>&, Index,
                              const float*) const;
template void RowSums::add_to(const DirectionParameters<double>&, const Recurrent&, const Kernels<double>&, Index,
                              const double*) const;

}  // namespace bptt

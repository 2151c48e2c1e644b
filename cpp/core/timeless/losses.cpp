#include "core/timeless/losses.hpp"

namespace bptt {

Index count_rows(const bool* mask, Index rows) {
  if (!mask) return rows;
  Index count = 0;
  for (Index i = 0; i < rows; ++i) count += mask[i] ? 1 : 0;
  return count;
}

Index first_bad_label(const std::int64_t* labels, const bool* mask, Index rows, Index classes) {
  for (Index i = 0; i < rows; ++i) {
    if ((!mask || mask[i]) && (labels[i] < 0 || labels[i] >= classes)) return i;
  }
  return -1;
}

template <class T>
double mean_loss(LossRows<T>& args, Index terms, double (*kernel)(const LossRows<T>&)) {
  const Index count = count_rows(args.mask, args.rows) * terms;
  args.scale = count > 0 ? 1.0 / static_cast<double>(count) : 0;
  return kernel(args) * args.scale;
}

template double mean_loss(LossRows<float>&, Index, double (*)(const LossRows<float>&));
template double mean_loss(LossRows<double>&, Index, double (*)(const LossRows<double>&));

}  // namespace bptt

#include "core/timeless/losses.hpp"

namespace bptt {

Index first_bad_label(const std::int64_t* labels, const bool* mask, Index rows, Index classes) {
  for (Index i = 0; i < rows; ++i) {
    if ((!mask || mask[i]) && (labels[i] < 0 || labels[i] >= classes)) return i;
  }
  return -1;
}

}  // namespace bptt

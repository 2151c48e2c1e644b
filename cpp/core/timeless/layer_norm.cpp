#include "core/timeless/layer_norm.hpp"

#include <algorithm>
#include <vector>

#include "core/timeless/shares.hpp"
#include "runtime/isa.hpp"

namespace bptt {
namespace {

// Gradients of gain and bias are summed over blocks of rows, then over blocks: their bits do not depend on threads.
constexpr Index kBlockRows = 32;

template <class T>
std::vector<T> ones_unless(const T* gain, Index columns) {
  return gain ? std::vector<T>() : std::vector<T>(static_cast<std::size_t>(columns), T{1});
}

}  // namespace

template <class T>
void layer_norm_forward(const LayerNormForward<T>& args, Interrupt& interrupt) {
  const Kernels<T>& k = kernels<T>();
  const std::vector<T> ones = ones_unless(args.gain, args.columns);
  share_rows(args.rows, args.columns, interrupt, [&](Index begin, Index end) {
    Normalise<T> n{};
    n.rows = end - begin;
    n.columns = n.x_row = n.hat_row = n.out_row = args.columns;
    n.x = args.x + begin * args.columns;
    n.out = args.y + begin * args.columns;
    n.hat = args.hat ? args.hat + begin * args.columns : n.out;
    n.scale = args.scale ? args.scale + begin : nullptr;
    n.scale_row = 1;
    n.gain = args.gain ? args.gain : ones.data();
    n.bias = args.bias;
    n.epsilon = static_cast<T>(args.epsilon);
    k.normalise(n);
  });
}

template <class T>
void layer_norm_backward(const LayerNormBackward<T>& args, Interrupt& interrupt) {
  const Kernels<T>& k = kernels<T>();
  const Index columns = args.columns;
  const Index blocks = (args.rows + kBlockRows - 1) / kBlockRows;
  const Index block_sums = (args.dbias ? 2 : 1) * columns;
  const std::vector<T> ones = ones_unless(args.gain, columns);
  std::vector<T> sums(static_cast<std::size_t>(blocks * block_sums));
  share_rows(blocks, kBlockRows * columns, interrupt, [&](Index first, Index last) {
    std::vector<T> unwanted(args.dx ? 0 : static_cast<std::size_t>(columns));
    for (Index block = first; block < last; ++block) {
      const Index begin = block * kBlockRows;
      NormaliseBack<T> n{};
      n.rows = std::min(kBlockRows, args.rows - begin);
      n.columns = n.dy_row = n.hat_row = columns;
      n.dy = args.dy + begin * columns;
      n.hat = args.hat + begin * columns;
      n.scale = args.scale + begin;
      n.scale_row = 1;
      n.gain = args.gain ? args.gain : ones.data();
      n.dgain = sums.data() + block * block_sums;
      n.dbias = args.dbias ? n.dgain + columns : nullptr;
      n.sums_row = 0;
      n.dx = args.dx ? args.dx + begin * columns : unwanted.data();
      n.dx_row = args.dx ? columns : 0;
      k.normalise_back(n);
    }
  });
  if (!args.dgain || interrupt.stopped() || blocks == 0) return;
  for (Index block = 1; block < blocks; ++block) k.add(block_sums, sums.data() + block * block_sums, sums.data());
  k.add(columns, sums.data(), args.dgain);
  if (args.dbias) k.add(columns, sums.data() + columns, args.dbias);
}

#define BPTT_INSTANTIATE(T)                                                 \
  template void layer_norm_forward(const LayerNormForward<T>&, Interrupt&); \
  template void layer_norm_backward(const LayerNormBackward<T>&, Interrupt&);
BPTT_INSTANTIATE(float)
BPTT_INSTANTIATE(double)
#undef BPTT_INSTANTIATE

}  // namespace bptt

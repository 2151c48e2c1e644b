#include "core/streams/small_layers.hpp"

#include <algorithm>

#include "runtime/isa.hpp"

namespace bptt {
namespace {

// More rows fill the tiles of single steps, which read weights once for several rows.
constexpr Index kMostRows = 3;
constexpr Index kMostRowsOfOneVector = 6;
constexpr Index kFirstCacheBytes = 32 << 10;
constexpr Index kBlock = 32;

// Whether L1 holds the weights of a layer.
template <class T>
bool fits_first_cache(const Recurrent& net, Index inputs) {
  const Precision precision = net.options.precision;
  const Index bytes = precision == Precision::int8 ? 1 : precision == Precision::bfloat16 ? 2 : sizeof(T);
  return net.traits.gates * net.hidden * (net.hidden + inputs) * bytes <= kFirstCacheBytes;
}

}  // namespace

template <class T>
bool SmallLayers<T>::serve(const Recurrent& net, Index batch) {
  const Kernels<T>& k = kernels<T>(net.options.precision);
  const bool plain = k.small_steps.of_cell[static_cast<int>(net.traits.cell)] && !net.modifies_steps();
  const Index inputs = std::max(net.input, net.layers > 1 ? net.hidden : 0);
  const Index most_rows = net.hidden <= k.lanes ? kMostRowsOfOneVector : kMostRows;
  const bool few_rows = batch == 1 || (batch <= most_rows && fits_first_cache<T>(net, inputs));
  return plain && few_rows && net.hidden <= kMostSmallUnits && inputs <= kMostSmallUnits;
}

template <class T>
SmallLayers<T>::SmallLayers(const Recurrent& net, const PackedNetwork<T>& packed, Index batch)
    : k_(packed.kernels()), cell_(static_cast<int>(net.traits.cell)), block_(net.layers > 1 ? kBlock : 0) {
  const Index width = (net.hidden + k_.lanes - 1) / k_.lanes * k_.lanes;
  const Index sums = net.traits.gates + (net.traits.has_hidden_bias ? 1 : 0);
  bias_ = Buffer<T>(net.layers * sums * width);
  state_ = Buffer<T>(3 * batch * width);
  outputs_ = Buffer<T>(2 * block_ * batch * net.hidden);
  for (Index layer = 0; layer < net.layers; ++layer) {
    const PackedForward<T>& w = packed.at(layer);
    T* const bias = bias_.data() + layer * sums * width;
    pack_bias(net, w, bias);
    SmallSteps<T> s{};
    s.rows = batch;
    s.input = w.weight_ih.shape.depth;
    s.hidden = net.hidden;
    s.width = width;
    // The end of a step is what L1 still has of larger weights. Smaller ones go from the first unit to the last, which
    // the next step needs last.
    s.alternates = !fits_first_cache<T>(net, s.input);
    s.relu = net.traits.cell == Cell::rnn_relu;
    s.w = w.weight_ih.panels.data();
    s.u = w.weight_hh.panels.data();
    s.bias = bias;
    s.state = state_.data();
    layers_.push_back(s);
  }
}

template <class T>
void SmallLayers<T>::pack_bias(const Recurrent& net, const PackedForward<T>& w, T* to) const {
  for (Index first = 0; first < net.hidden; first += k_.lanes) {
    const Index units = std::min<Index>(k_.lanes, net.hidden - first);
    const auto put = [&](const T* from) {
      std::fill(std::copy_n(from + first, units, to), to + k_.lanes, T{0});
      to += k_.lanes;
    };
    for (Index gate = 0; gate < net.traits.gates; ++gate) put(w.bias.data() + gate * net.hidden);
    if (net.traits.has_hidden_bias) put(w.hidden_bias.data());
  }
}

template <class T>
void SmallLayers<T>::run(const T* x, T* y, T* h, T* c, Index steps) {
  const auto kernel = k_.small_steps.of_cell[cell_];
  const Index rows = layers_.front().rows, size = rows * layers_.front().hidden;
  const Index block = block_ ? block_ : steps;
  for (Index t = 0; t < steps; t += block) {
    const T* from = x + t * rows * layers_.front().input;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const Index layer = static_cast<Index>(i);
      SmallSteps<T>& s = layers_[i];
      s.steps = std::min(block, steps - t);
      s.x = from;
      s.y = i + 1 == layers_.size() ? y + t * size : outputs_.data() + layer % 2 * block_ * size;
      s.h = h + layer * size;
      if (c) s.c = c + layer * size;
      s.last_first = s.alternates && odd_ != (t % 2 == 1);
      kernel(s);
      from = s.y;
    }
  }
  odd_ = odd_ != (steps % 2 == 1);
}

template class SmallLayers<float>;
template class SmallLayers<double>;

}  // namespace bptt

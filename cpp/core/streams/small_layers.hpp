// Layers of few units, which run many steps in one call of a kernel: the CPU spends more time between the short
// functions of a step than in them.
#pragma once

#include "core/pack.hpp"

namespace bptt {

template <class T>
class SmallLayers {
 public:
  // Whether there are kernels for these layers, and these kernels are faster than single steps.
  static bool serve(const Recurrent& net, Index batch);

  // `packed` must outlive this object, and hold its input weights by gates.
  SmallLayers(const Recurrent& net, const PackedNetwork<T>& packed, Index batch);

  // x (steps, B, I) -> y (steps, B, H), from and to the states h and c (L, B, H).
  void run(const T* x, T* y, T* h, T* c, Index steps);

 private:
  void pack_bias(const Recurrent& net, const PackedForward<T>& w, T* to) const;

  const Kernels<T>& k_;
  int cell_;
  Index block_;  // steps that a layer runs before the next layer
  Buffer<T> bias_;
  Buffer<T> state_;
  Buffer<T> outputs_;  // of a block of a layer before the last
  std::vector<SmallSteps<T>> layers_;
  bool odd_ = false;  // number of steps so far
};

}  // namespace bptt

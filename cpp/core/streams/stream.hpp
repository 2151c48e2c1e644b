// One step at a time, with weights packed once and the state kept inside: nothing is allocated, looked up or divided
// among threads per step. The results have the bits of `infer`.
#pragma once

#include <optional>

#include "core/modifiers/step_arrays.hpp"
#include "core/streams/small_layers.hpp"

namespace bptt {

template <class T>
class Stream {
 public:
  // Takes a snapshot of the parameters; throws std::invalid_argument for a network of two directions.
  Stream(const Recurrent& net, const T* parameters, Index batch);

  // x (B, I) -> y (B, P). Neither may overlap the state.
  void step(const T* x, T* y);
  // The same, but rows with skip (B) = 1 have no such step: their state is held, and y is 0 there.
  void step(const T* x, T* y, const std::uint8_t* skip);
  // x (time, B, I) -> y (time, B, P); skip (time, B), or null
  void run(const T* x, T* y, const std::uint8_t* skip, Index time, Interrupt& interrupt);

  // The state, h (L, B, P) and c (L, B, H), to be read and written between steps; c is empty without a cell state.
  const Buffer<T>& h() const { return h_; }
  const Buffer<T>& c() const { return c_; }

  double flops() const { return flops_; }  // floating-point operations of a step

 private:
  void step_layer(Index layer, const T* x);
  ForwardStep<T> arguments(Index layer) const;

  const Recurrent net_;
  Index batch_;
  Index gates_row_;
  double flops_;
  Index poll_steps_;  // steps between two polls for an interrupt
  bool fused_;  // the step projects its own input
  PackedNetwork<T> packed_;
  const Kernels<T>& k_;
  Buffer<T> gates_;  // (B, tape_gates * H)
  Buffer<T> next_;   // (B, P): a step must not overwrite the h that it starts from
  Buffer<T> h_;
  Buffer<T> c_;
  Buffer<T> held_h_;  // as h_ and c_ before a step that rows skip
  Buffer<T> held_c_;
  ForwardScratch<T> scratch_;
  std::optional<SmallLayers<T>> small_;  // runs all steps, if it serves these layers
  std::vector<ForwardStep<T>> steps_;  // otherwise the arguments of each layer's step, but for its input
  bool odd_ = false;  // number of steps so far
};

}  // namespace bptt

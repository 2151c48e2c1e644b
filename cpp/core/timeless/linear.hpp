// y = x W^T + b and its gradients, on N rows.
#pragma once

#include <memory>

#include "kernels/table.hpp"
#include "runtime/interrupt.hpp"

namespace bptt {

template <class T>
struct LinearArgs {
  Index rows;
  Index input;
  Index output;
  const T* x;       // (N, input)
  const T* weight;  // (output, input)
  const T* bias;    // (output) or null
  Precision precision = Precision::highest;  // of both operands
};

template <class T>
void linear_forward(const LinearArgs<T>& args, T* y, Interrupt& interrupt);  // (N, output)

// Adds to dweight and dbias, and overwrites dx; null: not computed.
template <class T>
void linear_backward(const LinearArgs<T>& args, const T* dy, T* dweight, T* dbias, T* dx, Interrupt& interrupt);

// A weight and bias that are packed once, for many calls with the same bits as linear_forward. Immutable, so several
// threads may call it at once.
template <class T>
class PackedLinear {
 public:
  PackedLinear(const LinearArgs<T>& args, Interrupt& interrupt);  // reads weight and bias; x is not used
  ~PackedLinear();

  Index input() const { return args_.input; }
  Index output() const { return args_.output; }
  void forward(Index rows, const T* x, T* y, Interrupt& interrupt) const;

 private:
  struct Packed;
  LinearArgs<T> args_;
  std::unique_ptr<Packed> packed_;
};

}  // namespace bptt

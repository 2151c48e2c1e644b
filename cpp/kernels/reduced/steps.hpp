// Products and fused steps with operands of fewer bits than float32, from the parts that an instruction set has.
#pragma once

#include "kernels/reduced/table.hpp"

namespace bptt {

void reduced_product(const ReducedKernels& k, const Product<float>& args);

// A step of a cell. `cell` is the float32 step, which gets the sums of all products.
void reduced_forward(const ReducedKernels& k, const ForwardStep<float>& s, const StepForm& form,
                     void (*cell)(const ForwardStep<float>&));
void reduced_backward(const ReducedKernels& k, const BackwardStep<float>& s, const StepForm& form,
                      void (*cell)(const BackwardStep<float>&));

}  // namespace bptt

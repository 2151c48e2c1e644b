// The products of bfloat16 operands, of one instruction set.
#pragma once

#include "kernels/reduced/bfloat16.hpp"
#include "kernels/reduced/transposed.hpp"

namespace bptt::BPTT_ISA {

extern const ReducedKernels kernels_bfloat16;
constexpr ReducedKernels kernels_bfloat16 = {reduced_packed_size<Bfloat16Operands>,
                                             pack_bfloat16,
                                             reduced_product<Bfloat16Operands>,
                                             reduced_transposed_product<Bfloat16Operands>,
                                             kReducedScratch,
                                             reduced_forward<Bfloat16Operands>,
                                             reduced_backward<Bfloat16Operands>};

}  // namespace bptt::BPTT_ISA

// The products of bfloat16 operands, of one instruction set.
#pragma once

#include "kernels/reduced/bfloat16.hpp"
#include "kernels/reduced/small_bfloat16.hpp"
#include "kernels/reduced/transposed.hpp"

namespace bptt::BPTT_ISA {

using Bfloat16Form = RoundedForm<Bfloat16Operands>;

extern const ReducedKernels kernels_bfloat16;
inline void product_bfloat16(const Product<float>& args) { reduced_product(kernels_bfloat16, args); }
constexpr ReducedKernels kernels_bfloat16 = {.lanes = kLanes<float>,
                                             .group = Bfloat16Form::group,
                                             .sum_depth = Bfloat16Form::sum_depth,
                                             .packed_size = reduced_packed_size<Bfloat16Form>,
                                             .pack = pack_bfloat16,
                                             .convert = Bfloat16Form::convert,
                                             .multiply = Bfloat16Form::multiply,
                                             .product = product_bfloat16,
                                             .transposed_product = reduced_transposed_product<Bfloat16Operands>,
                                             .transposed_scratch = kReducedScratch,
                                             .small_steps = small_bfloat16()};

}  // namespace bptt::BPTT_ISA

// The products of int8 operands, of one instruction set.
#pragma once

#include "kernels/reduced/int8.hpp"
#if defined(BPTT_ISA_INT8)
#include "kernels/reduced/small_int8.hpp"
#elif defined(BPTT_ISA_AVX2)
#include "kernels/reduced/int8_dot.hpp"
#endif

namespace bptt::BPTT_ISA {

template <class Form>
void product_int8(const Product<float>& args);

constexpr SmallKernels<float> small_int8() {
#if defined(BPTT_ISA_INT8)
  return small_kernels<SmallInt8>();
#else
  return {};
#endif
}

template <class Form>
constexpr ReducedKernels int8_kernels = {.lanes = kLanes<float>,
                                         .group = Form::group,
                                         .sum_depth = kInt8Depth,
                                         .packed_size = reduced_packed_size<Int8Layout<Form>>,
                                         .pack = Int8Layout<Form>::pack,
                                         .convert = Int8Layout<Form>::convert,
                                         .multiply = Int8Layout<Form>::multiply,
                                         .product = product_int8<Form>,
                                         .transposed_product = nullptr,
                                         .transposed_scratch = 0,
                                         .small_steps = small_int8()};

template <class Form>
void product_int8(const Product<float>& args) {
  reduced_product(int8_kernels<Form>, args);
}

#if !defined(BPTT_ISA_INT8)
extern const ReducedKernels kernels_int8;  // emulated
constexpr ReducedKernels kernels_int8 = int8_kernels<EmulatedInt8>;
#endif
#if defined(BPTT_ISA_INT8) || defined(BPTT_ISA_AVX2)
extern const ReducedKernels kernels_int8_dot;
constexpr ReducedKernels kernels_int8_dot = int8_kernels<DotForm>;
#endif

}  // namespace bptt::BPTT_ISA

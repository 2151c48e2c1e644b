#if !defined(__AVX512BF16__) || !defined(__AVX512BW__)
#error "isa_avx512_bf16.cpp must be compiled with AVX512 and AVX512_BF16 enabled"
#endif
#define BPTT_ISA avx512_bf16
#define BPTT_ISA_AVX512
#define BPTT_ISA_BFLOAT16
#include "kernels/reduced/fill_bfloat16.hpp"

#if !defined(__AVX512VNNI__) || !defined(__AVX512BW__)
#error "isa_avx512_vnni.cpp must be compiled with AVX512 and AVX512_VNNI enabled"
#endif
#define BPTT_ISA avx512_vnni
#define BPTT_ISA_AVX512
#define BPTT_ISA_INT8
#include "kernels/reduced/fill_int8.hpp"

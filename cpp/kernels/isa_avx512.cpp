#if !defined(__AVX512F__) || !defined(__FMA__)
#error "isa_avx512.cpp must be compiled with AVX512 and FMA enabled"
#endif
#define BPTT_ISA avx512
#define BPTT_ISA_AVX512
#include "kernels/fill.hpp"

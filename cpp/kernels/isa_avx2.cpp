#if !defined(__AVX2__) || !defined(__FMA__)
#error "isa_avx2.cpp must be compiled with AVX2 and FMA enabled"
#endif
#define BPTT_ISA avx2
#define BPTT_ISA_AVX2
#include "kernels/fill.hpp"

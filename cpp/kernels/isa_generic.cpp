#if defined(__AVX__)
#error "isa_generic.cpp must be compiled for the baseline of its architecture"
#endif
#define BPTT_ISA generic
#define BPTT_ISA_GENERIC
#include "kernels/fill.hpp"

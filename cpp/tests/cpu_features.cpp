// Our reading of CPUID agrees with the compiler's. Exit code 0 if it does, or if there is nothing to compare.
#include <cstdio>

#if defined(__x86_64__) && !defined(_MSC_VER)
#include "runtime/cpu_features.hpp"

namespace {

int compare(const char* name, bool found, bool expected) {
  std::printf("%s: %s\n", name, found ? "yes" : "no");
  if (found == expected) return 0;
  std::printf("%s: the compiler says the opposite\n", name);
  return 1;
}

}  // namespace

#define BPTT_COMPARE(name) \
  compare(#name, bptt::cpu_supports(bptt::CpuFeature::name), __builtin_cpu_supports(#name) != 0)

int main() {
  if (!__builtin_cpu_supports("sse2")) {  // which every x86-64 has
    std::printf("the compiler's library knows no features\n");
    return 0;
  }
  return BPTT_COMPARE(fma) + BPTT_COMPARE(avx2) + BPTT_COMPARE(avx512f) + BPTT_COMPARE(avx512dq) +
         BPTT_COMPARE(avx512bw) + BPTT_COMPARE(avx512vl) + BPTT_COMPARE(avx512vnni) + BPTT_COMPARE(avx512bf16);
}
#else
int main() { std::printf("nothing to compare\n"); }
#endif

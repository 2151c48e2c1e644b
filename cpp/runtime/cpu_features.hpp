// Which features of x86 the processor has, if the operating system saves their registers: from the instructions CPUID
// and XGETBV. __builtin_cpu_supports needs a library of the compiler, which the linker of Visual C++ does not find, and
// which says no to every feature in programs that Zig builds.
#pragma once

#include <cpuid.h>

namespace bptt {

enum class CpuFeature { fma, avx2, avx512f, avx512dq, avx512bw, avx512vl, avx512vnni, avx512bf16 };

namespace cpuid {

// Where CPUID has a feature. Words are eax, ebx, ecx, edx. `saved` are bits of XCR0, the registers that a system saves.
struct Place {
  CpuFeature feature;
  unsigned leaf, subleaf, word, bit, saved;
};
inline constexpr unsigned kAvx = 0x06, kAvx512 = 0xE6;
inline constexpr Place kPlaces[] = {
    {CpuFeature::fma, 1, 0, 2, 12, kAvx},           {CpuFeature::avx2, 7, 0, 1, 5, kAvx},
    {CpuFeature::avx512f, 7, 0, 1, 16, kAvx512},    {CpuFeature::avx512dq, 7, 0, 1, 17, kAvx512},
    {CpuFeature::avx512bw, 7, 0, 1, 30, kAvx512},   {CpuFeature::avx512vl, 7, 0, 1, 31, kAvx512},
    {CpuFeature::avx512vnni, 7, 0, 2, 11, kAvx512}, {CpuFeature::avx512bf16, 7, 1, 0, 5, kAvx512},
};

inline bool has(const Place& place) {
  unsigned words[4] = {};
  return __get_cpuid_count(place.leaf, place.subleaf, &words[0], &words[1], &words[2], &words[3]) != 0 &&
         (words[place.word] >> place.bit & 1) != 0;
}

// A bit for each feature.
inline unsigned read() {
  constexpr Place kOsxsave{{}, 1, 0, 2, 27, 0};
  if (!has(kOsxsave)) return 0;  // the system saves no registers of AVX
  unsigned saved = 0, high = 0;
  asm volatile("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
  unsigned found = 0;
  for (const Place& place : kPlaces) {
    if ((saved & place.saved) == place.saved && has(place)) found |= 1u << static_cast<int>(place.feature);
  }
  return found;
}

// Reads CPUID once: a virtual machine may need many microseconds for it.
__attribute__((noinline, cold)) inline unsigned features() {
  static const unsigned found = read();
  return found;
}

}  // namespace cpuid

// Whether the processor has all of these.
template <class... Features>
bool cpu_supports(Features... wanted) {
  const unsigned all = ((1u << static_cast<int>(wanted)) | ...);
  return (cpuid::features() & all) == all;
}

}  // namespace bptt

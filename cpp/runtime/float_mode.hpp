// Subnormal numbers are flushed to zero inside our calls, and only there: they slow recurrent code down twentyfold
// (a decaying state is made of them), and the process's mode is not ours to change.
#pragma once

#if defined(__x86_64__)
#include <xmmintrin.h>
#elif defined(__aarch64__)
#include <cstdint>
#endif

namespace bptt {

// Flush = false puts the default back for a while, for foreign code called from within.
template <bool Flush>
class SubnormalMode {
 public:
#if defined(__x86_64__)
  SubnormalMode() : saved_(_mm_getcsr()) { _mm_setcsr(Flush ? saved_ | kBoth : saved_ & ~kBoth); }
  ~SubnormalMode() { _mm_setcsr(saved_); }

 private:
  static constexpr unsigned kBoth = 0x8000 | 0x0040;  // results flushed to zero, operands read as zero
  unsigned saved_;
#elif defined(__aarch64__)
  SubnormalMode() {
    asm volatile("mrs %0, fpcr" : "=r"(saved_));
    asm volatile("msr fpcr, %0" ::"r"(Flush ? saved_ | kFlush : saved_ & ~kFlush));
  }
  ~SubnormalMode() { asm volatile("msr fpcr, %0" ::"r"(saved_)); }

 private:
  static constexpr std::uint64_t kFlush = std::uint64_t{1} << 24;
  std::uint64_t saved_;
#else
  SubnormalMode() {}
#endif
 public:
  SubnormalMode(const SubnormalMode&) = delete;
  SubnormalMode& operator=(const SubnormalMode&) = delete;
};
using FlushSubnormals = SubnormalMode<true>;
using KeepSubnormals = SubnormalMode<false>;

}  // namespace bptt

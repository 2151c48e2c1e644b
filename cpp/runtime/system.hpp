// Calls of the operating system that differ between POSIX systems and Windows.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(_WIN32)
#include <malloc.h>

#include <chrono>
#else
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>

#include <cstdlib>
#endif

namespace bptt::system {

#if defined(_WIN32)

// Windows has no fork.
inline int at_fork(void (*)(), void (*)(), void (*)()) { return 0; }

inline void* allocate(std::size_t alignment, std::size_t bytes) { return _aligned_malloc(bytes, alignment); }
inline void deallocate(void* data) { _aligned_free(data); }
inline void ask_for_huge_pages(void*, std::size_t) {}

inline std::int64_t wall_time() {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}
// Windows counts the processor time of a thread in ticks of 16 ms, which is too coarse here. With the wall time
// instead, no thread seems to wait for a core.
inline std::int64_t thread_time() { return wall_time(); }

// Windows has no signal masks. It starts a new thread for the handler of a console event such as Ctrl-C.
class BlockedSignals {
 public:
  BlockedSignals() {}
  ~BlockedSignals() {}
};

#else

// Functions to call before a fork, and after it in the parent and in the child; each may be null.
inline int at_fork(void (*before)(), void (*parent)(), void (*child)()) {
  return pthread_atfork(before, parent, child);
}

// Null if there is no memory. The alignment is a power of two.
inline void* allocate(std::size_t alignment, std::size_t bytes) {
  void* data = nullptr;
  return posix_memalign(&data, alignment, bytes) == 0 ? data : nullptr;
}
inline void deallocate(void* data) { std::free(data); }

inline void ask_for_huge_pages([[maybe_unused]] void* data, [[maybe_unused]] std::size_t bytes) {
#if defined(MADV_HUGEPAGE)
  madvise(data, bytes, MADV_HUGEPAGE);
#endif
}

inline std::int64_t read_clock(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return std::int64_t{t.tv_sec} * 1000000000 + t.tv_nsec;
}
// Nanoseconds since some moment; nanoseconds that this thread has run.
inline std::int64_t wall_time() { return read_clock(CLOCK_MONOTONIC); }
inline std::int64_t thread_time() { return read_clock(CLOCK_THREAD_CPUTIME_ID); }

// Worker threads block the program's signals. If all threads of a program block a signal and wait for it with sigwait,
// no worker may receive it. Signals that a thread causes itself stay unblocked, so that crash handlers work.
class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t ours;
    sigfillset(&ours);
    for (const int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS, SIGPROF}) sigdelset(&ours, own);
    pthread_sigmask(SIG_BLOCK, &ours, &before_);
  }
  ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

 private:
  sigset_t before_;
};

#endif

}  // namespace bptt::system

// The library's own threads. OpenMP would hang after a fork, collapse when two processes use the same cores, and hide
// from ThreadSanitizer.
#pragma once

#include <atomic>
#include <string>
#include <type_traits>

namespace bptt {

// How many threads a call may use, and which rule set that number.
int get_num_threads();
void set_num_threads(int n);  // throws std::invalid_argument unless 1 <= n <= kMaxThreads
// Calls from this thread use n threads, unless the user chose a number; 0: no suggestion.
void suggest_threads(int n);
std::string thread_rule();
std::string threads_complaint();  // what is wrong with BPTT_NUM_THREADS; empty if nothing
inline constexpr int kMaxThreads = 256;

// All threads of a group leave wait() after the last has entered it. Spins for some microseconds, then blocks: the
// machine may have given a thread's core to someone else.
class Barrier {
 public:
  explicit Barrier(int threads) : threads_(threads) {}
  void wait() {
    if (threads_ > 1) wait_for_others();
  }

 private:
  void wait_for_others();

  const int threads_;
  std::atomic<int> arrived_{0};
  std::atomic<unsigned> phase_{0};
};

namespace detail {
void run_team(int wanted, void (*call)(void*, int, int), void* context);
}

// Calls work(index, threads) once on each of up to `wanted` threads, of which the calling one is index 0, and returns
// when all have. Fewer threads run it (perhaps one) if others are using the team. The first exception is rethrown.
template <class Work>
void run_team(int wanted, Work&& work) {
  using Plain = std::remove_reference_t<Work>;
  detail::run_team(
      wanted, [](void* context, int index, int threads) { (*static_cast<Plain*>(context))(index, threads); },
      const_cast<void*>(static_cast<const void*>(&work)));
}

// Part `index` of `parts` nearly equal parts of [0, count).
struct Range {
  std::ptrdiff_t begin;
  std::ptrdiff_t end;
};
inline Range slice_of(std::ptrdiff_t count, int index, int parts) {
  return {count * index / parts, count * (index + 1) / parts};
}

}  // namespace bptt

// How a long call is stopped from outside (Ctrl-C): the calling thread polls now and then, and all threads read the
// flag.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>

namespace bptt {

class Interrupt {
 public:
  // `asked` is called on the calling thread at most every 50 ms; true stops the call.
  explicit Interrupt(bool (*asked)() = nullptr)
      : asked_(asked), next_(asked ? Clock::now() + kInterval : Clock::time_point{}) {}

  void poll() {
    if (!asked_ || Clock::now() < next_) return;
    if (asked_()) stopped_.store(true, std::memory_order_relaxed);
    next_ = Clock::now() + kInterval;
  }
  bool stopped() const { return stopped_.load(std::memory_order_relaxed); }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kInterval{50};

  bool (*asked_)();
  Clock::time_point next_;
  std::atomic<bool> stopped_{false};
};

// Cuts 0..count into pieces and calls f(begin, end) for each piece in order. One item of 0..count has `each` elements;
// a piece has about `kPiece` elements. Polls for an interrupt after each piece, and stops there if one has come.
inline constexpr std::ptrdiff_t kPiece = 1 << 22;
template <class F>
void in_pieces(std::ptrdiff_t count, std::ptrdiff_t each, Interrupt& interrupt, F f) {
  const std::ptrdiff_t step = std::max<std::ptrdiff_t>(1, kPiece / std::max<std::ptrdiff_t>(1, each));
  for (std::ptrdiff_t begin = 0; begin < count && !interrupt.stopped(); begin += step) {
    f(begin, std::min(begin + step, count));
    interrupt.poll();
  }
}

}  // namespace bptt

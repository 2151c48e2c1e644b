// How a long call is stopped from outside (Ctrl-C): the calling thread polls now and then, and all threads read the
// flag.
#pragma once

#include <atomic>
#include <chrono>

namespace bptt {

class Interrupt {
 public:
  // `asked` is called on the calling thread at most every 50 ms; true stops the call.
  explicit Interrupt(bool (*asked)() = nullptr) : asked_(asked), next_(Clock::now() + kInterval) {}

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

}  // namespace bptt

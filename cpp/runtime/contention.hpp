// Whether other processes use the cores that the team runs on. A team whose threads wait for one another at every
// step is then as slow as its slowest thread's turns: up to a hundred times slower than one thread alone, which gives
// the same bits. So where the caller has stood still for most of its team's time, it works alone for a while.
#pragma once

#include <algorithm>
#include <cstdint>

#include "runtime/system.hpp"

namespace bptt {

class Contention {
 public:
  // Whether jobs are to be done by one thread, for now.
  bool alone() const { return system::wall_time() < until_; }

  // The clock readings at the start of a job.
  struct Start {
    std::int64_t wall;
    std::int64_t own;
  };
  static Start start() { return {system::wall_time(), system::thread_time()}; }

  // The caller spins while it waits for a moment; on a quiet machine it stands still hardly ever.
  void after(const Start& start, int threads) {
    const std::int64_t wall = system::wall_time();
    wall_ += wall - start.wall;
    own_ += system::thread_time() - start.own;
    if (wall_ < kWindow) return;
    // One of n threads that runs less than an nth of the time: alone it would have been done by now.
    if (own_ * threads < wall_) {
      until_ = wall + pause_;
      pause_ = std::min(2 * pause_, kMost);
    } else {
      pause_ = kLeast;
    }
    wall_ = own_ = 0;
  }

 private:
  // Nanoseconds.
  static constexpr std::int64_t kWindow = 20000000;  // of jobs, to judge by: one stall of a few milliseconds is none
  static constexpr std::int64_t kLeast = 50000000;   // of working alone; twice as long each time, up to
  static constexpr std::int64_t kMost = 2000000000;

  std::int64_t wall_ = 0;
  std::int64_t own_ = 0;
  std::int64_t until_ = 0;
  std::int64_t pause_ = kLeast;
};

}  // namespace bptt

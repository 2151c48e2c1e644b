#include "runtime/team.hpp"

#include <pthread.h>
#include <signal.h>

#include <cstddef>
#include <exception>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "runtime/float_mode.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace bptt {
namespace {

constexpr int kSpins = 2000;  // some 20-60 microseconds

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Returns once value is no longer `old`.
template <class T>
void wait_while_equal(const std::atomic<T>& value, T old) {
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    pause();
  }
  value.wait(old, std::memory_order_acquire);
}

// The program's signals are for its own threads: one that all of those block, to wait for it with sigwait, must not
// find ours open. What a thread does to itself stays open, for handlers that report crashes.
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

class Team {
 public:
  void run(int wanted, void (*call)(void*, int, int), void* context) {
    if (wanted <= 1 || busy_.exchange(true, std::memory_order_acquire)) {
      call(context, 0, 1);
      return;
    }
    const Release release{busy_};
    if (!hire(wanted - 1)) {
      call(context, 0, 1);
      return;
    }
    call_ = call;
    context_ = context;
    error_ = nullptr;
    running_.store(wanted - 1, std::memory_order_relaxed);
    // One word says both which job it is and how many threads do it, so that a worker that wakes late can't take the
    // number of one job for another's.
    const unsigned next = job_.load(std::memory_order_relaxed) / kJob + 1;
    job_.store(next * kJob + static_cast<unsigned>(wanted), std::memory_order_release);
    job_.notify_all();
    guarded(0, wanted);
    for (int left; (left = running_.load(std::memory_order_acquire)) != 0;) wait_while_equal(running_, left);
    if (error_) std::rethrow_exception(error_);
  }

 private:
  struct Release {
    std::atomic<bool>& busy;
    ~Release() { busy.store(false, std::memory_order_release); }
  };

  // False if the system grants no more threads: the caller then works alone.
  bool hire(int workers) {
    if (static_cast<int>(workers_.size()) >= workers) return true;
    const BlockedSignals inherited_by_workers;
    while (static_cast<int>(workers_.size()) < workers) {
      const int index = static_cast<int>(workers_.size()) + 1;
      const unsigned job = job_.load(std::memory_order_relaxed);
      try {
        workers_.emplace_back([this, index, job] { work(index, job); });
      } catch (const std::system_error&) {
        return false;
      }
      workers_.back().detach();  // they sleep until the process ends
    }
    return true;
  }

  void work(int index, unsigned last) {
    const FlushSubnormals mode;
    for (;;) {
      wait_while_equal(job_, last);
      last = job_.load(std::memory_order_acquire);
      const int threads = static_cast<int>(last % kJob);
      if (index >= threads) continue;
      guarded(index, threads);
      if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) running_.notify_one();
    }
  }

  void guarded(int index, int threads) {
    try {
      call_(context_, index, threads);
    } catch (...) {
      const std::lock_guard lock(error_mutex_);
      if (!error_) error_ = std::current_exception();
    }
  }

  static constexpr unsigned kJob = 1024;
  static_assert(kMaxThreads < kJob);

  // Not a mutex: a signal handler that computes may come back to it on the thread that holds it.
  std::atomic<bool> busy_{false};
  std::vector<std::thread> workers_;
  std::atomic<unsigned> job_{0};  // number of the job * kJob + its threads
  std::atomic<int> running_{0};
  void (*call_)(void*, int, int) = nullptr;
  void* context_ = nullptr;
  std::mutex error_mutex_;
  std::exception_ptr error_;
};

std::atomic<Team*> current_team{nullptr};

Team& team() {
  Team* team = current_team.load(std::memory_order_acquire);
  if (team) return *team;
  static std::once_flag once;
  std::call_once(once, [] {
    // A forked child has none of the threads: it starts a team of its own and leaves the old one's memory alone.
    pthread_atfork(nullptr, nullptr, [] { current_team.store(new Team, std::memory_order_release); });
    current_team.store(new Team, std::memory_order_release);
  });
  return *current_team.load(std::memory_order_acquire);
}

}  // namespace

void Barrier::wait_for_others() {
  const unsigned phase = phase_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
    arrived_.store(0, std::memory_order_relaxed);
    phase_.fetch_add(1, std::memory_order_release);
    phase_.notify_all();
  } else {
    wait_while_equal(phase_, phase);
  }
}

void detail::run_team(int wanted, void (*call)(void*, int, int), void* context) { team().run(wanted, call, context); }

}  // namespace bptt

#include "runtime/team.hpp"

#if defined(__linux__)
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <cstddef>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>

#include "runtime/contention.hpp"
#include "runtime/float_mode.hpp"
#include "runtime/system.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace bptt {
namespace {

// How long a thread looks before it sleeps: some 100 microseconds, of which it offers all but the first to others.
// Offering matters most where the system has put two of ours on one core: two that block in turn look like one thread
// to it and stay there, two that are both ready to run are soon separated.
constexpr int kLooks = 100;
constexpr int kPauses = 50;  // of a look: about a microsecond

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
  for (int look = 0; look < kLooks; ++look) {
    for (int i = 0; i < kPauses; ++i) {
      if (value.load(std::memory_order_acquire) != old) return;
      pause();
    }
    if (look > 0) std::this_thread::yield();
  }
  value.wait(old, std::memory_order_acquire);
}

class Team {
 public:
  void run(int wanted, void (*call)(void*, int, int), void* context) {
    if (wanted <= 1 || busy_.exchange(true, std::memory_order_acquire)) {
      call(context, 0, 1);
      return;
    }
    const Release release{busy_};
    if (contention_.alone() || !hire(wanted - 1)) {
      call(context, 0, 1);
      return;
    }
    const Contention::Start start = Contention::start();
    place(wanted - 1);
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
    contention_.after(start, wanted);
    if (error_) std::rethrow_exception(error_);
  }

 private:
  struct Release {
    std::atomic<bool>& busy;
    ~Release() { busy.store(false, std::memory_order_release); }
  };

  // Where the team is about as large as the machine, the system may wake a worker on the caller's own core, and leave
  // it there for the length of a job. So workers keep off that core, and within the cores that the caller may use.
  void place(int workers) {
#if defined(__linux__)
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
    const int cores = CPU_COUNT(&allowed);
    const int own = sched_getcpu();
    if (own >= 0 && cores > 1 && cores <= 2 * (workers + 1)) CPU_CLR(own, &allowed);
    for (int i = 0; i < workers; ++i) {
      Worker& worker = workers_[static_cast<std::size_t>(i)];
      const int thread = worker.thread.load(std::memory_order_acquire);
      if (thread == 0 || CPU_EQUAL(&worker.cores, &allowed)) continue;
      if (sched_setaffinity(thread, sizeof allowed, &allowed) == 0) worker.cores = allowed;
    }
#else
    static_cast<void>(workers);
#endif
  }

  // False if the system grants no more threads: the caller then works alone.
  bool hire(int workers) {
    if (static_cast<int>(workers_.size()) >= workers) return true;
    const system::BlockedSignals inherited_by_workers;
    while (static_cast<int>(workers_.size()) < workers) {
      const int index = static_cast<int>(workers_.size()) + 1;
      const unsigned job = job_.load(std::memory_order_relaxed);
      try {
        Worker& worker = workers_.emplace_back();
        std::thread([this, &worker, index, job] {
#if defined(__linux__)
          // glibc before 2.30 has no gettid().
          worker.thread.store(static_cast<pid_t>(syscall(SYS_gettid)), std::memory_order_release);
#else
          static_cast<void>(worker);
#endif
          work(index, job);
        }).detach();  // it sleeps until the process ends
      } catch (const std::system_error&) {
        workers_.pop_back();
        return false;
      }
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
  struct Worker {
    std::atomic<int> thread{0};  // the system's number of it; 0: not known yet
#if defined(__linux__)
    cpu_set_t cores{};  // where it was last bound to run
#endif
  };
  std::deque<Worker> workers_;  // a worker keeps the address of its own
  std::atomic<unsigned> job_{0};  // number of the job * kJob + its threads
  std::atomic<int> running_{0};
  void (*call_)(void*, int, int) = nullptr;
  void* context_ = nullptr;
  Contention contention_;  // guarded by busy_
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
    system::at_fork(nullptr, nullptr, [] { current_team.store(new Team, std::memory_order_release); });
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

// The default number of threads: the cores this process may run on, by affinity and control group.
#if defined(__linux__)
#include <sched.h>
#endif

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>

#include "runtime/system.hpp"
#include "runtime/team.hpp"

namespace bptt {
namespace {

struct Setting {
  int threads;
  std::string rule;
};

// Hardware threads of one core share its multipliers, so a core counts once.
int cores_in_affinity() {
#if defined(__linux__)
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    std::set<std::string> cores;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (!CPU_ISSET(cpu, &set)) continue;
      std::string siblings;
      std::ifstream file("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list");
      if (!std::getline(file, siblings) || siblings.empty()) siblings = "alone " + std::to_string(cpu);
      cores.insert(siblings);
    }
    if (!cores.empty()) return static_cast<int>(cores.size());
  }
#endif
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

double read_quota(const std::string& folder) {
  std::string quota;
  double period = 0;
  if (std::ifstream v2(folder + "/cpu.max"); v2 >> quota >> period) {
    return quota == "max" || period <= 0 ? INFINITY : std::atof(quota.c_str()) / period;
  }
  double limit = 0;
  if (std::ifstream(folder + "/cpu.cfs_quota_us") >> limit && std::ifstream(folder + "/cpu.cfs_period_us") >> period) {
    return limit <= 0 || period <= 0 ? INFINITY : limit / period;
  }
  return INFINITY;
}

// The tightest CPU quota of this process's control group and the groups around it.
double cgroup_quota() {
  double tightest = INFINITY;
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (!controllers.empty() && controllers.find("cpu") == std::string::npos) continue;
    const std::string root = controllers.empty() ? "/sys/fs/cgroup" : "/sys/fs/cgroup/" + controllers;
    for (std::string path = line.substr(second + 1);; path.resize(path.rfind('/'))) {
      tightest = std::min(tightest, read_quota(root + path));
      if (path.find('/') == std::string::npos) break;
    }
  }
  return std::min(tightest, read_quota("/sys/fs/cgroup"));
}

Setting automatic() {
  const int cores = cores_in_affinity();
  const double quota = cgroup_quota();
  if (quota < cores) {
    return {std::clamp(static_cast<int>(std::ceil(quota)), 1, kMaxThreads), "the control group's CPU quota"};
  }
  return {std::min(cores, kMaxThreads), "the cores this process may run on"};
}

// BPTT_NUM_THREADS: a number, or a text that is none; neither where the variable is not set.
struct Wanted {
  int threads = 0;
  std::string invalid;
};

Wanted wanted() {
  const char* text = std::getenv("BPTT_NUM_THREADS");
  if (!text || !*text) return {};
  char* end = nullptr;
  errno = 0;
  const long n = std::strtol(text, &end, 10);
  if (errno == 0 && *end == '\0' && n >= 1 && n <= kMaxThreads) return {static_cast<int>(n), {}};
  return {0, text};
}

Setting initial() {
  const Wanted variable = wanted();
  if (variable.threads > 0) return {variable.threads, "BPTT_NUM_THREADS"};
  Setting setting = automatic();
  if (!variable.invalid.empty()) {
    setting.rule += " (BPTT_NUM_THREADS='" + variable.invalid + "' is not a number from 1 to " +
                    std::to_string(kMaxThreads) + " and was ignored)";
  }
  return setting;
}

std::mutex mutex;
// A fork must not leave the child with the lock held, nor with the setting half read.
[[maybe_unused]] const int fork_handlers =
    system::at_fork([] { mutex.lock(); }, [] { mutex.unlock(); }, [] { mutex.unlock(); });

Setting& setting() {
  static Setting value = initial();
  return value;
}

bool chosen(const Setting& value) { return value.rule == "BPTT_NUM_THREADS" || value.rule == "set_num_threads"; }

thread_local int suggested = 0;

}  // namespace

int get_num_threads() {
  const std::lock_guard lock(mutex);
  const Setting& value = setting();
  return suggested > 0 && !chosen(value) ? suggested : value.threads;
}

void suggest_threads(int n) { suggested = n < 0 ? 0 : n > kMaxThreads ? kMaxThreads : n; }

void set_num_threads(int n) {
  if (n < 1 || n > kMaxThreads) {
    throw std::invalid_argument("n: expected a number of threads from 1 to " + std::to_string(kMaxThreads) + ", got " +
                                std::to_string(n));
  }
  const std::lock_guard lock(mutex);
  setting() = {n, "set_num_threads"};
}

std::string thread_rule() {
  const std::lock_guard lock(mutex);
  return setting().rule;
}

// Does not choose the number of threads: the affinity may still change before the first call.
std::string threads_complaint() {
  const std::string invalid = wanted().invalid;
  if (invalid.empty()) return {};
  return "BPTT_NUM_THREADS must be a whole number from 1 to " + std::to_string(kMaxThreads) + "; got '" + invalid +
         "', which bptt ignores. Fix: set another number, or unset BPTT_NUM_THREADS.";
}

}  // namespace bptt

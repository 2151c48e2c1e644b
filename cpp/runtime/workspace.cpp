#include "runtime/workspace.hpp"

#include <algorithm>
#include <map>
#include <mutex>
#include <new>

#include "runtime/system.hpp"

namespace bptt {
namespace {

class Pool;
Pool& pool();

constexpr std::size_t kHugePage = std::size_t{2} << 20;

class Pool {
 public:
  void* take(std::size_t bytes, std::size_t& capacity) {
    const std::size_t alignment = bytes >= 2 * kHugePage ? kHugePage : kAlignment;
    {
      const std::lock_guard lock(mutex_);
      const auto found = idle_.lower_bound(bytes);
      // A block more than a quarter too large is left for someone who needs it.
      if (found != idle_.end() && found->first - bytes <= bytes / 4 + kSlack) {
        void* data = found->second;
        capacity = found->first;
        idle_.erase(found);
        idle_bytes_ -= capacity;
        count_in(capacity);
        return data;
      }
      capacity = (std::max<std::size_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
      if (capacity < bytes) throw std::bad_alloc();
      shrink(allowed() > in_use_ + capacity ? allowed() - in_use_ - capacity : 0);
    }
    void* data = system::allocate(alignment, capacity);
    if (!data) {
      {
        const std::lock_guard lock(mutex_);
        shrink(0);
      }
      data = system::allocate(alignment, capacity);
      if (!data) throw std::bad_alloc();
    }
    // A hint: where the system grants it, a large tape costs a page fault in 512.
    if (alignment == kHugePage) system::ask_for_huge_pages(data, capacity / kHugePage * kHugePage);
    const std::lock_guard lock(mutex_);
    count_in(capacity);
    return data;
  }

  void give_back(void* data, std::size_t capacity) noexcept {
    const std::lock_guard lock(mutex_);
    in_use_ -= capacity;
    peak_ = std::max(in_use_, peak_ - peak_ / kDecay);
    try {
      idle_.emplace(capacity, data);
      idle_bytes_ += capacity;
    } catch (...) {
      system::deallocate(data);
    }
    shrink(allowed() - in_use_);
  }

  void lock() { mutex_.lock(); }
  void unlock() { mutex_.unlock(); }

 private:
  static constexpr std::size_t kSpare = 4;
  static constexpr std::size_t kSlack = 4096;
  static constexpr std::size_t kDecay = 4096;  // a peak is forgotten after some thousand returns

  // In use and idle together. A quarter above the peak: what a forward pass needs and what a backward pass needs are
  // never all in use at once, and would take turns to be freed.
  std::size_t allowed() const { return peak_ + peak_ / kSpare; }

  // Keeps at most `most` idle bytes. Frees the smallest blocks first, which are the cheapest to make again.
  void shrink(std::size_t most) noexcept {
    while (idle_bytes_ > most) {
      const auto victim = idle_.begin();
      idle_bytes_ -= victim->first;
      system::deallocate(victim->second);
      idle_.erase(victim);
    }
  }

  void count_in(std::size_t capacity) {
    in_use_ += capacity;
    peak_ = std::max(peak_, in_use_);
  }

  std::mutex mutex_;
  std::multimap<std::size_t, void*> idle_;
  std::size_t idle_bytes_ = 0;
  std::size_t in_use_ = 0;
  std::size_t peak_ = 0;
};

Pool& pool() {
  // Outlives every block, also those freed while the process ends. A fork must not leave the child with a lock
  // that some other thread of the parent held.
  static Pool* const instance = [] {
    system::at_fork([] { pool().lock(); }, [] { pool().unlock(); }, [] { pool().unlock(); });
    return new Pool;
  }();
  return *instance;
}

}  // namespace

Block::Block(std::size_t bytes) {
  std::size_t capacity = 0;
  void* data = pool().take(bytes, capacity);
  data_ = std::shared_ptr<void>(data, [capacity](void* p) { pool().give_back(p, capacity); });
}

}  // namespace bptt

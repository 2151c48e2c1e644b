// Aligned memory, recycled: tapes and scratch of one iteration are the next one's, so that a training loop faults
// no pages in once it runs. The pool holds, idle and in use, at most a quarter more than was in use at the recent
// peak.
#pragma once

#include <cstddef>
#include <memory>

namespace bptt {

// Of every block, in bytes: a cache line, and the widest vector register.
inline constexpr std::size_t kAlignment = 64;

// A block of uninitialised memory, aligned, that goes back to the pool when the last copy is gone.
class Block {
 public:
  Block() = default;
  explicit Block(std::size_t bytes);  // throws std::bad_alloc
  void* data() const { return data_.get(); }

 private:
  std::shared_ptr<void> data_;
};

// count elements of T; T is trivial.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::ptrdiff_t count) : block_(static_cast<std::size_t>(count) * sizeof(T)), size_(count) {}
  T* data() const { return static_cast<T*>(block_.data()); }
  std::ptrdiff_t size() const { return size_; }
  const Block& block() const { return block_; }

 private:
  Block block_;
  std::ptrdiff_t size_ = 0;
};

}  // namespace bptt

// Writing around the caches: what is larger than they are would be read into them only to be overwritten, and would
// push out what is still wanted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

namespace bptt {

// Writers of one thread; the data are there for others once it is gone.
class PastCache {
 public:
  PastCache() = default;
  PastCache(const PastCache&) = delete;
  PastCache& operator=(const PastCache&) = delete;

#if defined(__x86_64__)
  ~PastCache() { _mm_sfence(); }

  void copy(char* to, const char* from, std::size_t size) const {
    if (!whole_lines(to, size)) {
      std::memcpy(to, from, size);
      return;
    }
    for (std::size_t i = 0; i < size; i += kLine) {
      __m128i line[kParts];
      for (std::size_t j = 0; j < kParts; ++j) line[j] = _mm_loadu_si128(part(from + i, j));
      for (std::size_t j = 0; j < kParts; ++j) _mm_stream_si128(part(to + i, j), line[j]);
    }
  }

  void clear(char* to, std::size_t size) const {
    if (!whole_lines(to, size)) {
      std::memset(to, 0, size);
      return;
    }
    for (std::size_t i = 0; i < size; i += sizeof(__m128i)) _mm_stream_si128(part(to + i, 0), _mm_setzero_si128());
  }

 private:
  static constexpr std::size_t kLine = 64;
  static constexpr std::size_t kParts = kLine / sizeof(__m128i);

  // A line written in part would be read after all.
  static bool whole_lines(const char* to, std::size_t size) {
    return reinterpret_cast<std::uintptr_t>(to) % kLine == 0 && size % kLine == 0;
  }
  // __m128i may alias anything, and its unaligned loads take any address.
  static const __m128i* part(const char* p, std::size_t j) { return reinterpret_cast<const __m128i*>(p) + j; }
  static __m128i* part(char* p, std::size_t j) { return reinterpret_cast<__m128i*>(p) + j; }
#else
  void copy(char* to, const char* from, std::size_t size) const { std::memcpy(to, from, size); }
  void clear(char* to, std::size_t size) const { std::memset(to, 0, size); }
#endif
};

}  // namespace bptt

// Loops over flat vectors: activations, norms, clipping, dropout.
#pragma once

#include "kernels/cells/step.hpp"
#include "kernels/widest.hpp"

namespace bptt::BPTT_ISA {

// Calls f(first element, lanes) for every vector of n elements.
template <class T, class F>
BPTT_INLINE void for_each_vector(Index n, F f) {
  Index i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) f(i, AllLanes<T>{});
  if (i < n) f(i, static_cast<int>(n - i));
}

template <class T, Vec<T> (*Function)(Vec<T>)>
void apply(Index n, const T* x, T* y) {
  for_each_vector<T>(n,
                     [&](Index i, auto lanes) { store_first<T>(y + i, Function(load_first<T>(x + i, lanes)), lanes); });
}

template <class T>
BPTT_INLINE T sum_of_lanes(Vec<T> x) {
  T sum = x[0];
  for (int i = 1; i < kLanes<T>; ++i) sum += x[i];
  return sum;
}

template <class T>
double sum_of_squares(Index n, const T* x) {
  constexpr Index block = 4096;  // blocks keep the error from growing with n
  constexpr Index chains = 4;    // and chains the additions from waiting for one another
  double total = 0;
  for (Index begin = 0; begin < n; begin += block) {
    const Index end = minimum(begin + block, n);
    SquareSum squares[chains];
    Index i = begin;
    for (; i + chains * kLanes<T> <= end; i += chains * kLanes<T>) {
      for (Index c = 0; c < chains; ++c) squares[c].add(load(x + i + c * kLanes<T>));
    }
    for_each_vector<T>(end - i, [&](Index j, auto lanes) { squares[0].add(load_first<T>(x + i + j, lanes)); });
    for (const SquareSum& sum : squares) total += sum.total();
  }
  return total;
}

// Conditional values, of vectors and of numbers: for rules that are written once for both.
BPTT_INLINE Vec<float> choose(Bits<float> condition, Vec<float> yes, Vec<float> no) {
  return select<float>(condition, yes, no);
}
BPTT_INLINE Vec<double> choose(Bits<double> condition, Vec<double> yes, Vec<double> no) {
  return select<double>(condition, yes, no);
}
BPTT_INLINE double choose(bool condition, double yes, double no) { return condition ? yes : no; }
BPTT_INLINE Widest choose(bool condition, Widest yes, Widest no) { return condition ? yes : no; }

// The largest magnitude among n numbers; 0 for n = 0. A NaN may be passed over.
template <class T>
T largest_magnitude(Index n, const T* x) {
  Vec<T> largest{};
  for_each_vector<T>(n, [&](Index i, auto lanes) {
    const Vec<T> size = absolute<T>(load_first<T>(x + i, lanes));
    largest = choose(size > largest, size, largest);
  });
  T each[kLanes<T>];
  store(each, largest);
  T result = 0;
  for (const T size : each) result = size > result ? size : result;
  return result;
}

template <class T>
void scale(Index n, T factor, T* x) {
  for_each_vector<T>(n,
                     [&](Index i, auto lanes) { store_first<T>(x + i, load_first<T>(x + i, lanes) * factor, lanes); });
}

template <class T>
void add(Index n, const T* x, T* y) {
  for_each_vector<T>(n, [&](Index i, auto lanes) {
    store_first<T>(y + i, load_first<T>(y + i, lanes) + load_first<T>(x + i, lanes), lanes);
  });
}

template <class T>
void clip(Index n, T limit, T* x) {
  for_each_vector<T>(n, [&](Index i, auto lanes) {
    Vec<T> v = load_first<T>(x + i, lanes);
    v = select<T>(v > limit, broadcast(limit), v);
    v = select<T>(v < -limit, broadcast(-limit), v);
    store_first<T>(x + i, v, lanes);
  });
}

// Counter-based: element j of the mask depends on (key, j) alone, so that backward draws it again instead of
// keeping it, and any division of the elements among threads gives the same mask. SplitMix64 (Steele, Lea and
// Flood 2014); 24 bits of it make the uniform number.
template <class Word>  // std::uint64_t, or a vector of them
BPTT_INLINE Word scramble(Word z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}
inline constexpr std::uint64_t kGoldenGamma = 0x9E3779B97F4A7C15u;

template <class T>
void dropout(Index n, Index first, std::uint64_t key, double p, const T* x, T* y) {
  const T kept = static_cast<T>(1 / (1 - p));
  for (Index i = 0; i < n; ++i) {
    const std::uint64_t z = scramble(key + (static_cast<std::uint64_t>(first + i) + 1) * kGoldenGamma);
    const double uniform = static_cast<double>(static_cast<std::int64_t>(z >> 40)) * 0x1p-24;
    y[i] = uniform >= p ? x[i] * kept : T{0};
  }
}

// The same generator, of which each word gives two elements, its lower half first.
template <class T>
void bernoulli(Index n, std::uint64_t key, double p, T value, T* y) {
  typedef std::uint64_t Words __attribute__((vector_size(kVectorBytes)));
  constexpr Index words = kVectorBytes / 8;
  const double most = 4294967295.0;
  const double threshold = __builtin_ceil(p * 0x1p32);
  const auto below = static_cast<std::uint32_t>(threshold < most ? threshold : most);
  Words counter{};
  for (Index w = 0; w < words; ++w) counter[w] = key + static_cast<std::uint64_t>(w + 1) * kGoldenGamma;
  for (Index i = 0; i < n; i += 2 * words, counter += words * kGoldenGamma) {
    const Words z = scramble(counter);
    if constexpr (sizeof(T) == 4) {
      typedef std::uint32_t Halves __attribute__((vector_size(kVectorBytes)));
      // Lanes of one width seen as lanes of half of it, as vector extensions allow: the low half is the first.
      const auto hit = reinterpret_cast<Halves>(z) < below;
      const Vec<T> drawn = select<T>(hit, broadcast(value), Vec<T>{});
      store_first<T>(y + i, drawn, static_cast<int>(minimum(2 * words, n - i)));
    } else {
      std::uint32_t halves[2 * words];
      __builtin_memcpy(halves, &z, sizeof(z));
      for (Index w = 0; w < minimum(2 * words, n - i); ++w) y[i + w] = halves[w] < below ? value : T{0};
    }
  }
}

}  // namespace bptt::BPTT_ISA

// Loops over flat vectors: activations, norms, clipping, dropout, optimisers.
#pragma once

#include "kernels/step.hpp"

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

// g <- g + decay p;  v <- momentum v + g;  p <- p - lr v (nesterov: lr (g + momentum v))
template <class T>
void sgd(Index n, const SgdRule& rule, T* p, const T* g, T* velocity) {
  const T lr = static_cast<T>(rule.lr), momentum = static_cast<T>(rule.momentum);
  const T decay = static_cast<T>(rule.weight_decay);
  for_each_vector<T>(n, [&](Index i, auto lanes) {
    const Vec<T> param = load_first<T>(p + i, lanes);
    Vec<T> step = load_first<T>(g + i, lanes);
    if (decay != 0) step = fma(broadcast(decay), param, step);
    if (velocity) {
      const Vec<T> v = fma(broadcast(momentum), load_first<T>(velocity + i, lanes), step);
      store_first<T>(velocity + i, v, lanes);
      step = rule.nesterov ? fma(broadcast(momentum), v, step) : v;
    }
    store_first<T>(p + i, fma(broadcast(-lr), step, param), lanes);
  });
}

// s <- decay s + (1 - decay) g^2;  step = g / (sqrt(s) + epsilon);  v <- momentum v + step;  p <- p - lr v
template <class T>
void rmsprop(Index n, const RmspropRule& rule, T* p, const T* g, T* square, T* velocity) {
  const T lr = static_cast<T>(rule.lr), decay = static_cast<T>(rule.decay);
  const T rest = static_cast<T>(1 - rule.decay), momentum = static_cast<T>(rule.momentum);
  const T epsilon = static_cast<T>(rule.epsilon), weight_decay = static_cast<T>(rule.weight_decay);
  for_each_vector<T>(n, [&](Index i, auto lanes) {
    const Vec<T> param = load_first<T>(p + i, lanes);
    Vec<T> gradient = load_first<T>(g + i, lanes);
    if (weight_decay != 0) gradient = fma(broadcast(weight_decay), param, gradient);
    const Vec<T> s = fma(gradient * gradient, broadcast(rest), decay * load_first<T>(square + i, lanes));
    store_first<T>(square + i, s, lanes);
    Vec<T> step = gradient / (square_root(s) + epsilon);
    if (velocity) {
      step = fma(broadcast(momentum), load_first<T>(velocity + i, lanes), step);
      store_first<T>(velocity + i, step, lanes);
    }
    store_first<T>(p + i, fma(broadcast(-lr), step, param), lanes);
  });
}

// m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  p <- p - lr (m / c1) / (sqrt(v / c2) + epsilon)
// with c = 1 - b^step. Kingma and Ba 2015; decoupled decay: Loshchilov and Hutter 2019.
template <class T>
void adam(Index n, const AdamRule& rule, T* p, const T* g, T* m, T* v) {
  const T beta1 = static_cast<T>(rule.beta1), rest1 = static_cast<T>(1 - rule.beta1);
  const T beta2 = static_cast<T>(rule.beta2), rest2 = static_cast<T>(1 - rule.beta2);
  const T step_size = static_cast<T>(rule.lr / rule.correction1);
  const T root2 = static_cast<T>(1 / __builtin_sqrt(rule.correction2));
  const T epsilon = static_cast<T>(rule.epsilon);
  const T decay = static_cast<T>(rule.decoupled ? 0 : rule.weight_decay);
  const T shrink = static_cast<T>(rule.decoupled ? 1 - rule.lr * rule.weight_decay : 1);
  for_each_vector<T>(n, [&](Index i, auto lanes) {
    Vec<T> param = load_first<T>(p + i, lanes);
    Vec<T> gradient = load_first<T>(g + i, lanes);
    if (decay != 0) gradient = fma(broadcast(decay), param, gradient);
    const Vec<T> first = fma(broadcast(rest1), gradient, beta1 * load_first<T>(m + i, lanes));
    const Vec<T> second = fma(gradient * gradient, broadcast(rest2), beta2 * load_first<T>(v + i, lanes));
    store_first<T>(m + i, first, lanes);
    store_first<T>(v + i, second, lanes);
    const Vec<T> denominator = fma(square_root(second), broadcast(root2), broadcast(epsilon));
    param = param * shrink;
    store_first<T>(p + i, fma(broadcast(-step_size), first / denominator, param), lanes);
  });
}

}  // namespace bptt::BPTT_ISA

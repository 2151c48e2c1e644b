// Optimizer updates over flat vectors: SGD, RMSProp, Adam.
//
// Each rule is written once, for one element or a vector of them. `update` applies it to whole vectors of T. A vector
// that leaves T's range on the way is computed again element by element in a wider type, so that a finite gradient
// never makes a moment infinite.
#pragma once

#include "kernels/vectors.hpp"

namespace bptt::BPTT_ISA {

// A type that holds the squares of all values of T, and sums of them.
template <class T>
struct WiderThan;
template <>
struct WiderThan<float> {
  using type = double;
};
template <>
struct WiderThan<double> {
  using type = Widest;
};
template <class T>
using Wider = typename WiderThan<T>::type;

BPTT_INLINE double square_root(double x) { return __builtin_sqrt(x); }

// a * b + c for a scalar a.
BPTT_INLINE Vec<float> multiply_add(float a, Vec<float> b, Vec<float> c) { return fma(broadcast(a), b, c); }
BPTT_INLINE Vec<double> multiply_add(double a, Vec<double> b, Vec<double> c) { return fma(broadcast(a), b, c); }
BPTT_INLINE double multiply_add(double a, double b, double c) { return a * b + c; }
BPTT_INLINE Widest multiply_add(Widest a, Widest b, Widest c) { return a * b + c; }

// A mean of squares that T cannot hold is stored as minus its root.
template <class T>
BPTT_INLINE Wider<T> read_square(T stored) {
  const auto wide = static_cast<Wider<T>>(stored);
  return stored < 0 ? wide * wide : wide;
}

// x as T. A finite x beyond T's range becomes the largest finite value of its sign.
template <class T>
BPTT_INLINE T saturate(Wider<T> x) {
  constexpr T largest = Limits<T>::largest;
  const bool finite = x - x == 0;
  if (finite && x > largest) return largest;
  if (finite && x < -largest) return -largest;
  return static_cast<T>(x);
}

template <class T>
BPTT_INLINE T store_square(Wider<T> square) {
  const bool fits = square == 0 || (square >= Limits<T>::smallest && square <= Limits<T>::largest);
  return fits ? static_cast<T>(square) : -saturate<T>(square_root(square));
}

// What a rule keeps in `RuleVectors::extra`.
enum class Extra { none, mean, square };

// g <- g + decay p;  v <- momentum v + g;  p <- p - lr v (nesterov: lr (g + momentum v))
template <class T>
struct Sgd {
  static constexpr bool squares = false;
  static constexpr Extra extra = Extra::none;
  T lr, momentum, decay;
  bool nesterov;

  explicit Sgd(const SgdRule& rule)
      : lr(static_cast<T>(rule.lr)), momentum(static_cast<T>(rule.momentum)), decay(static_cast<T>(rule.weight_decay)),
        nesterov(rule.nesterov) {}

  template <class V>
  BPTT_INLINE void operator()(V gradient, V& p, V& velocity, V&, V&, bool has_velocity) const {
    if (decay != 0) gradient = multiply_add(decay, p, gradient);
    V step = gradient;
    if (has_velocity) {
      velocity = multiply_add(momentum, velocity, gradient);
      step = nesterov ? multiply_add(momentum, velocity, gradient) : velocity;
    }
    p = multiply_add(-lr, step, p);
  }
};

// s <- decay s + (1 - decay) g^2;  step = g / (sqrt(s) + epsilon);  v <- momentum v + step;  p <- p - lr v
// centered: a <- decay a + (1 - decay) g, and s - a^2 under the root. A step 0 / 0 is 0.
template <class T, bool Centered>
struct RmspropStep {
  static constexpr bool squares = true;
  static constexpr Extra extra = Centered ? Extra::mean : Extra::none;
  T lr, decay, rest, momentum, epsilon, weight_decay;

  explicit RmspropStep(const RmspropRule& rule)
      : lr(static_cast<T>(rule.lr)), decay(static_cast<T>(rule.decay)), rest(static_cast<T>(1 - rule.decay)),
        momentum(static_cast<T>(rule.momentum)), epsilon(static_cast<T>(rule.epsilon)),
        weight_decay(static_cast<T>(rule.weight_decay)) {}

  template <class V>
  BPTT_INLINE void operator()(V gradient, V& p, V& velocity, V& square, V& mean, bool has_velocity) const {
    if (weight_decay != 0) gradient = multiply_add(weight_decay, p, gradient);
    square = multiply_add(rest, gradient * gradient, decay * square);
    V under_root = square;
    if constexpr (Centered) {
      mean = multiply_add(rest, gradient, decay * mean);
      under_root = square - mean * mean;
      under_root = choose(under_root < V{}, V{}, under_root);  // rounding may make a variance negative
    }
    const V denominator = square_root(under_root) + epsilon;
    V step = gradient / denominator;
    if (epsilon == 0) step = choose(denominator == V{}, V{}, step);
    if (has_velocity) {
      velocity = multiply_add(momentum, velocity, step);
      step = velocity;
    }
    p = multiply_add(-lr, step, p);
  }
};
template <class T>
using Rmsprop = RmspropStep<T, false>;
template <class T>
using CenteredRmsprop = RmspropStep<T, true>;

// m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  p <- p - lr (m / c1) / (sqrt(v / c2) + epsilon)
// with c = 1 - b^step. Kingma and Ba 2015; decoupled decay: Loshchilov and Hutter 2019. AMSGrad divides by the largest
// v so far: Reddi, Kale and Kumar 2018.
template <class T, bool Largest>
struct AdamStep {
  static constexpr bool squares = true;
  static constexpr Extra extra = Largest ? Extra::square : Extra::none;
  T beta1, rest1, beta2, rest2, step_size, root2, epsilon, decay, shrink;

  explicit AdamStep(const AdamRule& rule)
      : beta1(static_cast<T>(rule.beta1)), rest1(static_cast<T>(1 - rule.beta1)), beta2(static_cast<T>(rule.beta2)),
        rest2(static_cast<T>(1 - rule.beta2)), step_size(static_cast<T>(rule.lr / rule.correction1)),
        root2(static_cast<T>(1 / __builtin_sqrt(rule.correction2))), epsilon(static_cast<T>(rule.epsilon)),
        decay(static_cast<T>(rule.decoupled ? 0 : rule.weight_decay)),
        shrink(static_cast<T>(rule.decoupled ? 1 - rule.lr * rule.weight_decay : 1)) {}

  template <class V>
  BPTT_INLINE void operator()(V gradient, V& p, V& m, V& v, V& largest, bool) const {
    if (decay != 0) gradient = multiply_add(decay, p, gradient);
    m = multiply_add(rest1, gradient, beta1 * m);
    v = multiply_add(rest2, gradient * gradient, beta2 * v);
    V under_root = v;
    if constexpr (Largest) {
      largest = choose(v > largest, v, largest);
      under_root = largest;
    }
    const V denominator = multiply_add(root2, square_root(under_root), V{} + epsilon);
    p = multiply_add(-step_size, m / denominator, p * shrink);
  }
};
template <class T>
using Adam = AdamStep<T, false>;
template <class T>
using Amsgrad = AdamStep<T, true>;

template <class T, class Rule>
__attribute__((noinline)) void update_wide(Index n, const Rule& rule, const RuleVectors<T>& vectors) {
  using Wide = Wider<T>;
  const auto [g, p, moment, square, extra] = vectors;
  for (Index i = 0; i < n; ++i) {
    Wide param = p[i], m = moment ? moment[i] : T{0}, s = square ? read_square(square[i]) : 0, e = 0;
    if constexpr (Rule::extra == Extra::mean) e = extra[i];
    if constexpr (Rule::extra == Extra::square) e = read_square(extra[i]);
    rule(static_cast<Wide>(g[i]), param, m, s, e, moment != nullptr);
    p[i] = static_cast<T>(param);
    if (moment) moment[i] = saturate<T>(m);
    if (square) square[i] = store_square<T>(s);
    if constexpr (Rule::extra == Extra::mean) extra[i] = saturate<T>(e);
    if constexpr (Rule::extra == Extra::square) extra[i] = store_square<T>(e);
  }
}

// One update of n parameters. `epsilon` is what the rule adds to the root of a square.
template <template <class> class Rule, class T, class Options>
BPTT_INLINE void update(Index n, const Options& options, double epsilon, const RuleVectors<T>& vectors) {
  // Local copies: as far as the compiler knows, storing a vector may change the pointers in `vectors`.
  const T* const g = vectors.g;
  T* const p = vectors.p;
  T* const moment = vectors.moment;
  T* const square = vectors.square;
  T* const extra = vectors.extra;
  using Narrow = Rule<T>;
  constexpr T largest = Limits<T>::largest;
  // A square below 1.2e-38 is flushed to zero. Its root is below 4e-18 even in Adam's first step, where the correction
  // of the bias divides the square by 0.001. Only a very small epsilon makes the difference visible.
  const T least = epsilon < 1e-10 ? Limits<T>::smallest : T{0};
  const Narrow narrow(options);
  const Rule<Wider<T>> wide(options);
  for_each_vector<T>(n, [&](Index i, auto lanes) {
    Vec<T> param = load_first<T>(p + i, lanes);
    Vec<T> m = moment ? load_first<T>(moment + i, lanes) : Vec<T>{};
    Vec<T> s{};
    if constexpr (Narrow::squares) s = load_first<T>(square + i, lanes);
    const Vec<T> s_before = s;
    Vec<T> e{};
    if constexpr (Narrow::extra != Extra::none) e = load_first<T>(extra + i, lanes);
    const Vec<T> e_before = e;
    narrow(load_first<T>(g + i, lanes), param, m, s, e, moment != nullptr);
    Bits<T> in_range;
    if constexpr (Narrow::squares) {
      in_range = (s_before >= 0) & (s <= largest);
      if (least > 0) in_range &= s >= least;
      if constexpr (Narrow::extra == Extra::square) in_range &= e_before >= 0;
    } else {
      in_range = absolute<T>(param) <= largest;  // the parameter is infinite or NaN wherever its velocity is
    }
    if (__builtin_expect(!every_lane<T>(in_range), 0)) {
      update_wide<T>(lanes, wide,
                     {g + i, p + i, moment ? moment + i : nullptr, square ? square + i : nullptr,
                      Narrow::extra == Extra::none ? nullptr : extra + i});
      return;
    }
    if (moment) store_first<T>(moment + i, m, lanes);
    if constexpr (Narrow::squares) store_first<T>(square + i, s, lanes);
    if constexpr (Narrow::extra != Extra::none) store_first<T>(extra + i, e, lanes);
    store_first<T>(p + i, param, lanes);
  });
}

template <class T>
void sgd(Index n, const SgdRule& rule, T* p, const T* g, T* velocity) {
  update<Sgd, T>(n, rule, 1.0, {g, p, velocity, nullptr, nullptr});
}

template <class T>
void rmsprop(Index n, const RmspropRule& rule, T* p, const T* g, T* square, T* velocity) {
  update<Rmsprop, T>(n, rule, rule.epsilon, {g, p, velocity, square, nullptr});
}

template <class T>
void adam(Index n, const AdamRule& rule, T* p, const T* g, T* m, T* v) {
  update<Adam, T>(n, rule, rule.epsilon, {g, p, m, v, nullptr});
}

template <class T>
void centered_rmsprop(Index n, const RmspropRule& rule, const RuleVectors<T>& vectors) {
  update<CenteredRmsprop, T>(n, rule, rule.epsilon, vectors);
}

template <class T>
void amsgrad(Index n, const AdamRule& rule, const RuleVectors<T>& vectors) {
  update<Amsgrad, T>(n, rule, rule.epsilon, vectors);
}

}  // namespace bptt::BPTT_ISA

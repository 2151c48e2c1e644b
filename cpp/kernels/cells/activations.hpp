// The activations that a user may choose. A tape keeps the result of a function, from which its slope follows. gelu and
// silu fall before they rise, so of them it keeps the argument (`keeps_argument` in table.hpp).
#pragma once

#include "kernels/math.hpp"
#include "kernels/table.hpp"

namespace bptt::BPTT_ISA {

// log(1 + u) on [0, 1]: 2 atanh(s) with s = u / (2 + u) <= 1/3, by its series.
template <class T>
BPTT_INLINE Vec<T> log_of_one_plus(Vec<T> u) {
  constexpr int terms = sizeof(T) == 4 ? 8 : 17;
  const Vec<T> s = u / (2 + u);
  const Vec<T> square = s * s;
  Vec<T> sum = broadcast(T{1} / (2 * terms - 1));
  for (int k = terms - 1; k > 0; --k) sum = fma(sum, square, broadcast(T{1} / static_cast<T>(2 * k - 1)));
  return 2 * s * sum;
}

template <class T>
__attribute__((noinline)) Vec<T> other_activation(const ActivationChoice<T>& f, Vec<T> x) {
  const Vec<T> alpha = broadcast(f.alpha), beta = broadcast(f.beta);
  const Vec<T> zero{};
  switch (f.kind) {
    case Activation::relu:
      return select<T>(x < 0, zero, x);
    case Activation::affine:
      return fma(alpha, x, beta);
    case Activation::leaky_relu:
      return select<T>(x < 0, alpha * x, x);
    case Activation::thresholded_relu:
      return select<T>(x < alpha, zero, x);
    case Activation::scaled_tanh:
      return alpha * tanh<T>(beta * x);
    case Activation::hard_sigmoid: {
      const Vec<T> y = fma(alpha, x, beta);
      return select<T>(y < 0, zero, select<T>(y > 1, zero + 1, y));
    }
    case Activation::elu: {
      const Vec<T> half = tanh<T>(x * T{0.5});  // e^x - 1 = 2 t / (1 - t), which keeps its accuracy near 0
      return select<T>(x < 0, select<T>(x < -1, alpha * (exp<T>(x) - 1), alpha * (2 * half / (1 - half))), x);
    }
    case Activation::softsign:
      return x / (1 + absolute<T>(x));
    case Activation::softplus:
      return select<T>(x > 0, x, x * 0) + log_of_one_plus<T>(exp<T>(-absolute<T>(x)));
    case Activation::gelu:
      return gelu<T>(x);
    case Activation::silu:
      return silu<T>(x);
    default:  // linear
      return x;
  }
}

template <class T>
BPTT_INLINE Vec<T> activation(const ActivationChoice<T>& f, Vec<T> x) {
  if (f.kind == Activation::sigmoid) return sigmoid<T>(x);
  if (f.kind == Activation::tanh) return tanh<T>(x);
  return other_activation<T>(f, x);
}

// df/dx where f(x) = y. A NaN in y shows.
template <class T>
__attribute__((noinline)) Vec<T> other_slope(const ActivationChoice<T>& f, Vec<T> y) {
  const Vec<T> alpha = broadcast(f.alpha);
  const Vec<T> zero = y * 0;
  switch (f.kind) {
    case Activation::relu:
    case Activation::thresholded_relu:  // alpha >= 0
      return select<T>(y > 0, zero + 1, zero);
    case Activation::affine:
      return alpha + zero;
    case Activation::leaky_relu:
      return select<T>(y > 0, zero + 1, alpha + zero);
    case Activation::scaled_tanh:
      return f.beta * (alpha - y * y / alpha);
    case Activation::hard_sigmoid:
      return select<T>((y > 0) & (y < 1), alpha, zero);
    case Activation::elu:
      return select<T>(y > 0, zero + 1, y + alpha);
    case Activation::softsign: {
      const Vec<T> rest = 1 - absolute<T>(y);
      return rest * rest;
    }
    case Activation::softplus:
      return 1 - exp<T>(-y);
    default:
      return zero + 1;
  }
}

template <class T>
BPTT_INLINE Vec<T> slope(const ActivationChoice<T>& f, Vec<T> y) {
  if (f.kind == Activation::sigmoid) return y * (1 - y);
  if (f.kind == Activation::tanh) return 1 - y * y;
  return other_slope<T>(f, y);
}

// The same of an activation whose argument was bounded to +-limit: zero where y is what the bound gives. All functions
// whose results a tape keeps rise, or fall, throughout.
template <class T>
BPTT_INLINE Vec<T> bounded_slope(const ActivationChoice<T>& f, T limit, Vec<T> y) {
  const Vec<T> s = slope<T>(f, y);
  if (limit == __builtin_huge_val()) return s;
  const Vec<T> a = activation<T>(f, broadcast(-limit));
  const Vec<T> b = activation<T>(f, broadcast(limit));
  return select<T>((y > a) & (y < b), s, select<T>((y > b) & (y < a), s, y * 0));
}

template <class T>
BPTT_INLINE Vec<T> bounded(Vec<T> x, T limit) {
  if (limit == __builtin_huge_val()) return x;
  x = select<T>(x > limit, broadcast(limit), x);
  return select<T>(x < -limit, broadcast(-limit), x);
}

// df/dx of a function whose argument the tape keeps, as it was before the bound. A NaN in x shows.
template <class T>
__attribute__((noinline)) Vec<T> argument_slope(const ActivationChoice<T>& f, T limit, Vec<T> x) {
  const Vec<T> s = f.kind == Activation::gelu ? gelu_slope<T>(x) : silu_slope<T>(x);
  return select<T>(absolute<T>(x) >= limit, Vec<T>{}, s);
}

// What a tape keeps of y = f(bounded(x)).
template <class T>
BPTT_INLINE Vec<T> kept(const ActivationChoice<T>& f, Vec<T> x, Vec<T> y) {
  return keeps_argument(f.kind) ? x : y;
}

// y and dy/dx, from what the tape keeps.
template <class T>
BPTT_INLINE Vec<T> value_of(const ActivationChoice<T>& f, T limit, Vec<T> kept) {
  return keeps_argument(f.kind) ? other_activation<T>(f, bounded<T>(kept, limit)) : kept;
}
template <class T>
BPTT_INLINE Vec<T> slope_of(const ActivationChoice<T>& f, T limit, Vec<T> kept) {
  return keeps_argument(f.kind) ? argument_slope<T>(f, limit, kept) : bounded_slope<T>(f, limit, kept);
}

// An activation with the bound of its argument, for the variants of cells. All but the shortest slopes are calls, which
// keep the code small.
template <class T>
struct BoundedActivation {
  const ActivationChoice<T>& f;
  T limit;

  __attribute__((noinline)) Vec<T> operator()(Vec<T> x) const { return activation<T>(f, bounded<T>(x, limit)); }
  BPTT_INLINE Vec<T> slope(Vec<T> kept) const {
    if (f.kind == Activation::sigmoid && limit == __builtin_huge_val()) return kept * (1 - kept);
    if (f.kind == Activation::tanh && limit == __builtin_huge_val()) return 1 - kept * kept;
    return other_slope(kept);
  }
  BPTT_INLINE Vec<T> kept(Vec<T> x, Vec<T> y) const { return BPTT_ISA::kept<T>(f, x, y); }
  BPTT_INLINE Vec<T> value(Vec<T> kept) const { return value_of<T>(f, limit, kept); }

 private:
  __attribute__((noinline)) Vec<T> other_slope(Vec<T> kept) const { return slope_of<T>(f, limit, kept); }
};
template <class T>
BoundedActivation(const ActivationChoice<T>&, T) -> BoundedActivation<T>;

template <class Step>
BPTT_INLINE auto bounded_gate(const Step& s) {
  return BoundedActivation{s.options->gate, s.options->gate_clip};
}
template <class Step>
BPTT_INLINE auto bounded_candidate(const Step& s) {
  return BoundedActivation{s.options->candidate, s.options->gate_clip};
}
template <class Step>
BPTT_INLINE auto bounded_output(const Step& s) {
  return BoundedActivation{s.options->output, s.options->output_clip};
}

// f of n numbers.
template <class T>
void activate(Index n, const ActivationChoice<T>& f, T limit, const T* x, T* y) {
  for (Index i = 0; i < n; i += kLanes<T>) {
    const int lanes = static_cast<int>(n - i < kLanes<T> ? n - i : kLanes<T>);
    store_first<T>(y + i, activation<T>(f, bounded<T>(load_first<T>(x + i, lanes), limit)), lanes);
  }
}

}  // namespace bptt::BPTT_ISA

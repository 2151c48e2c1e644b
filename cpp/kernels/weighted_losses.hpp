// Losses with weights of rows or columns, and losses that are sums of one term per element.
//
// Unweighted cross-entropies are in losses.hpp: they need one logarithm for each row, or for many elements.
#pragma once

#include "kernels/losses.hpp"

namespace bptt::BPTT_ISA {

// A float64 sum of vectors of T: one sum for each lane, so that additions need not wait for one another.
template <class T>
class LaneSums {
 public:
  template <class Lanes>
  BPTT_INLINE void add(Vec<T> x, Lanes lanes) {
    for (int lane = 0; lane < lanes; ++lane) each_[lane] += static_cast<double>(x[lane]);
  }
  // In float64: a weight times a large number may leave the range of T.
  template <class Lanes>
  BPTT_INLINE void add_product(Vec<T> x, Vec<T> y, Lanes lanes) {
    for (int lane = 0; lane < lanes; ++lane) each_[lane] += static_cast<double>(x[lane]) * static_cast<double>(y[lane]);
  }
  BPTT_INLINE double total() {
    for (int half = kLanes<T> / 2; half > 0; half /= 2) {
      for (int lane = 0; lane < half; ++lane) each_[lane] += each_[lane + half];
    }
    return each_[0];
  }

 private:
  double each_[kLanes<T>] = {};
};

// log(1 + e) for e in [0, 1]: 2 atanh(e / (2 + e)), whose series has powers of at most 1/9.
template <class T>
BPTT_INLINE Vec<T> log_one_plus(Vec<T> e) {
  constexpr int terms = sizeof(T) == sizeof(float) ? 8 : 17;
  const Vec<T> s = e / (e + T{2});
  const Vec<T> square = s * s;
  Vec<T> series = broadcast(T{1} / T{2 * terms - 1});
  for (int k = terms - 2; k >= 0; --k) series = fma(series, square, broadcast(T{1} / static_cast<T>(2 * k + 1)));
  return (s + s) * series;
}

// The sum of column[c] (highest + log_sum - y[c]) over the classes c: what label smoothing adds to a row. `highest` is
// subtracted first: large logits then keep their digits.
template <class T>
BPTT_INLINE double smoothed_row(const LossRows<T>& args, const T* y, double highest, double log_sum) {
  constexpr Index chains = 8;
  double sums[chains] = {};
  const auto term = [&](Index c) {
    const double weight = args.column ? static_cast<double>(args.column[c]) : 1.0;
    return weight * (log_sum + (highest - static_cast<double>(y[c])));
  };
  Index c = 0;
  for (; c + chains <= args.columns; c += chains) {
    for (Index k = 0; k < chains; ++k) sums[k] += term(c + k);
  }
  for (; c < args.columns; ++c) sums[0] += term(c);
  double sum = 0;
  for (const double part : sums) sum += part;
  return sum;
}

template <class T>
BPTT_INLINE double sum_of_columns(const LossRows<T>& args) {
  if (!args.column) return static_cast<double>(args.columns);
  double sum = 0;
  for (Index c = 0; c < args.columns; ++c) sum += static_cast<double>(args.column[c]);
  return sum;
}

// (1 - s) w[label] l[label] + s / C sum_c w[c] l[c], with l = -log softmax(y), class weights w and smoothing s;
// dy = softmax(y) ((1 - s) w[label] + s / C sum_c w[c]) - (1 - s) w[label] onehot(label) - s / C w
template <class T>
double weighted_cross_entropy(const LossRows<T>& args) {
  const double each = args.parameter / static_cast<double>(args.columns);
  const double all = each * sum_of_columns(args);
  double total = 0;
  for (Index row = 0; row < args.rows; ++row) {
    const T* y = args.y + row * args.columns;
    T* dy = args.dy ? args.dy + row * args.columns : nullptr;
    if (args.mask && !args.mask[row]) {
      zero_row(dy, args.columns);
      continue;
    }
    const auto label = args.labels[row];
    const double weight = row_weight(args, row);
    const double own = (1 - args.parameter) * (args.column ? static_cast<double>(args.column[label]) : 1.0);
    const T max = highest_of(args.columns, y);
    const double sum = exponentials(args.columns, y, max, dy);
    const double log_sum = __builtin_log(sum);
    double value = own * (log_sum + (static_cast<double>(max) - static_cast<double>(y[label])));
    if (each > 0) value += each * smoothed_row(args, y, static_cast<double>(max), log_sum);
    total += weight * value;
    if (!dy) continue;
    const double scaled = args.scale * weight;
    const T factor = static_cast<T>(scaled * (own + all) / sum);
    const T less = static_cast<T>(scaled * each);
    for_each_vector<T>(args.columns, [&](Index i, auto lanes) {
      const Vec<T> columns = args.column ? load_first<T>(args.column + i, lanes) : broadcast(T{1});
      store_first<T>(dy + i, load_first<T>(dy + i, lanes) * factor - columns * less, lanes);
    });
    dy[label] -= static_cast<T>(scaled * own);
  }
  return total;
}

// -p target log s - (1 - target) log(1 - s), s = sigmoid(y), with the weight p of positive targets of each column;
// dy = s (1 - target + p target) - p target
template <class T>
double weighted_binary_cross_entropy(const LossRows<T>& args) {
  double total = 0;
  for (Index row = 0; row < args.rows; ++row) {
    const T* y = args.y + row * args.columns;
    const T* target = args.target + row * args.columns;
    T* dy = args.dy ? args.dy + row * args.columns : nullptr;
    if (args.mask && !args.mask[row]) {
      zero_row(dy, args.columns);
      continue;
    }
    const double weight = row_weight(args, row);
    const T factor = static_cast<T>(args.scale * weight);
    LaneSums<T> terms;
    for_each_vector<T>(args.columns, [&](Index i, auto lanes) {
      const Vec<T> logit = load_first<T>(y + i, lanes);
      const Vec<T> wanted = load_first<T>(target + i, lanes);
      const Vec<T> positive = (args.column ? load_first<T>(args.column + i, lanes) : broadcast(T{1})) * wanted;
      const Vec<T> negative = T{1} - wanted;
      const Vec<T> both = positive + negative;
      const Vec<T> e = exp<T>(-absolute<T>(logit));
      terms.add(both * log_one_plus<T>(e), lanes);
      terms.add_product(logit, select<T>(logit < 0, -positive, negative), lanes);
      if (dy) store_first<T>(dy + i, (sigmoid<T>(logit) * both - positive) * factor, lanes);
    });
    total += weight * terms.total();
  }
  return total;
}

// A term of a difference d = y - target, and its slope. Each rule is written once, for a vector of T and for a double.
template <class V>
struct Term {
  V value;
  V slope;
};

// |d|;   0 at d = 0, as in PyTorch
struct AbsoluteError {
  template <class T, class V>
  static BPTT_INLINE Term<V> of(V d, V, V) {
    const V zero{}, one = zero + T{1};
    const V slope = choose(d > zero, one, choose(d < zero, -one, d));  // a NaN stays
    return {choose(d < zero, -d, d), slope};
  }
};

// d^2 / 2 up to |d| = delta, and delta (|d| - delta / 2) beyond
struct Huber {
  template <class T, class V>
  static BPTT_INLINE Term<V> of(V d, V, V delta) {
    const V size = choose(d < V{}, -d, d);
    const V half = V{} + T(0.5);
    const V slope = choose(size > delta, choose(d < V{}, -delta, delta), d);
    return {choose(size > delta, delta * (size - half * delta), half * d * d), slope};
  }
};

// max(q e, (q - 1) e) with e = -d and the level q of the column
struct Quantile {
  template <class T, class V>
  static BPTT_INLINE Term<V> of(V d, V level, V) {
    const V slope = choose(d < V{}, -level, (V{} + T{1}) - level);
    return {slope * d, slope};
  }
};

// One row in float64, for differences of finite float32 values that leave the range of float32.
template <class Rule, class T>
__attribute__((noinline)) double terms_wide(const LossRows<T>& args, Index row, double factor) {
  double sum = 0;
  for (Index i = 0; i < args.columns; ++i) {
    const Index at = row * args.columns + i;
    const double difference = static_cast<double>(args.y[at]) - static_cast<double>(args.target[at]);
    const double level = args.column ? static_cast<double>(args.column[i]) : 0;
    const Term<double> term = Rule::template of<double>(difference, level, args.parameter);
    sum += term.value;
    if (args.dy) args.dy[at] = static_cast<T>(term.slope * factor);
  }
  return sum;
}

template <class T, class Rule>
double sum_of_terms(const LossRows<T>& args) {
  const Vec<T> parameter = broadcast(static_cast<T>(args.parameter));
  double total = 0;
  for (Index row = 0; row < args.rows; ++row) {
    const T* y = args.y + row * args.columns;
    const T* target = args.target + row * args.columns;
    T* dy = args.dy ? args.dy + row * args.columns : nullptr;
    if (args.mask && !args.mask[row]) {
      zero_row(dy, args.columns);
      continue;
    }
    const double weight = row_weight(args, row);
    const T factor = static_cast<T>(args.scale * weight);
    LaneSums<T> values;
    for_each_vector<T>(args.columns, [&](Index i, auto lanes) {
      const Vec<T> difference = load_first<T>(y + i, lanes) - load_first<T>(target + i, lanes);
      const Vec<T> level = args.column ? load_first<T>(args.column + i, lanes) : Vec<T>{};
      const Term<Vec<T>> term = Rule::template of<T>(difference, level, parameter);
      values.add(term.value, lanes);
      if (dy) store_first<T>(dy + i, term.slope * factor, lanes);
    });
    double sum = values.total();
    if constexpr (sizeof(T) < sizeof(double)) {
      if (__builtin_expect(!(sum - sum == 0), 0)) sum = terms_wide<Rule>(args, row, args.scale * weight);
    }
    total += weight * sum;
  }
  return total;
}

}  // namespace bptt::BPTT_ISA

// Losses on rows: a float64 sum over the unmasked rows, and the gradient times `scale`.
#pragma once

#include "kernels/vectors.hpp"

namespace bptt::BPTT_ISA {

template <class T>
BPTT_INLINE void zero_row(T* dy, Index columns) {
  if (dy) __builtin_memset(dy, 0, static_cast<std::size_t>(columns) * sizeof(T));
}

// The largest of n elements; a NaN among them may be passed over, and shows in the sum.
template <class T>
BPTT_INLINE T highest_of(Index n, const T* y) {
  T highest = y[0];
  Index i = 0;
  if (n >= kLanes<T>) {
    Vec<T> lanes = load(y);
    for (i = kLanes<T>; i + kLanes<T> <= n; i += kLanes<T>) {
      const Vec<T> v = load(y + i);
      lanes = select<T>(v > lanes, v, lanes);
    }
    T each[kLanes<T>];
    store(each, lanes);
    for (const T value : each) highest = value > highest ? value : highest;
  }
  for (; i < n; ++i) highest = y[i] > highest ? y[i] : highest;
  return highest;
}

// e = exp(y - max) into `out`, or nowhere; their sum.
template <class T>
BPTT_INLINE double exponentials(Index n, const T* y, T max, T* out) {
  Vec<T> sums{};
  for_each_vector<T>(n, [&](Index i, auto lanes) {
    Vec<T> e = exp<T>(load_first<T>(y + i, lanes) - max);
    if (out) store_first<T>(out + i, e, lanes);
    // Lanes past the end are of no element.
    if (lanes < kLanes<T>) e = keep_first<T>(e, lanes);
    sums = sums + e;
  });
  T each[kLanes<T>];
  store(each, sums);
  double sum = 0;
  for (const T value : each) sum += static_cast<double>(value);
  return sum;
}

// -log softmax(y)[label] = log sum exp(y - max) + max - y[label];   dy = softmax(y) - onehot(label)
template <class T>
double cross_entropy(const LossRows<T>& args) {
  double total = 0;
  for (Index row = 0; row < args.rows; ++row) {
    const T* y = args.y + row * args.columns;
    T* dy = args.dy ? args.dy + row * args.columns : nullptr;
    if (args.mask && !args.mask[row]) {
      zero_row(dy, args.columns);
      continue;
    }
    const T max = highest_of(args.columns, y);
    const double sum = exponentials(args.columns, y, max, dy);
    const auto label = args.labels[row];
    total += __builtin_log(sum) + (static_cast<double>(max) - static_cast<double>(y[label]));
    if (dy) {
      scale(args.columns, static_cast<T>(args.scale / sum), dy);
      dy[label] -= static_cast<T>(args.scale);
    }
  }
  return total;
}

template <class T>
__attribute__((noinline)) double squared_error_wide(Index columns, const T* y, const T* target, double scale, T* dy) {
  double sum = 0;
  for (Index i = 0; i < columns; ++i) {
    const double difference = static_cast<double>(y[i]) - static_cast<double>(target[i]);
    sum += difference * difference;
    if (dy) dy[i] = static_cast<T>(difference * (2 * scale));
  }
  return sum;
}

// (y - target)^2;   dy = 2 (y - target)
template <class T>
double squared_error(const LossRows<T>& args) {
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
    const T factor = static_cast<T>(2 * args.scale * weight);
    SquareSum squares;
    for_each_vector<T>(args.columns, [&](Index i, auto lanes) {
      const Vec<T> difference = load_first<T>(y + i, lanes) - load_first<T>(target + i, lanes);
      squares.add(difference);
      if (dy) store_first<T>(dy + i, difference * factor, lanes);
    });
    double sum = squares.total();
    if constexpr (sizeof(T) < sizeof(double)) {
      // A difference of finite values can leave T's range where neither its square in float64 nor dy does.
      if (__builtin_expect(!(sum - sum == 0), 0)) {
        sum = squared_error_wide(args.columns, y, target, args.scale * weight, dy);
      }
    }
    total += weight * sum;
  }
  return total;
}

// -target log s - (1 - target) log(1 - s), s = sigmoid(y), as max(y, 0) - y target + log(1 + e^-|y|);
// dy = s - target
template <class T>
double binary_cross_entropy(const LossRows<T>& args) {
  double total = 0;
  double product = 1;  // of (1 + e^-|y|), each at most 2: one logarithm for every 500 of them
  int factors = 0;
  for (Index row = 0; row < args.rows; ++row) {
    const T* y = args.y + row * args.columns;
    const T* target = args.target + row * args.columns;
    T* dy = args.dy ? args.dy + row * args.columns : nullptr;
    if (args.mask && !args.mask[row]) {
      zero_row(dy, args.columns);
      continue;
    }
    for_each_vector<T>(args.columns, [&](Index i, auto lanes) {
      const Vec<T> logit = load_first<T>(y + i, lanes);
      const Vec<T> wanted = load_first<T>(target + i, lanes);
      const Vec<T> e = exp<T>(-absolute<T>(logit));
      const Vec<T> linear = select<T>(logit < 0, Vec<T>{}, logit) - logit * wanted;
      for (int lane = 0; lane < lanes; ++lane) {
        total += static_cast<double>(linear[lane]);
        product *= 1 + static_cast<double>(e[lane]);
      }
      factors += lanes;
      if (factors > 500) {
        total += __builtin_log(product);
        product = 1;
        factors = 0;
      }
      if (dy) store_first<T>(dy + i, (sigmoid<T>(logit) - wanted) * static_cast<T>(args.scale), lanes);
    });
  }
  return total + __builtin_log(product);
}

}  // namespace bptt::BPTT_ISA

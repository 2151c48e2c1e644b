// Loops over the rows before and after a cell: masks, blending with the old state, layer norm.
#pragma once

#include "kernels/vectors.hpp"

namespace bptt::BPTT_ISA {

template <class T>
void blend(const Blend<T>& b) {
  for (Index row = 0; row < b.rows; ++row) {
    for_each_vector<T>(b.columns, [&](Index n, auto lanes) {
      const Vec<T> keep = b.keep ? load_first<T>(b.keep + row * b.columns + n, lanes) : broadcast(b.rate);
      const Vec<T> old = load_first<T>(b.old + row * b.old_row + n, lanes);
      const Vec<T> fresh = load_first<T>(b.fresh + row * b.fresh_row + n, lanes);
      store_first<T>(b.out + row * b.out_row + n, fma(keep, old, (1 - keep) * fresh), lanes);
    });
  }
}

template <class T>
void unblend(const Unblend<T>& b) {
  for_each_vector<T>(b.rows * b.columns, [&](Index n, auto lanes) {
    const Vec<T> keep = b.keep ? load_first<T>(b.keep + n, lanes) : broadcast(b.rate);
    const Vec<T> d = load_first<T>(b.d + n, lanes);
    store_first<T>(b.dold + n, keep * d, lanes);
    store_first<T>(b.d + n, (1 - keep) * d, lanes);
  });
}

template <class T>
void multiply(Index n, const T* x, const T* y, T* out) {
  for_each_vector<T>(n, [&](Index i, auto lanes) {
    store_first<T>(out + i, load_first<T>(x + i, lanes) * load_first<T>(y + i, lanes), lanes);
  });
}

// The mean of a row and 1 / sqrt(variance + epsilon), in the widest type: for a row whose squares leave the range of T.
struct WideMoments {
  Widest mean;
  Widest scale;
};
template <class T>
__attribute__((noinline, cold)) WideMoments wide_moments(const T* x, Index columns, T epsilon) {
  Widest sum = 0, squares = 0;
  for (Index n = 0; n < columns; ++n) sum += x[n];
  const Widest mean = sum / static_cast<Widest>(columns);
  for (Index n = 0; n < columns; ++n) squares += (x[n] - mean) * (x[n] - mean);
  return {mean, 1 / square_root(squares / static_cast<Widest>(columns) + static_cast<Widest>(epsilon))};
}

template <class T>
void normalise(const Normalise<T>& a) {
  const T per_column = T{1} / static_cast<T>(a.columns);
  for (Index row = 0; row < a.rows; ++row) {
    const T* x = a.x + row * a.x_row;
    T* hat = a.hat + row * a.hat_row;
    T* out = a.out + row * a.out_row;
    Vec<T> sum{};
    for_each_vector<T>(a.columns, [&](Index n, auto lanes) { sum = sum + load_first<T>(x + n, lanes); });
    T mean = sum_of_lanes<T>(sum) * per_column;
    Vec<T> squares{};
    const Index whole = a.columns / kLanes<T> * kLanes<T>;
    for (Index n = 0; n < whole; n += kLanes<T>) {
      const Vec<T> d = load(x + n) - mean;
      squares = fma(d, d, squares);
    }
    T rest = 0;
    for (Index n = whole; n < a.columns; ++n) rest += (x[n] - mean) * (x[n] - mean);
    const T variance = (sum_of_lanes<T>(squares) + rest) * per_column;
    T scale = T{1} / square_root(broadcast(variance + a.epsilon))[0];
    T kept_scale = scale;
    if (variance - variance != 0) {  // the variance is infinite or NaN
      const WideMoments moments = wide_moments(x, a.columns, a.epsilon);
      for (Index n = 0; n < a.columns; ++n) hat[n] = static_cast<T>((x[n] - moments.mean) * moments.scale);
      kept_scale = static_cast<T>(moments.scale);
      x = hat;
      mean = 0;
      scale = 1;
    }
    if (a.scale) a.scale[row * a.scale_row] = kept_scale;
    for_each_vector<T>(a.columns, [&](Index n, auto lanes) {
      const Vec<T> h = (load_first<T>(x + n, lanes) - mean) * scale;
      Vec<T> y = h * load_first<T>(a.gain + n, lanes);
      if (a.bias) y = y + load_first<T>(a.bias + n, lanes);
      if (a.add) y = y + load_first<T>(out + n, lanes);
      store_first<T>(hat + n, h, lanes);
      store_first<T>(out + n, y, lanes);
    });
  }
}

// One row of normalise_back in the widest type: for a row whose sums may leave the range of T where dx does not.
template <class T>
__attribute__((noinline, cold)) void normalise_back_wide(const NormaliseBack<T>& a, const T* dy, const T* hat, T scale,
                                                         T* dx) {
  const auto columns = static_cast<Widest>(a.columns);
  const auto dhat = [&](Index n) { return static_cast<Widest>(dy[n]) * a.gain[n]; };
  Widest sum = 0, product_sum = 0;
  for (Index n = 0; n < a.columns; ++n) {
    sum += dhat(n);
    product_sum += dhat(n) * hat[n];
  }
  for (Index n = 0; n < a.columns; ++n) {
    const Widest d = (dhat(n) - sum / columns - hat[n] * (product_sum / columns)) * scale;
    dx[n] = static_cast<T>(a.add ? d + dx[n] : d);
  }
}

// With dhat = gain dy: dx = scale (dhat - mean(dhat) - hat mean(dhat hat)).
template <class T>
void normalise_back(const NormaliseBack<T>& a) {
  const T per_column = T{1} / static_cast<T>(a.columns);
  // |hat| <= sqrt(columns): no term comes near the largest
  const T limit = Limits<T>::largest / static_cast<T>(8 * a.columns);
  for (Index row = 0; row < a.rows; ++row) {
    const T* dy = a.dy + row * a.dy_row;
    const T* hat = a.hat + row * a.hat_row;
    T* dgain = a.dgain + row * a.sums_row;
    T* dbias = a.dbias ? a.dbias + row * a.sums_row : nullptr;
    T* dx = a.dx + row * a.dx_row;
    Vec<T> sum{}, product_sum{};
    for_each_vector<T>(a.columns, [&](Index n, auto lanes) {
      const Vec<T> d = load_first<T>(dy + n, lanes);
      const Vec<T> h = load_first<T>(hat + n, lanes);
      const Vec<T> dhat = d * load_first<T>(a.gain + n, lanes);
      sum = sum + dhat;
      product_sum = fma(dhat, h, product_sum);
      store_first<T>(dgain + n, fma(d, h, load_first<T>(dgain + n, lanes)), lanes);
      if (dbias) store_first<T>(dbias + n, d + load_first<T>(dbias + n, lanes), lanes);
    });
    const T mean = sum_of_lanes<T>(sum) * per_column;
    const T slant = sum_of_lanes<T>(product_sum) * per_column;
    const T scale = a.scale[row * a.scale_row];
    if (!(mean >= -limit && mean <= limit && slant >= -limit && slant <= limit)) {
      normalise_back_wide(a, dy, hat, scale, dx);
      continue;
    }
    for_each_vector<T>(a.columns, [&](Index n, auto lanes) {
      const Vec<T> dhat = load_first<T>(dy + n, lanes) * load_first<T>(a.gain + n, lanes);
      Vec<T> d = (dhat - mean - load_first<T>(hat + n, lanes) * slant) * scale;
      if (a.add) d = d + load_first<T>(dx + n, lanes);
      store_first<T>(dx + n, d, lanes);
    });
  }
}

}  // namespace bptt::BPTT_ISA

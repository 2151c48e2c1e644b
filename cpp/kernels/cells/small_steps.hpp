// Many steps of a small layer in one call. Its weights stay in L1, and a step takes less time than the calls between
// the kernels for layers of any size. Rows are computed one after the other: the CPU starts with the next row or vector
// of units while it waits for the activations of this one. Every element is the same sum in the same order as in
// step.hpp.
#pragma once

#include "kernels/cells/small_arguments.hpp"
#include "kernels/math.hpp"
#include "kernels/product.hpp"

namespace bptt::BPTT_ISA {

// One row of one step. h_prev, h and c have whole vectors of units.
template <class T>
struct SmallRow {
  const T* x;
  const T* h_prev;
  T* h;
  T* c;
  T* y;

  // Loads of parts of h would wait for a masked store, and so h is stored in whole vectors.
  BPTT_INLINE void put(const SmallSteps<T>& s, Index v, Vec<T> result) const {
    const Index unit = v * kLanes<T>;
    store(h + unit, result);
    store_first<T>(y + unit, result, static_cast<int>(minimum(kLanes<T>, s.hidden - unit)));
  }
};

// sum[n] += sum over k of a[k] w[k, n], n in whole vectors of one row of weights.
template <class T, int N>
BPTT_INLINE void add_products(Vec<T> (&sum)[N], Index depth, const T* a, const T* w, Index w_row) {
  for (Index k = 0; k < depth; ++k, w += w_row) {
    const Vec<T> factor = broadcast(a[k]);
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) sum[n] = fma(factor, load(w + n * kLanes<T>), sum[n]);
  }
}

template <class T, int N>
BPTT_INLINE void load_all(Vec<T> (&sum)[N], const T* from) {
#pragma GCC unroll 4
  for (int n = 0; n < N; ++n) sum[n] = load(from + n * kLanes<T>);
}

// The gates of a vector of units lie side by side in a row of weights.
template <class T>
struct SmallLstm {
  static BPTT_INLINE void step(const SmallSteps<T>& s, const SmallRow<T>& row) {
    constexpr Index kRow = 4 * kLanes<T>;
    for (Index v = 0; v * kLanes<T> < s.hidden; ++v) {
      Vec<T> a[4];
      load_all(a, s.bias + v * kRow);
      add_products(a, s.input, row.x, s.w + v * kRow * s.input, kRow);
      add_products(a, s.hidden, row.h_prev, s.u + v * kRow * s.hidden, kRow);
      T* const c_at = row.c + v * kLanes<T>;
      const Vec<T> c = fma(sigmoid<T>(a[1]), load(c_at), sigmoid<T>(a[0]) * tanh<T>(a[2]));
      store(c_at, c);
      row.put(s, v, sigmoid<T>(a[3]) * tanh<T>(c));
    }
  }
};

template <class T>
struct SmallGru {
  static BPTT_INLINE void step(const SmallSteps<T>& s, const SmallRow<T>& row) {
    constexpr Index kRow = 3 * kLanes<T>;
    for (Index v = 0; v * kLanes<T> < s.hidden; ++v) {
      const T* const bias = s.bias + v * 4 * kLanes<T>;
      Vec<T> a[3];
      load_all(a, bias);
      add_products(a, s.input, row.x, s.w + v * kRow * s.input, kRow);
      const Vec<T> a_n = a[2];
      a[2] = load(bias + 3 * kLanes<T>);  // the recurrent side of n is a sum by itself
      add_products(a, s.hidden, row.h_prev, s.u + v * kRow * s.hidden, kRow);
      const Vec<T> z = sigmoid<T>(a[1]), n = tanh<T>(fma(sigmoid<T>(a[0]), a[2], a_n));
      row.put(s, v, fma(z, load(row.h_prev + v * kLanes<T>), (1 - z) * n));
    }
  }
};

// Each multiply-add of a sum waits for the one before. So four vectors of units are summed side by side.
template <class T>
struct SmallRnn {
  template <int N>
  static BPTT_INLINE void sum(const SmallSteps<T>& s, const SmallRow<T>& row, const Panel<T>& in, int v) {
    const Index w_row = in.vectors * kLanes<T>, first = in.first + v * kLanes<T>;
    Vec<T> a[N];
    load_all(a, s.bias + first);
    add_products(a, s.input, row.x, s.w + in.first * s.input + v * kLanes<T>, w_row);
    add_products(a, s.hidden, row.h_prev, s.u + in.first * s.hidden + v * kLanes<T>, w_row);
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) store(row.h + first + n * kLanes<T>, a[n]);
  }

  static BPTT_INLINE void step(const SmallSteps<T>& s, const SmallRow<T>& row) {
    for (Index p = 0; p * kPlainVectors * kLanes<T> < s.hidden; ++p) {
      const Panel<T> panel = panel_at<T>({s.hidden, s.hidden, 1}, p);
      if (panel.vectors == kPlainVectors) {
        sum<kPlainVectors>(s, row, panel, 0);
      } else {
        for (int v = 0; v < panel.vectors; ++v) sum<1>(s, row, panel, v);
      }
    }
    for (Index v = 0; v * kLanes<T> < s.hidden; ++v) {
      const Vec<T> a = load(row.h + v * kLanes<T>);
      row.put(s, v, s.relu ? select<T>(a < 0, Vec<T>{}, a) : tanh<T>(a));
    }
  }
};

// Copies between dense rows and rows of whole vectors.
template <class T, bool In>
__attribute__((noinline)) void copy_state(const SmallSteps<T>& s, T* dense, T* whole) {
  for (Index row = 0; row < s.rows; ++row, dense += s.hidden, whole += s.width) {
    for (Index unit = 0; unit < s.hidden; unit += kLanes<T>) {
      const int lanes = static_cast<int>(minimum(kLanes<T>, s.hidden - unit));
      if constexpr (In) {
        store(whole + unit, load_first<T>(dense + unit, lanes));
      } else {
        store_first<T>(dense + unit, load(whole + unit), lanes);
      }
    }
  }
}

template <class T, class Cell>
void small_steps(const SmallSteps<T>& s) {
  const Index size = s.rows * s.width;
  T* before = s.state;
  T* after = s.state + size;
  T* const c = s.state + 2 * size;
  copy_state<T, true>(s, s.h, before);
  if (s.c) copy_state<T, true>(s, s.c, c);
  SmallRow<T> row{s.x, nullptr, nullptr, nullptr, s.y};
  for (Index t = 0; t < s.steps; ++t) {
    for (Index at = 0; at < size; at += s.width, row.x += s.input, row.y += s.hidden) {
      row.h_prev = before + at;
      row.h = after + at;
      row.c = c + at;
      Cell::step(s, row);
    }
    T* const next = before;
    before = after;
    after = next;
  }
  copy_state<T, false>(s, s.h, before);
  if (s.c) copy_state<T, false>(s, s.c, c);
}

}  // namespace bptt::BPTT_ISA

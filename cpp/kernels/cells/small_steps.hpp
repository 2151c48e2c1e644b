// Many steps of a small layer in one call. Its weights stay in L1, and a step takes less time than the calls between
// the kernels for layers of any size. Rows are computed one after the other: the CPU starts with the next row or vector
// of units while it waits for the activations of this one. Every element is the same sum in the same order as in
// step.hpp. A form says how products read rows and weights.
#pragma once

#include "kernels/cells/small_arguments.hpp"
#include "kernels/math.hpp"
#include "kernels/product.hpp"

namespace bptt::BPTT_ISA {

// Numbers as they are.
template <class T>
struct SmallPlain {
  using Number = T;
  static constexpr int panels = 1;  // vectors of units whose sums run side by side
  static constexpr bool serves_rnn = true;

  using Left = const T*;  // a row, as products read it
  struct Place {};  // of a converted row
  static BPTT_INLINE Left convert(const T* row, Index, Place&) { return row; }

  // The rows of the weights as they are stored.
  static BPTT_INLINE Index stored(Index depth) { return depth; }

  // sum[p][n] += sum over k of a[k] w[k, n] of panel p, n in whole vectors of one row of weights.
  template <int P, int N>
  static BPTT_INLINE void add_products(Vec<T> (&sum)[P][N], Index depth, Left a, const T* w, Index w_row, Index) {
    static_assert(P == 1);
    for (Index k = 0; k < depth; ++k, w += w_row) {
      const Vec<T> factor = broadcast(a[k]);
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) sum[0][n] = fma(factor, load(w + n * kLanes<T>), sum[0][n]);
    }
  }
};

// One row of one step. h_prev, h and c have whole vectors of units.
template <class Form>
struct SmallRow {
  using T = typename Form::Number;

  typename Form::Left x_operand;
  typename Form::Left h_operand;
  const T* h_prev;
  T* h;
  T* c;
  T* y;
  bool last_first;

  // Loads of parts of h would wait for a masked store, and so h is stored in whole vectors.
  BPTT_INLINE void put(const SmallSteps<T>& s, Index v, Vec<T> result) const {
    const Index unit = v * kLanes<T>;
    store(h + unit, result);
    store_first<T>(y + unit, result, static_cast<int>(minimum(kLanes<T>, s.hidden - unit)));
  }

  // sum += W x and sum += U h.
  template <int P, int N>
  BPTT_INLINE void add_input(const SmallSteps<T>& s, Vec<T> (&sum)[P][N], const T* w, Index w_row) const {
    Form::add_products(sum, s.input, x_operand, w, w_row, w_row * Form::stored(s.input));
  }
  template <int P, int N>
  BPTT_INLINE void add_recurrent(const SmallSteps<T>& s, Vec<T> (&sum)[P][N], const T* u, Index u_row) const {
    Form::add_products(sum, s.hidden, h_operand, u, u_row, u_row * Form::stored(s.hidden));
  }
};

template <class T, int N>
BPTT_INLINE void load_all(Vec<T> (&sum)[N], const T* from) {
#pragma GCC unroll 4
  for (int n = 0; n < N; ++n) sum[n] = load(from + n * kLanes<T>);
}

// Calls Cell::units for all vectors of units, for as many at once as the form has panels.
template <class Cell, class Form>
BPTT_INLINE void for_each_units(const SmallSteps<typename Form::Number>& s, const SmallRow<Form>& row) {
  static_assert(Form::panels <= 2, "what is left is one vector");
  const Index vectors = s.width / kLanes<typename Form::Number>;
  const Index blocks = (vectors + Form::panels - 1) / Form::panels;
  for (Index i = 0; i < blocks; ++i) {
    const Index v = (row.last_first ? blocks - 1 - i : i) * Form::panels;
    if (Form::panels == 1 || v + Form::panels <= vectors) {
      Cell::template units<Form::panels>(s, row, v);
    } else {
      Cell::template units<1>(s, row, v);
    }
  }
}

// The gates of a vector of units lie side by side in a row of weights.
template <class Form>
struct SmallLstm {
  using T = typename Form::Number;
  static constexpr Index kRow = 4 * kLanes<T>;

  template <int P>
  static BPTT_INLINE void units(const SmallSteps<T>& s, const SmallRow<Form>& row, Index v) {
    Vec<T> a[P][4];
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) load_all<T>(a[p], s.bias + (v + p) * kRow);
    row.add_input(s, a, s.w + v * kRow * Form::stored(s.input), kRow);
    row.add_recurrent(s, a, s.u + v * kRow * Form::stored(s.hidden), kRow);
#pragma GCC unroll 1
    for (int p = 0; p < P; ++p) {
      T* const c_at = row.c + (v + p) * kLanes<T>;
      const Vec<T> c = fma(sigmoid<T>(a[p][1]), load(c_at), sigmoid<T>(a[p][0]) * tanh<T>(a[p][2]));
      store(c_at, c);
      row.put(s, v + p, sigmoid<T>(a[p][3]) * tanh<T>(c));
    }
  }

  static BPTT_INLINE void step(const SmallSteps<T>& s, const SmallRow<Form>& row) { for_each_units<SmallLstm>(s, row); }
};

template <class Form>
struct SmallGru {
  using T = typename Form::Number;
  static constexpr Index kRow = 3 * kLanes<T>;

  template <int P>
  static BPTT_INLINE void units(const SmallSteps<T>& s, const SmallRow<Form>& row, Index v) {
    const T* const bias = s.bias + v * 4 * kLanes<T>;
    Vec<T> a[P][3], a_n[P];
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) load_all<T>(a[p], bias + p * 4 * kLanes<T>);
    row.add_input(s, a, s.w + v * kRow * Form::stored(s.input), kRow);
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) {
      a_n[p] = a[p][2];
      a[p][2] = load(bias + (p * 4 + 3) * kLanes<T>);  // the recurrent side of n is a sum by itself
    }
    row.add_recurrent(s, a, s.u + v * kRow * Form::stored(s.hidden), kRow);
#pragma GCC unroll 1
    for (int p = 0; p < P; ++p) {
      const Vec<T> z = sigmoid<T>(a[p][1]), n = tanh<T>(fma(sigmoid<T>(a[p][0]), a[p][2], a_n[p]));
      row.put(s, v + p, fma(z, load(row.h_prev + (v + p) * kLanes<T>), (1 - z) * n));
    }
  }

  static BPTT_INLINE void step(const SmallSteps<T>& s, const SmallRow<Form>& row) { for_each_units<SmallGru>(s, row); }
};

// Each multiply-add of a sum waits for the one before. So four vectors of units are summed side by side.
template <class Form>
struct SmallRnn {
  using T = typename Form::Number;

  template <int N>
  static BPTT_INLINE void sum(const SmallSteps<T>& s, const SmallRow<Form>& row, const Panel<T>& in, int v) {
    const Index w_row = in.vectors * kLanes<T>, first = in.first + v * kLanes<T>;
    Vec<T> a[1][N];
    load_all<T>(a[0], s.bias + first);
    row.add_input(s, a, s.w + in.first * Form::stored(s.input) + v * kLanes<T>, w_row);
    row.add_recurrent(s, a, s.u + in.first * Form::stored(s.hidden) + v * kLanes<T>, w_row);
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) store(row.h + first + n * kLanes<T>, a[0][n]);
  }

  static BPTT_INLINE void step(const SmallSteps<T>& s, const SmallRow<Form>& row) {
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

template <template <class> class Cell, class Form>
void small_steps(const SmallSteps<typename Form::Number>& s) {
  using T = typename Form::Number;
  const Index size = s.rows * s.width;
  const bool in_place = s.hidden == s.width;
  T* before = in_place ? s.h : s.state;
  T* after = s.state + size;
  T* const c = in_place ? s.c : s.state + 2 * size;
  if (!in_place) {
    copy_state<T, true>(s, s.h, before);
    if (s.c) copy_state<T, true>(s, s.c, c);
  }
  typename Form::Place x_place, h_place;
  SmallRow<Form> row{};
  row.y = s.y;
  row.last_first = s.last_first;
  const T* x = s.x;
  for (Index t = 0; t < s.steps; ++t) {
    for (Index at = 0; at < size; at += s.width, x += s.input, row.y += s.hidden) {
      row.h_prev = before + at;
      row.h = after + at;
      row.c = c + at;
      row.x_operand = Form::convert(x, s.input, x_place);
      row.h_operand = Form::convert(row.h_prev, s.hidden, h_place);
      Cell<Form>::step(s, row);
    }
    T* const next = before;
    before = after;
    after = next;
    row.last_first = s.alternates && !row.last_first;
  }
  if (before != s.h) copy_state<T, false>(s, s.h, before);
  if (s.c && c != s.c) copy_state<T, false>(s, s.c, c);
}

template <class Form>
constexpr SmallKernels<typename Form::Number> small_kernels() {
  SmallKernels<typename Form::Number> k{};
  k.of_cell[static_cast<int>(Cell::lstm)] = small_steps<SmallLstm, Form>;
  k.of_cell[static_cast<int>(Cell::gru)] = small_steps<SmallGru, Form>;
  if constexpr (Form::serves_rnn) {
    k.of_cell[static_cast<int>(Cell::rnn_tanh)] = small_steps<SmallRnn, Form>;
    k.of_cell[static_cast<int>(Cell::rnn_relu)] = small_steps<SmallRnn, Form>;
  }
  return k;
}

}  // namespace bptt::BPTT_ISA

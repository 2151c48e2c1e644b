// The one inner loop of every matrix product: a tile of M rows by N vectors of the output, held in registers while
// k runs. Everything else is packing, and the order in which tiles are visited.
//
// With a transposed left operand the output is added to, from 0 on: these are sums over time. Otherwise it is set, from
// the initial values on.
#pragma once

#include "kernels/operands.hpp"
#include "kernels/table.hpp"

namespace bptt::BPTT_ISA {

// Vectors in a plain panel, and rows of a tile by vectors per panel: as many accumulators as leave registers for one
// row of weights and a broadcast. With 16 registers two vectors by six rows would do as well, but for one row, where it
// is the number of vectors that hides the latency of a multiply-add.
inline constexpr int kPlainVectors = 4;
inline constexpr int kMaxVectors = 4;
inline constexpr int kMaxRows = 12;
// Depth of a block: a panel block of 4 vectors stays in a 48 KiB L1 cache together with the tile's rows.
inline constexpr Index kDepthBlock = 128;

constexpr int tile_rows(int vectors) {
  if (kRegisters == 32) return vectors == 3 ? 8 : 6;
  return vectors <= 2 ? 6 : vectors == 3 ? 4 : 3;
}

// A transposed left operand has the rows of a tile side by side, so its tiles may be tall and narrow: a panel of two
// vectors is read so slowly that it may come from L2, and so be deep; the output, which is the large matrix there, is
// touched once for each block of depth.
inline constexpr int kTransposedVectors = 2;
inline constexpr int kTransposedRows = kRegisters == 32 ? 12 : 6;
inline constexpr Index kTransposedDepth = 1024;
// Its steps lie pages from each other, which no core prefetches by itself: the tile does, this many steps ahead.
inline constexpr Index kStepsAhead = 32;

// Large enough to have time for it: smaller tiles wait for the weights that they read themselves.
constexpr bool asks_ahead(int rows, int vectors, bool transposed) {
  return !transposed && 3 * rows > 2 * tile_rows(vectors) && vectors > 1;
}

template <class T>
struct Tile {
  Index depth;  // in groups, as the operands are stored
  const T* a;  // row r, depth k: a[r * a_row + k], or if transposed a[k * a_row + r], and so for each of `runs` runs
  Index a_row;
  Index runs;
  Index a_run;
  bool sets;  // if transposed: the output is set all the same
  const T* b;  // one panel, from its first k on
  const T* ahead;  // a vector for each k that the next block reads: prefetched in passing
  const T* init[kMaxVectors];  // all null: zero
  Index init_row;
  T* out[kMaxVectors];
  Index out_row;
  int valid[kMaxVectors];  // lanes of each vector that exist
};

template <class T, int M, int N, bool Transposed, class Operands>
void run_tile(const Tile<T>& t) {
  Vec<T> acc[M][N];
  int valid[N];
#pragma GCC unroll 4
  for (int v = 0; v < N; ++v) valid[v] = t.valid[v];
  const bool initialised = !Transposed && t.init[0];
#pragma GCC unroll 12
  for (int r = 0; r < M; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) {
      acc[r][v] = initialised ? load_first<T>(t.init[v] + r * t.init_row, valid[v]) : Vec<T>{};
    }
  }
  const T* b = t.b;
  const T* a[M];
#pragma GCC unroll 12
  for (int r = 0; r < M; ++r) a[r] = Transposed ? t.a + r : t.a + r * t.a_row;
  if constexpr (Transposed) {  // the output is far away: ask for it now, need it after the products
    for (int r = 0; r < M; ++r) __builtin_prefetch(t.out[0] + r * t.out_row, 1);
    if constexpr (N > 1) {
      for (int r = 0; r < M; ++r) __builtin_prefetch(t.out[N - 1] + r * t.out_row, 1);
    }
  }
  const auto multiply_run = [&]() __attribute__((always_inline)) {
    for (Index k = 0; k < t.depth; ++k) {
      Vec<T> w[N];
#pragma GCC unroll 4
      for (int v = 0; v < N; ++v) w[v] = load(b + v * kLanes<T>);
      if constexpr (asks_ahead(M, N, Transposed)) __builtin_prefetch(t.ahead + k * kLanes<T>);
      if constexpr (Transposed) __builtin_prefetch(a[0] + kStepsAhead * t.a_row + M - 1);
#pragma GCC unroll 12
      for (int r = 0; r < M; ++r) {
        const Vec<T> x = Operands::spread(Transposed ? a[0][r] : a[r][k]);
#pragma GCC unroll 4
        for (int v = 0; v < N; ++v) acc[r][v] = Operands::multiply_add(x, w[v], acc[r][v]);
      }
      b += N * kLanes<T>;
      if constexpr (Transposed) a[0] += t.a_row;
    }
  };
  if constexpr (Transposed) {
    for (Index run = 0; run < t.runs; ++run) {
      a[0] = t.a + run * t.a_run;
      multiply_run();
    }
  } else {
    multiply_run();
  }
#pragma GCC unroll 12
  for (int r = 0; r < M; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) {
      T* out = t.out[v] + r * t.out_row;
      if (Transposed && !t.sets) acc[r][v] = acc[r][v] + load_first<T>(out, valid[v]);
      store_first<T>(out, acc[r][v], valid[v]);
    }
  }
}

template <class T>
using TileFunction = void (*)(const Tile<T>&);

// Tiles of 1..tile_rows(N) rows, by the number of rows.
template <class T, int N, bool Transposed, class Operands>
struct TileRow {
  TileFunction<T> by_rows[kMaxRows + 1] = {};
  constexpr TileRow() { fill<1>(); }

 private:
  template <int M>
  constexpr void fill() {
    if constexpr (M <= (Transposed ? kTransposedRows : tile_rows(N))) {
      by_rows[M] = run_tile<T, M, N, Transposed, Operands>;
      fill<M + 1>();
    }
  }
};

template <class T, class Operands>
BPTT_INLINE const TileFunction<T>* tiles_of(int vectors) {
  static constexpr TileRow<T, 1, false, Operands> one;
  static constexpr TileRow<T, 2, false, Operands> two;
  static constexpr TileRow<T, 3, false, Operands> three;
  static constexpr TileRow<T, 4, false, Operands> four;
  switch (vectors) {
    case 1:
      return one.by_rows;
    case 2:
      return two.by_rows;
    case 3:
      return three.by_rows;
    default:
      return four.by_rows;
  }
}

template <class T, class Operands>
BPTT_INLINE const TileFunction<T>* transposed_tiles_of(int vectors) {
  static constexpr TileRow<T, 1, true, Operands> one;
  static constexpr TileRow<T, 2, true, Operands> two;
  static_assert(kTransposedVectors == 2);
  return vectors == 1 ? one.by_rows : two.by_rows;
}

// Cuts `rows` into tiles of nearly equal height, none above `most`, and calls visit(first row, height).
template <class Visit>
BPTT_INLINE void for_each_tile(Index rows, int most, Visit visit) {
  const Index tiles = (rows + most - 1) / most;
  Index row = 0;
  for (Index i = 0; i < tiles; ++i) {
    const Index height = rows / tiles + (i < rows % tiles ? 1 : 0);
    visit(row, static_cast<int>(height));
    row += height;
  }
}

}  // namespace bptt::BPTT_ISA

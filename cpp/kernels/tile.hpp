// The one inner loop of every matrix product: a tile of M rows by N vectors of the output, held in registers while
// k runs. Everything else is packing, and the order in which tiles are visited.
#pragma once

#include "kernels/table.hpp"
#include "kernels/vec.hpp"

namespace bptt::BPTT_ISA {

// Vectors in a plain panel, and rows of a tile by vectors per panel: as many accumulators as leave registers for
// one row of weights and a broadcast.
inline constexpr int kPlainVectors = kRegisters == 32 ? 4 : 2;
inline constexpr int kMaxVectors = 4;
inline constexpr int kMaxRows = 8;
// Depth of a block: a panel block of 4 vectors stays in a 48 KiB L1 cache beside the tile's rows.
inline constexpr Index kDepthBlock = 128;

constexpr int tile_rows(int vectors) {
  if (kRegisters == 32) return vectors == 3 ? 8 : 6;
  return vectors <= 2 ? 6 : vectors == 3 ? 4 : 3;
}

// Rows of a packed left operand, the same for every panel width it meets.
inline constexpr int kPackedRows = 6;

template <class T>
struct Tile {
  Index depth;
  const T* a;    // row r, depth k: a[r * a_row + k], or a[k * kPackedRows + r] if packed
  Index a_row;
  const T* b;    // one panel, from its first k on
  const T* init[kMaxVectors];  // all null: zero
  Index init_row;
  T* out[kMaxVectors];
  Index out_row;
  int valid[kMaxVectors];  // lanes of each vector that exist
  bool add;                // out += instead of out =
};

template <class T, int M, int N, bool PackedA>
void run_tile(const Tile<T>& t) {
  Vec<T> acc[M][N];
  int valid[N];
#pragma GCC unroll 4
  for (int v = 0; v < N; ++v) valid[v] = t.valid[v];
  const bool initialised = t.init[0] != nullptr;
#pragma GCC unroll 8
  for (int r = 0; r < M; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) {
      acc[r][v] = initialised ? load_first<T>(t.init[v] + r * t.init_row, valid[v]) : Vec<T>{};
    }
  }
  const T* b = t.b;
  const T* a[M];
#pragma GCC unroll 8
  for (int r = 0; r < M; ++r) a[r] = PackedA ? t.a + r : t.a + r * t.a_row;
  for (Index k = 0; k < t.depth; ++k) {
    Vec<T> w[N];
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) w[v] = load(b + v * kLanes<T>);
#pragma GCC unroll 8
    for (int r = 0; r < M; ++r) {
      const Vec<T> x = broadcast(PackedA ? a[0][k * kPackedRows + r] : a[r][k]);
#pragma GCC unroll 4
      for (int v = 0; v < N; ++v) acc[r][v] = fma(x, w[v], acc[r][v]);
    }
    b += N * kLanes<T>;
  }
#pragma GCC unroll 8
  for (int r = 0; r < M; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) {
      T* out = t.out[v] + r * t.out_row;
      if (t.add) acc[r][v] = acc[r][v] + load_first<T>(out, valid[v]);
      store_first<T>(out, acc[r][v], valid[v]);
    }
  }
}

template <class T>
using TileFunction = void (*)(const Tile<T>&);

// Tiles of 1..tile_rows(N) rows, by the number of rows.
template <class T, int N, bool PackedA>
struct TileRow {
  TileFunction<T> by_rows[kMaxRows + 1] = {};
  constexpr TileRow() { fill<1>(); }

 private:
  template <int M>
  constexpr void fill() {
    if constexpr (M <= (PackedA ? kPackedRows : tile_rows(N))) {
      by_rows[M] = run_tile<T, M, N, PackedA>;
      fill<M + 1>();
    }
  }
};

template <class T, bool PackedA>
BPTT_INLINE const TileFunction<T>* tiles_of(int vectors) {
  static constexpr TileRow<T, 1, PackedA> one;
  static constexpr TileRow<T, 2, PackedA> two;
  static constexpr TileRow<T, 3, PackedA> three;
  static constexpr TileRow<T, 4, PackedA> four;
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

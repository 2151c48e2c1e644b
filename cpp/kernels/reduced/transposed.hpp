// Sums over time of products with operands of fewer bits than float32: both operands are converted and packed here.
#pragma once

#include "kernels/reduced/products.hpp"

namespace bptt::BPTT_ISA {

inline constexpr Index kLeftColumns = 240;  // of the left operand at once: with kTransposedDepth rows a part of L3
inline constexpr Index kRightColumns = kTransposedVectors * kLanes<float>;
inline constexpr Index kTileGap = kLanes<float>;  // between the rows of two tiles: a vector is wider than a tile's row
inline constexpr Index kLeftElements =
    kLeftColumns * kTransposedDepth + (kLeftColumns / kTransposedRows + 1) * kTileGap;
inline constexpr Index kReducedScratch = kLeftElements + kTransposedDepth * kRightColumns;

// Runs of rows of one operand, from one column on.
struct OperandRuns {
  Index runs;
  Index depth;
  const float* data;
  Index row;
  Index run;
};

// Calls visit(number, load) for all groups of the runs. load(n, lanes) has some of their columns, converted.
template <class Operands, class Visit>
BPTT_INLINE void for_each_group(const OperandRuns& from, float padding, Visit visit) {
  constexpr int group = Operands::group;
  Index number = 0;
  for (Index run = 0; run < from.runs; ++run) {
    for (Index k = 0; k < from.depth; k += group, ++number) {
      const float* row = from.data + run * from.run + k * from.row;
      visit(number, [&](Index n, auto lanes) __attribute__((always_inline)) {
        Vec<float> rows[group];
        for (int j = 0; j < group; ++j) {
          __builtin_prefetch(row + (j + kStepsAhead) * from.row + n);  // rows lie pages from each other
          rows[j] = k + j < from.depth ? load_first<float>(row + j * from.row + n, lanes) : Vec<float>{} + padding;
        }
        return Operands::join(rows);
      });
    }
  }
}

// `columns` of the right operand.
template <class Operands>
__attribute__((noinline)) void pack_right(const OperandRuns& from, Index columns, float* to, Index width) {
  for_each_group<Operands>(from, 0, [&](Index number, auto load_columns) __attribute__((always_inline)) {
    for (Index n = 0; n < columns; n += kLanes<float>) {
      const int valid = static_cast<int>(minimum(kLanes<float>, columns - n));
      with_lanes<float>(valid, [&](auto lanes) { store(to + number * width + n, load_columns(n, lanes)); });
    }
  });
}

// `columns` of the left operand, tile by tile, so that each tile reads its rows from front to back. A row of a tile
// takes kTransposedRows elements, and `distance` is from one tile to the next. Vectors that are wider write into the
// next row, which comes later.
template <class Operands>
__attribute__((noinline)) void pack_left(const OperandRuns& from, Index columns, float* to, Index distance) {
  for_each_group<Operands>(
      from, Operands::padding, [&](Index number, auto load_columns) __attribute__((always_inline)) {
        float* tile = to + number * kTransposedRows;
        for_each_tile(columns, kTransposedRows, [&](Index first, int height) {
          for (Index n = 0; n < height; n += kLanes<float>) {
            const int valid = static_cast<int>(minimum(kLanes<float>, columns - first - n));
            with_lanes<float>(valid, [&](auto lanes) { store(tile + n, load_columns(first + n, lanes)); });
          }
          tile += distance;
        });
      });
}

// One block of k, whole runs or a part of one.
template <class Operands>
BPTT_INLINE void reduced_multiply_block(const TransposedProduct<float>& args) {
  float* const left = args.scratch;
  float* const right = left + kLeftElements;
  const OperandRuns a{args.runs, args.depth, args.a, args.a_row, args.a_run};
  const OperandRuns b{args.runs, args.depth, args.b, args.b_row, args.b_run};
  Tile<float> t{};
  t.depth = args.runs * ((args.depth + Operands::group - 1) / Operands::group);
  t.a_row = kTransposedRows;
  t.runs = 1;
  t.sets = args.sets;
  t.b = right;
  t.out_row = args.out_row;
  const Index distance = t.depth * kTransposedRows + kTileGap;
  for (Index m = args.m_begin; m < args.m_end; m += kLeftColumns) {
    const Index columns = minimum(kLeftColumns, args.m_end - m);
    OperandRuns part = a;
    part.data += m;
    pack_left<Operands>(part, columns, left, distance);
    for (Index n = 0; n < args.columns; n += kRightColumns) {
      const int vectors = n + kLanes<float> < args.columns ? kTransposedVectors : 1;
      for (int v = 0; v < vectors; ++v) {
        t.valid[v] = static_cast<int>(minimum(kLanes<float>, args.columns - n - v * kLanes<float>));
      }
      OperandRuns some = b;
      some.data += n;
      pack_right<Operands>(some, minimum(kRightColumns, args.columns - n), right, vectors * kLanes<float>);
      const TileFunction<float>* tiles = transposed_tiles_of<float, typename Operands::Tiles>(vectors);
      t.a = left;
      for_each_tile(columns, kTransposedRows, [&](Index row, int height) {
        for (int v = 0; v < vectors; ++v) t.out[v] = args.out + (m + row) * args.out_row + n + v * kLanes<float>;
        tiles[height](t);
        t.a += distance;
      });
    }
  }
}

template <class Operands>
void reduced_transposed_product(const TransposedProduct<float>& args) {
  const Index most_runs = maximum(1, kTransposedDepth / maximum(1, args.depth));
  for (Index run = 0; run < args.runs; run += most_runs) {
    for (Index k = 0; k < args.depth; k += kTransposedDepth) {
      TransposedProduct<float> block = args;
      block.runs = minimum(most_runs, args.runs - run);
      block.depth = minimum(kTransposedDepth, args.depth - k);
      block.a = args.a + run * args.a_run + k * args.a_row;
      block.b = args.b + run * args.b_run + k * args.b_row;
      block.sets = args.sets && run == 0 && k == 0;
      reduced_multiply_block<Operands>(block);
    }
  }
}

}  // namespace bptt::BPTT_ISA

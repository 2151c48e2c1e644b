// Sums over time of products with operands of fewer bits than float32: both operands are converted and packed here.
#pragma once

#include "kernels/reduced/products.hpp"

namespace bptt::BPTT_ISA {

inline constexpr Index kLeftColumns = 192;  // of the left operand at once: with kTransposedDepth rows a part of L2
inline constexpr Index kRightColumns = kTransposedVectors * kLanes<float>;
inline constexpr Index kReducedScratch = kTransposedDepth * (kLeftColumns + kRightColumns);

// Runs of rows of one operand, from one column on.
struct OperandRuns {
  Index runs;
  Index depth;
  const float* data;
  Index row;
  Index run;
};

// `columns` of these rows, converted: groups of all runs one after the other, `width` elements each.
template <class Operands>
__attribute__((noinline)) void pack_groups(const OperandRuns& from, Index columns, float padding, float* to,
                                           Index width) {
  constexpr int group = Operands::group;
  for (Index run = 0; run < from.runs; ++run) {
    for (Index k = 0; k < from.depth; k += group, to += width) {
      const float* row = from.data + run * from.run + k * from.row;
      for (Index n = 0; n < columns; n += kLanes<float>) {
        const int lanes = static_cast<int>(minimum(kLanes<float>, columns - n));
        Vec<float> rows[group];
        for (int j = 0; j < group; ++j) {
          rows[j] = k + j < from.depth ? load_first<float>(row + j * from.row + n, lanes) : Vec<float>{} + padding;
        }
        store(to + n, Operands::join(rows));
      }
    }
  }
}

// One block of k, whole runs or a part of one.
template <class Operands>
BPTT_INLINE void reduced_multiply_block(const TransposedProduct<float>& args) {
  float* const left = args.scratch;
  float* const right = left + kTransposedDepth * kLeftColumns;
  const OperandRuns a{args.runs, args.depth, args.a, args.a_row, args.a_run};
  const OperandRuns b{args.runs, args.depth, args.b, args.b_row, args.b_run};
  Tile<float> t{};
  t.depth = args.runs * ((args.depth + Operands::group - 1) / Operands::group);
  t.a_row = kLeftColumns;
  t.runs = 1;
  t.sets = args.sets;
  t.b = right;
  t.out_row = args.out_row;
  for (Index m = args.m_begin; m < args.m_end; m += kLeftColumns) {
    const Index columns = minimum(kLeftColumns, args.m_end - m);
    OperandRuns part = a;
    part.data += m;
    pack_groups<Operands>(part, columns, Operands::padding, left, kLeftColumns);
    for (Index n = 0; n < args.columns; n += kRightColumns) {
      const int vectors = n + kLanes<float> < args.columns ? kTransposedVectors : 1;
      for (int v = 0; v < vectors; ++v) {
        t.valid[v] = static_cast<int>(minimum(kLanes<float>, args.columns - n - v * kLanes<float>));
      }
      OperandRuns some = b;
      some.data += n;
      pack_groups<Operands>(some, minimum(kRightColumns, args.columns - n), 0, right, vectors * kLanes<float>);
      const TileFunction<float>* tiles = transposed_tiles_of<float, typename Operands::Tiles>(vectors);
      for_each_tile(columns, kTransposedRows, [&](Index row, int height) {
        t.a = left + row;
        for (int v = 0; v < vectors; ++v) t.out[v] = args.out + (m + row) * args.out_row + n + v * kLanes<float>;
        tiles[height](t);
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

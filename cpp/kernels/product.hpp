// Packing and the matrix products that are parallel in time: projections, input gradients, weight gradients.
#pragma once

#include "kernels/tile.hpp"
#include "kernels/transpose.hpp"

namespace bptt::BPTT_ISA {

BPTT_INLINE Index minimum(Index a, Index b) { return a < b ? a : b; }
BPTT_INLINE Index maximum(Index a, Index b) { return a > b ? a : b; }

// The block of the left operand of a large product: a quarter of L2, and at least kLeastRows rows, because the weights
// are read once per block.
inline constexpr Index kRowsBytes = 256 << 10;
inline constexpr Index kLeastRows = 32;

// One panel: `vectors` vectors a row of weights, of which vector v covers columns [column(v), column(v) + valid(v)).
template <class T>
struct Panel {
  int vectors;
  Index offset;       // in the packed array
  Index first;        // the first column (plain) or unit (gated)
  Index column_step;  // from one vector to the next
  Index unit_step;    // likewise: 0 if all vectors are of the same units
  Index units;

  BPTT_INLINE Index column(int v) const { return first + v * column_step; }
  BPTT_INLINE int valid(int v) const { return static_cast<int>(minimum(kLanes<T>, units - first - v * unit_step)); }
};

template <class T>
BPTT_INLINE Index panel_width(Index gates) {  // units
  return gates == 1 ? kPlainVectors * kLanes<T> : kLanes<T>;
}

template <class T>
Index panel_count(PanelShape s) {
  const Index width = panel_width<T>(s.gates);
  return (s.units + width - 1) / width;
}

template <class T>
BPTT_INLINE Panel<T> panel_at(PanelShape s, Index p) {
  if (s.gates == 1) {
    const Index first = p * kPlainVectors * kLanes<T>;
    const Index left = (s.units - first + kLanes<T> - 1) / kLanes<T>;
    return {static_cast<int>(minimum(kPlainVectors, left)), first * s.depth, first, kLanes<T>, kLanes<T>, s.units};
  }
  const Index first = p * kLanes<T>;
  return {static_cast<int>(s.gates), first * s.gates * s.depth, first, s.units, 0, s.units};
}

template <class T>
Index packed_size(PanelShape s) {
  const Index vectors = (s.units + kLanes<T> - 1) / kLanes<T>;
  return vectors * kLanes<T> * s.gates * s.depth;
}

// The shape that a matrix has as it is stored.
template <class Operands>
BPTT_INLINE PanelShape in_groups(PanelShape s) {
  s.depth = (s.depth + Operands::group - 1) / Operands::group;
  return s;
}

// Panels whose source has its rows as rows: copied, some rows of all panels at a time, so that the source is read
// along its rows.
template <class T, class Operands>
BPTT_INLINE void pack_rows(const PackPanels<T>& args) {
  constexpr Index kRowsAtATime = 16;
  constexpr int group = Operands::group;
  const Index depth = args.shape.depth;
  const PanelShape stored = in_groups<Operands>(args.shape);
  for (Index first = 0; first < stored.depth; first += kRowsAtATime) {
    const Index last = minimum(first + kRowsAtATime, stored.depth);
    for (Index p = args.panel_begin; p < args.panel_end; ++p) {
      const Panel<T> panel = panel_at<T>(stored, p);
      const Index width = panel.vectors * kLanes<T>;
      for (int v = 0; v < panel.vectors; ++v) {
        with_lanes<T>(panel.valid(v), [&](auto n) {
          const T* column = args.source + panel.column(v) * args.n_stride;
          T* to = args.packed + panel.offset + v * kLanes<T>;
          for (Index at = first; at < last; ++at) {
            Vec<T> rows[group]{};
            for (int j = 0; j < group && at * group + j < depth; ++j) {
              const Index k = at * group + j + args.rotate;
              rows[j] = load_first<T>(column + (k < depth ? k : k - depth) * args.k_stride, n);
            }
            store(to + at * width, Operands::join(rows));
          }
        });
      }
    }
  }
}

// A panel whose source has its columns as rows: squares of it are turned in registers.
template <class T, class Operands>
BPTT_INLINE void pack_columns(const PackPanels<T>& args, const Panel<T>& panel) {
  constexpr Index kAcross = kLanes<T> * Operands::group;
  constexpr Index kAhead = 2 * kAcross;  // as many rows at once are more than a CPU follows by itself
  const Index depth = args.shape.depth;
  const Index row = panel.vectors * kLanes<T>;
  for (int v = 0; v < panel.vectors; ++v) {
    const T* column = args.source + panel.column(v) * args.n_stride;
    T* to = args.packed + panel.offset + v * kLanes<T>;
    const int valid = panel.valid(v);
    for (Index k = 0; k < depth; k += kAcross) {
      const int steps = static_cast<int>(minimum(kAcross, depth - k));
      Vec<T> square[kLanes<T>];
      for (int lane = 0; lane < kLanes<T>; ++lane) {
        const T* from = column + lane * args.n_stride + k;
        __builtin_prefetch(from + kAhead);
        square[lane] = lane < valid ? Operands::along(from, steps) : Vec<T>{};
      }
      transpose<T>(square);
      const Index first = k / Operands::group;
      for (int j = 0; j * Operands::group < steps; ++j) store(to + (first + j) * row, square[j]);
    }
  }
}

template <class T, class Operands>
void pack(const PackPanels<T>& args) {
  if (args.k_stride != 1 || args.rotate != 0) {
    pack_rows<T, Operands>(args);
    return;
  }
  const PanelShape stored = in_groups<Operands>(args.shape);
  for (Index p = args.panel_begin; p < args.panel_end; ++p) pack_columns<T, Operands>(args, panel_at<T>(stored, p));
}

// Where the vectors of a panel's output lie; row r of vector v at out[v] + r * out_row.
template <class T>
struct PanelOutput {
  const T* init[kMaxVectors];  // null: zero
  Index init_row;
  T* out[kMaxVectors];
  Index out_row;
};

// The size of equal parts of a whole, about `part` and at most a quarter more: a short one at the end would cost its
// tiles as many loads and stores as the others.
BPTT_INLINE Index even_part(Index whole, Index part) {
  const Index most = part + part / 4;
  const Index parts = (whole + most - 1) / most;
  return parts > 1 ? (whole + parts - 1) / parts : whole;
}

// The columns of one panel, all rows. The panel's block of depth stays in L1 while the rows pass, and the first tiles
// ask for the block after it: weights that come from past L2 would otherwise be waited for. `after` is the panel that
// follows.
template <class T>
struct PanelInput {
  Index rows;
  Index depth;  // in groups
  const T* a;   // (rows, depth)
  Index a_row;
  const T* packed;
  const T* after;
};
template <class T, class Operands, int N>
BPTT_INLINE void multiply_vectors_inline(const Panel<T>& panel, const PanelInput<T>& in, const PanelOutput<T>& io) {
  const Index depth = in.depth;
  const TileFunction<T>* tiles = tiles_of<T, Operands>(N);
  const Index block = even_part(depth, kDepthBlock);
  Index k = 0;
  do {  // once even if depth is 0: the output is then init
    const bool first = k == 0;
    Tile<T> t;
    t.depth = minimum(block, depth - k);
    t.a_row = in.a_row;
    t.b = in.packed + panel.offset + k * N * kLanes<T>;
    t.init_row = first ? io.init_row : io.out_row;
    t.out_row = io.out_row;
    for (int v = 0; v < N; ++v) t.valid[v] = panel.valid(v);
    const T* next = k + t.depth < depth ? t.b + t.depth * N * kLanes<T> : in.after;
    int prefetched = 0;
    for_each_tile(in.rows, tile_rows(N), [&](Index row, int height) {
      t.a = in.a + row * in.a_row + k;
      t.ahead = prefetched < N ? next + prefetched * t.depth * kLanes<T> : t.b;
      ++prefetched;
      for (int v = 0; v < N; ++v) {
        t.out[v] = io.out[v] + row * io.out_row;
        t.init[v] = !first ? t.out[v] : io.init[v] ? io.init[v] + row * io.init_row : nullptr;
      }
      tiles[height](t);
    });
    k += t.depth;
  } while (k < depth);
}

template <class T, class Operands, int N>
__attribute__((noinline)) void multiply_vectors(const Panel<T>& panel, const PanelInput<T>& in,
                                                const PanelOutput<T>& io) {
  multiply_vectors_inline<T, Operands, N>(panel, in, io);
}

// The same of as many vectors as the panel has. A call for each number of them, with loops of this length.
template <class T, class Operands = PlainOperands<T>>
BPTT_INLINE void multiply_panel(const Panel<T>& panel, const PanelInput<T>& in, const PanelOutput<T>& io) {
  static_assert(kMaxVectors == 4);
  switch (panel.vectors) {
    case 1:
      return multiply_vectors<T, Operands, 1>(panel, in, io);
    case 2:
      return multiply_vectors<T, Operands, 2>(panel, in, io);
    case 3:
      return multiply_vectors<T, Operands, 3>(panel, in, io);
    default:
      return multiply_vectors<T, Operands, 4>(panel, in, io);
  }
}

// Rows of a large product go by in blocks that stay in L2 while all panels pass.
template <class T>
void product(const Product<T>& args) {
  const Index in_cache = kRowsBytes / (maximum(args.shape.depth, 1) * static_cast<Index>(sizeof(T)));
  const Index block = even_part(args.rows, maximum(in_cache, kLeastRows));
  for (Index row = 0; row < args.rows; row += block) {
    const Index rows = minimum(block, args.rows - row);
    for (Index p = args.panel_begin; p < args.panel_end; ++p) {
      const Panel<T> panel = panel_at<T>(args.shape, p);
      const Panel<T> after = panel_at<T>(args.shape, p + 1 < args.panel_end ? p + 1 : args.panel_begin);
      PanelOutput<T> io{};
      io.init_row = args.init_row;
      io.out_row = args.out_row;
      for (int v = 0; v < panel.vectors; ++v) {
        io.out[v] = args.out + row * args.out_row + panel.column(v);
        io.init[v] = args.init ? args.init + row * args.init_row + panel.column(v) : nullptr;
      }
      multiply_panel(
          panel, {rows, args.shape.depth, args.a + row * args.a_row, args.a_row, args.b, args.b + after.offset}, io);
    }
  }
}

// The block of the left operand of a transposed product, which is read again for every few columns of the output: the
// part of a shared L3 that one core can expect.
inline constexpr Index kLeftBytes = 2 << 20;

template <class T>
inline constexpr Index kTransposedScratch = kTransposedDepth * kTransposedVectors * kLanes<T>;

// One block of k, whole runs or a part of one.
template <class T>
BPTT_INLINE void multiply_block(const TransposedProduct<T>& args) {
  T* right = args.scratch;
  for (Index n = 0; n < args.columns; n += kTransposedVectors * kLanes<T>) {
    const int vectors = n + kLanes<T> < args.columns ? kTransposedVectors : 1;
    Tile<T> t{};
    t.depth = args.depth;
    t.a_row = args.a_row;
    t.runs = args.runs;
    t.a_run = args.a_run;
    t.sets = args.sets;
    t.b = right;
    t.out_row = args.out_row;
    for (int v = 0; v < vectors; ++v) {
      t.valid[v] = static_cast<int>(minimum(kLanes<T>, args.columns - n - v * kLanes<T>));
    }
    T* to = right;
    for (Index run = 0; run < args.runs; ++run) {
      for (Index k = 0; k < args.depth; ++k) {
        const T* from = args.b + run * args.b_run + k * args.b_row + n;
        for (int v = 0; v < vectors; ++v) {
          store(to, load_first<T>(from + v * kLanes<T>, t.valid[v]));
          to += kLanes<T>;
        }
      }
    }
    const TileFunction<T>* tiles = transposed_tiles_of<T, PlainOperands<T>>(vectors);
    for_each_tile(args.m_end - args.m_begin, kTransposedRows, [&](Index row, int height) {
      const Index m = args.m_begin + row;
      t.a = args.a + m;
      for (int v = 0; v < vectors; ++v) t.out[v] = args.out + m * args.out_row + n + v * kLanes<T>;
      tiles[height](t);
    });
  }
}

template <class T>
void transposed_product(const TransposedProduct<T>& args) {
  const Index most_runs = maximum(1, kTransposedDepth / maximum(1, args.depth));
  const Index depth = minimum(kTransposedDepth, args.depth);
  const Index column_bytes = minimum(most_runs, args.runs) * depth * static_cast<Index>(sizeof(T));
  const Index rows = args.m_end - args.m_begin;
  const Index part = even_part(rows, maximum(kTransposedRows, kLeftBytes / maximum(1, column_bytes)));
  for (Index run = 0; run < args.runs; run += most_runs) {
    for (Index k = 0; k < args.depth; k += kTransposedDepth) {
      for (Index m = args.m_begin; m < args.m_end; m += part) {
        TransposedProduct<T> block = args;
        block.m_begin = m;
        block.m_end = minimum(m + part, args.m_end);
        block.runs = minimum(most_runs, args.runs - run);
        block.depth = minimum(kTransposedDepth, args.depth - k);
        block.a = args.a + run * args.a_run + k * args.a_row;
        block.b = args.b + run * args.b_run + k * args.b_row;
        block.sets = args.sets && run == 0 && k == 0;
        multiply_block(block);
      }
    }
  }
}

// N vectors of columns from n on, of the last of which `valid` lanes exist, at once: one sum alone waits for itself at
// every row.
template <class T, int N>
BPTT_INLINE void add_some_columns(const ColumnSums<T>& args, Index n, int valid) {
  Vec<T> sum[N]{};
  for (Index run = 0; run < args.runs; ++run) {
    const T* from = args.a + run * args.a_run + n;
    for (Index k = 0; k < args.depth; ++k, from += args.a_row) {
#pragma GCC unroll 4
      for (int v = 0; v < N; ++v) {
        const T* vector = from + v * kLanes<T>;
        sum[v] = sum[v] + (v + 1 < N ? load(vector) : load_first<T>(vector, valid));
      }
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < N; ++v) {
    const int lanes = v + 1 < N ? kLanes<T> : valid;
    const auto put = [&](T* out) {
      T* const to = out + n + v * kLanes<T>;
      store_first<T>(to, args.sets ? sum[v] : sum[v] + load_first<T>(to, lanes), lanes);
    };
    put(args.out);
    if (args.also) put(args.also);
  }
}

template <class T>
void add_columns(const ColumnSums<T>& args) {
  constexpr Index kAtOnce = 4 * kLanes<T>;
  for (Index n = 0; n < args.columns; n += kAtOnce) {
    const int left = static_cast<int>(minimum(kAtOnce, args.columns - n));
    const int valid = (left - 1) % kLanes<T> + 1;
    switch ((left - 1) / kLanes<T>) {
      case 0:
        add_some_columns<T, 1>(args, n, valid);
        break;
      case 1:
        add_some_columns<T, 2>(args, n, valid);
        break;
      case 2:
        add_some_columns<T, 3>(args, n, valid);
        break;
      default:
        add_some_columns<T, 4>(args, n, valid);
    }
  }
}

}  // namespace bptt::BPTT_ISA

// Products and fused steps with operands of fewer bits than float32. Weights are stored in this form. The left operand
// is converted here, a block of it at a time, which stays in L1 or L2 while the panels pass.
#pragma once

#include "kernels/product.hpp"

namespace bptt::BPTT_ISA {

inline constexpr Index kBlockElements = 8192;  // of an operand block: 32 KB, which also a small stack has
inline constexpr Index kBlockRows = 32;

// Some rows and groups of a left operand, converted.
struct OperandBlock {
  Index first;  // row
  Index rows;
  Index at;     // first group
  Index depth;  // in groups
  bool begins;  // from k = 0 on
  bool ends;    // with the last k
  const float* data;
  Index row;
};

// Rows of a left operand, converted.
template <class Operands>
__attribute__((noinline)) void convert_rows(Index rows, Index depth, const float* a, Index a_row, float* to,
                                            Index to_row) {
  constexpr Index kAcross = kLanes<float> * Operands::group;
  for (Index r = 0; r < rows; ++r) {
    for (Index k = 0; k < depth; k += kAcross) {
      const int some = static_cast<int>(minimum(kAcross, depth - k));
      store(to + r * to_row + k / Operands::group, Operands::left(a + r * a_row + k, some));
    }
  }
}

// Calls visit(block) for all blocks of `rows` rows, each time from the first k to the last.
template <class Operands, class Visit>
BPTT_INLINE void for_each_block(Index rows, Index depth, const float* a, Index a_row, Visit visit) {
  constexpr Index kStep = kLanes<float>;
  alignas(64) float data[kBlockElements];
  const Index groups = (depth + Operands::group - 1) / Operands::group;
  const Index most_rows = even_part(rows, kBlockRows);
  const Index deepest = kBlockElements / maximum(1, most_rows) / kStep * kStep;
  for (Index first = 0; first < rows; first += most_rows) {
    OperandBlock block{};
    block.first = first;
    block.rows = minimum(most_rows, rows - first);
    block.data = data;
    do {  // once even if depth is 0
      block.depth = minimum(deepest, groups - block.at);
      block.begins = block.at == 0;
      block.ends = block.at + block.depth == groups;
      block.row = (block.depth + kStep - 1) / kStep * kStep;
      const Index k_begin = block.at * Operands::group;
      const Index k_end = minimum(depth, k_begin + block.depth * Operands::group);
      convert_rows<Operands>(block.rows, k_end - k_begin, a + first * a_row + k_begin, a_row, data, block.row);
      visit(block);
      block.at += block.depth;
    } while (block.at < groups);
  }
}

// The part of one panel's product that belongs to a block. `shape` is that of the stored panels.
template <class Operands>
__attribute__((noinline)) void multiply_block_by_panel(const OperandBlock& block, const Panel<float>& panel,
                                                       const float* packed, const float* after,
                                                       const PanelOutput<float>& io) {
  const Index skipped = block.at * kLanes<float>;
  multiply_panel<float, typename Operands::Tiles>(
      panel, {block.rows, block.depth, block.data, block.row, packed + skipped * panel.vectors, after}, io);
}

// The same of one row and two panels of N vectors, whose sums run side by side: the sums of one panel alone would wait
// for one another.
template <class Tiles, int N>
__attribute__((noinline)) void multiply_row_by_panels(const OperandBlock& block, const Panel<float> (&panels)[2],
                                                      const float* packed, const PanelOutput<float> (&io)[2]) {
  const float* b[2];
  Vec<float> sum[2][N];
  for (int i = 0; i < 2; ++i) {
    b[i] = packed + panels[i].offset + block.at * kLanes<float> * N;
    for (int v = 0; v < N; ++v) {
      sum[i][v] = io[i].init[v] ? load_first<float>(io[i].init[v], panels[i].valid(v)) : Vec<float>{};
    }
  }
  for (Index k = 0; k < block.depth; ++k) {
    const Vec<float> x = Tiles::spread(block.data[k]);
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < N; ++v) {
        sum[i][v] = Tiles::multiply_add(x, load(b[i] + (k * N + v) * kLanes<float>), sum[i][v]);
      }
    }
  }
  for (int i = 0; i < 2; ++i) {
    for (int v = 0; v < N; ++v) store_first<float>(io[i].out[v], sum[i][v], panels[i].valid(v));
  }
}

struct PanelOrder {
  Index begin;
  Index end;
  bool last_first;

  BPTT_INLINE Index at(Index i) const { return last_first ? begin + end - 1 - i : i; }
};

// A block's part of the product with all panels of a range. output(panel) says where it goes, and done(number) is
// called after each panel. `shape` is that of the stored panels.
template <class Operands, class Output, class Done>
BPTT_INLINE void multiply_block(const OperandBlock& block, PanelShape shape, const PanelOrder& order,
                                const float* packed, Output output, Done done) {
  using Tiles = typename Operands::Tiles;
  for (Index i = order.begin; i < order.end; ++i) {
    const Index p = order.at(i);
    const Index next = order.at(i + 1 < order.end ? i + 1 : order.begin);
    const Panel<float> panel = panel_at<float>(shape, p), after = panel_at<float>(shape, next);
    if (Operands::pairs_panels && block.rows == 1 && i + 1 < order.end && panel.vectors == after.vectors) {
      const Panel<float> panels[2] = {panel, after};
      const PanelOutput<float> io[2] = {output(panel), output(after)};
      if (panel.vectors == 4) multiply_row_by_panels<Tiles, 4>(block, panels, packed, io);
      if (panel.vectors == 3) multiply_row_by_panels<Tiles, 3>(block, panels, packed, io);
      if (panel.vectors == 2) multiply_row_by_panels<Tiles, 2>(block, panels, packed, io);
      if (panel.vectors == 1) multiply_row_by_panels<Tiles, 1>(block, panels, packed, io);
      done(p);
      done(next);
      ++i;
      continue;
    }
    multiply_block_by_panel<Operands>(block, panel, packed, packed + after.offset, output(panel));
    done(p);
  }
}

template <class Operands>
Index reduced_packed_size(PanelShape s) {
  return packed_size<float>(in_groups<Operands>(s));
}

template <class Operands>
void reduced_product(const Product<float>& args) {
  const PanelOrder order{args.panel_begin, args.panel_end, false};
  for_each_block<Operands>(args.rows, args.shape.depth, args.a, args.a_row, [&](const OperandBlock& block) {
    const auto output = [&](const Panel<float>& panel) {
      PanelOutput<float> io{};
      io.init_row = block.begins ? args.init_row : args.out_row;
      io.out_row = args.out_row;
      for (int v = 0; v < panel.vectors; ++v) {
        io.out[v] = args.out + block.first * args.out_row + panel.column(v);
        io.init[v] = !block.begins ? io.out[v]
                     : args.init   ? args.init + block.first * args.init_row + panel.column(v)
                                   : nullptr;
      }
      return io;
    };
    multiply_block<Operands>(block, in_groups<Operands>(args.shape), order, args.b, output, [](Index) {});
  });
}

// The step of some of the rows.
BPTT_INLINE ForwardStep<float> rows_of(const ForwardStep<float>& step, Index first, Index rows) {
  ForwardStep<float> s = step;
  s.rows = rows;
  if (s.x) s.x += first * s.x_row;
  s.h_in += first * s.h_in_row;
  s.h_prev += first * s.h_prev_row;
  s.gates += first * s.gates_row;
  if (s.seen) s.seen += first * s.hidden;
  if (s.c) {
    s.c_prev += first * s.c_prev_row;
    s.c += first * s.c_row;
  }
  s.h += first * s.h_row;
  return s;
}

// The gates' part of the input: bias + W x.
template <class Operands>
BPTT_INLINE void project_step(const ForwardStep<float>& s, const StepForm& form) {
  const PanelShape shape = in_groups<Operands>(PanelShape{s.input, s.hidden, form.gates});
  const PanelOrder order{s.panel_begin, s.panel_end, s.last_first};
  for_each_block<Operands>(s.rows, s.input, s.x, s.x_row, [&](const OperandBlock& block) {
    const auto output = [&](const Panel<float>& panel) {
      PanelOutput<float> io{};
      io.init_row = block.begins ? 0 : s.gates_row;
      io.out_row = s.gates_row;
      for (int v = 0; v < panel.vectors; ++v) {
        io.out[v] = s.gates + block.first * s.gates_row + panel.column(v);
        io.init[v] = block.begins ? s.bias + panel.column(v) : io.out[v];
      }
      return io;
    };
    multiply_block<Operands>(block, shape, order, s.w, output, [](Index) {});
  });
}

// A forward step: its products, and for each panel that is complete the float32 step of a cell, whose gates then hold
// everything.
template <class Operands>
void reduced_forward(const ForwardStep<float>& s, const StepForm& form, void (*cell)(const ForwardStep<float>&)) {
  if (s.x) project_step<Operands>(s, form);
  if (!s.u) return cell(s);
  const PanelShape shape = in_groups<Operands>(PanelShape{s.output, s.hidden, form.gates});
  const PanelOrder order{s.panel_begin, s.panel_end, s.last_first};
  for_each_block<Operands>(s.rows, s.output, s.h_in, s.h_in_row, [&](const OperandBlock& block) {
    ForwardStep<float> part = rows_of(s, block.first, block.rows);
    part.x = part.u = nullptr;
    const auto output = [&](const Panel<float>& panel) {
      PanelOutput<float> io{};
      io.init_row = io.out_row = s.gates_row;
      for (int v = 0; v < panel.vectors; ++v) io.out[v] = part.gates + panel.column(v);
      if (form.has_hidden_bias) {  // the last gate's product goes behind the gates, and starts from its own bias
        float* const last = part.gates + form.gates * s.hidden + panel.first;
        io.out[form.gates - 1] = last;
        const int n = panel.valid(0);
        const Vec<float> bias = load_first<float>(s.hidden_bias + panel.first, n);
        for (Index r = 0; block.begins && r < block.rows; ++r) store_first<float>(last + r * s.gates_row, bias, n);
      }
      for (int v = 0; v < panel.vectors; ++v) io.init[v] = io.out[v];
      return io;
    };
    multiply_block<Operands>(block, shape, order, s.u, output, [&](Index p) {
      if (!block.ends) return;
      part.panel_begin = p;
      part.panel_end = p + 1;
      cell(part);
    });
  });
}

BPTT_INLINE BackwardStep<float> rows_of(const BackwardStep<float>& step, Index first, Index rows) {
  BackwardStep<float> s = step;
  const auto move = [first](auto*& at, Index row) {
    if (at) at += first * row;
  };
  s.rows = rows;
  move(s.dgates_next, s.dgates_row);
  move(s.dh, s.hidden);
  move(s.dy, s.dy_row);
  move(s.carry, s.hidden);
  move(s.gates, s.gates_row);
  move(s.dpeephole, s.dpeephole_row);
  move(s.seen, s.hidden);
  move(s.c_prev, s.c_prev_row);
  move(s.c, s.c_row);
  move(s.h_in, s.h_in_row);
  move(s.recurrent_mask, s.hidden);
  move(s.h_prev, s.h_prev_row);
  move(s.dgates, s.dgates_row);
  move(s.dh_squares, s.panels);
  move(s.dc_squares, s.panels);
  return s;
}

// A backward step: dL/dh, and for each panel that is complete the float32 step of a cell.
template <class Operands>
void reduced_backward(const BackwardStep<float>& s, const StepForm& form, void (*cell)(const BackwardStep<float>&)) {
  if (!s.dgates_next) return cell(s);
  const Index depth = s.hidden * form.gates;
  const PanelShape shape = in_groups<Operands>(PanelShape{depth, s.hidden, 1});
  const PanelOrder order{s.panel_begin, s.panel_end, s.last_first};
  const float* const dgates = s.dgates_next + form.recurrent_at * s.hidden;
  for_each_block<Operands>(s.rows, depth, dgates, s.dgates_row, [&](const OperandBlock& block) {
    BackwardStep<float> part = rows_of(s, block.first, block.rows);
    part.dgates_next = nullptr;
    const auto output = [&](const Panel<float>& panel) {
      PanelOutput<float> io{};
      io.init_row = io.out_row = s.hidden;
      for (int v = 0; v < panel.vectors; ++v) {
        io.out[v] = part.dh + panel.column(v);
        io.init[v] = block.begins ? nullptr : io.out[v];
      }
      return io;
    };
    multiply_block<Operands>(block, shape, order, s.u, output, [&](Index p) {
      if (!block.ends) return;
      part.panel_begin = p;
      part.panel_end = p + 1;
      cell(part);
    });
  });
}

}  // namespace bptt::BPTT_ISA

// Compiled once: what takes time here are the functions of an instruction set. The left operand is converted a block of
// rows at a time, which stays in L1 or L2 while the panels pass.
#include "kernels/reduced/steps.hpp"

#include <algorithm>
#include <cstring>

namespace bptt {
namespace {

constexpr Index kBlockElements = 8192;  // of a converted block: 32 KB, which also a small stack has
constexpr Index kBlockRows = 32;

Index quotient_up(Index a, Index b) { return (a + b - 1) / b; }

// A left operand (rows, depth).
struct LeftOperand {
  Index rows;
  Index depth;
  const float* data;
  Index row;
};

// Calls visit(block) for all blocks of rows, each time from the first k to the last.
template <class Visit>
void for_each_block(const ReducedKernels& kernels, const LeftOperand& a, Visit visit) {
  alignas(64) float data[kBlockElements];
  float scales[2 * kBlockRows];
  const Index lanes = kernels.lanes;
  const auto padded = [lanes](Index elements) { return std::max<Index>(1, quotient_up(elements, lanes)) * lanes; };
  const Index groups = quotient_up(a.depth, kernels.group);
  Index deepest = kernels.sum_depth / kernels.group;
  const Index most = deepest ? std::min(kBlockRows, kBlockElements / padded(std::min(groups, deepest))) : kBlockRows;
  const Index rows = quotient_up(a.rows, std::max<Index>(1, quotient_up(a.rows, most)));  // in equal parts
  if (!deepest) deepest = kBlockElements / std::max<Index>(1, rows) / lanes * lanes;
  OperandBlock block{};
  block.data = data;
  block.scales = scales;
  block.row = padded(std::min(groups, deepest));
  for (; block.first < a.rows; block.first += rows) {
    block.rows = std::min(rows, a.rows - block.first);
    Index group = 0;
    do {  // once even if depth is 0
      block.at = group * kernels.group;
      block.depth = std::min(deepest, groups - group);
      group += block.depth;
      block.ends = group == groups;
      kernels.convert(block, a.depth, a.data + block.first * a.row, a.row);
      visit(block);
    } while (group < groups);
  }
}

struct PanelOrder {
  Index begin;
  Index end;
  bool last_first;

  Index at(Index i) const { return last_first ? begin + end - 1 - i : i; }
};

// A block's part of the product with all panels of a range. done(number) is called after each panel.
template <class Done>
void multiply_block(const ReducedKernels& k, PanelProduct& p, const PanelOrder& order, Done done) {
  for (Index i = order.begin; i < order.end;) {
    p.panel = order.at(i);
    p.next_follows = i + 1 < order.end;
    p.next = order.at(p.next_follows ? i + 1 : order.begin);
    const int count = k.multiply(p);
    done(p.panel);
    if (count == 2) done(p.next);
    i += count;
  }
}

// Where a block starts from: `init` before the first k, and then its sums so far.
void place(PanelProduct& p, const OperandBlock& block, const float* init, Index init_row) {
  p.block = &block;
  p.out += block.first * p.out_row;
  p.init = block.at > 0 ? p.out : init ? init + block.first * init_row : nullptr;
  p.init_row = block.at > 0 ? p.out_row : init_row;
}

// The step of some of the rows.
ForwardStep<float> rows_of(const ForwardStep<float>& step, Index first, Index rows) {
  ForwardStep<float> s = step;
  s.rows = rows;
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

BackwardStep<float> rows_of(const BackwardStep<float>& step, Index first, Index rows) {
  BackwardStep<float> s = step;
  const auto move = [first](auto*& at, Index row) {
    if (at) at += first * row;
  };
  s.rows = rows;
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

// The gates' part of the input: bias + W x.
void project_step(const ReducedKernels& k, const ForwardStep<float>& s, const StepForm& form) {
  for_each_block(k, {s.rows, s.input, s.x, s.x_row}, [&](const OperandBlock& block) {
    PanelProduct p{};
    p.shape = {s.input, s.hidden, form.gates};
    p.packed = s.w;
    p.out = s.gates;
    p.out_row = s.gates_row;
    place(p, block, s.bias, 0);
    multiply_block(k, p, {s.panel_begin, s.panel_end, s.last_first}, [](Index) {});
  });
}

// The last gate's product goes behind the gates, and starts from its own bias. A panel has `lanes` units.
void start_from_hidden_bias(const ForwardStep<float>& s, Index lanes, float* last) {
  const Index begin = s.panel_begin * lanes, end = std::min(s.hidden, s.panel_end * lanes);
  for (Index r = 0; r < s.rows; ++r) {
    std::memcpy(last + r * s.gates_row + begin, s.hidden_bias + begin,
                static_cast<std::size_t>(std::max<Index>(0, end - begin)) * sizeof(float));
  }
}

}  // namespace

void reduced_product(const ReducedKernels& k, const Product<float>& args) {
  for_each_block(k, {args.rows, args.shape.depth, args.a, args.a_row}, [&](const OperandBlock& block) {
    PanelProduct p{};
    p.shape = args.shape;
    p.packed = args.b;
    p.out = args.out;
    p.out_row = args.out_row;
    place(p, block, args.init, args.init_row);
    multiply_block(k, p, {args.panel_begin, args.panel_end, false}, [](Index) {});
  });
}

// Each panel that is complete goes through the cell, whose gates then hold everything.
void reduced_forward(const ReducedKernels& k, const ForwardStep<float>& s, const StepForm& form,
                     void (*cell)(const ForwardStep<float>&)) {
  if (s.x) project_step(k, s, form);
  if (!s.u) return cell(s);
  for_each_block(k, {s.rows, s.output, s.h_in, s.h_in_row}, [&](const OperandBlock& block) {
    ForwardStep<float> part = rows_of(s, block.first, block.rows);
    part.x = part.u = nullptr;
    PanelProduct p{};
    p.shape = {s.output, s.hidden, form.gates};
    p.packed = s.u;
    p.out = s.gates;
    p.out_row = s.gates_row;
    place(p, block, s.gates, s.gates_row);
    if (form.has_hidden_bias) {
      p.last = part.gates + form.gates * s.hidden;
      if (block.at == 0) start_from_hidden_bias(part, k.lanes, p.last);
    }
    multiply_block(k, p, {s.panel_begin, s.panel_end, s.last_first}, [&](Index number) {
      if (!block.ends) return;
      part.panel_begin = number;
      part.panel_end = number + 1;
      cell(part);
    });
  });
}

// dL/dh, and each panel that is complete goes through the cell.
void reduced_backward(const ReducedKernels& k, const BackwardStep<float>& s, const StepForm& form,
                      void (*cell)(const BackwardStep<float>&)) {
  if (!s.dgates_next) return cell(s);
  const Index depth = s.hidden * form.gates;
  const float* const dgates = s.dgates_next + form.recurrent_at * s.hidden;
  for_each_block(k, {s.rows, depth, dgates, s.dgates_row}, [&](const OperandBlock& block) {
    BackwardStep<float> part = rows_of(s, block.first, block.rows);
    part.dgates_next = nullptr;
    PanelProduct p{};
    p.shape = {depth, s.hidden, 1};
    p.packed = s.u;
    p.out = s.dh;
    p.out_row = s.hidden;
    place(p, block, nullptr, 0);
    multiply_block(k, p, {s.panel_begin, s.panel_end, s.last_first}, [&](Index number) {
      if (!block.ends) return;
      part.panel_begin = number;
      part.panel_end = number + 1;
      cell(part);
    });
  });
}

}  // namespace bptt

// The traits of each cell that the core needs: gates, kept values, and where its input and recurrent side lie. The
// equations are in kernels/cells/{rnn,lstm,gru,mgu}.hpp, and again, to be read, in bptt/reference.
#pragma once

#include <limits>
#include <string_view>
#include <type_traits>

#include "kernels/reduced/steps.hpp"

namespace bptt {

struct CellTraits {
  std::string_view name;
  Cell cell;
  Index gates = 0;         // rows of weight_ih over H
  Index tape_gates = 0;    // width of the kept gates over H; 0: the backward pass needs h itself only
  Index dgates = 0;        // width of the gate gradients over H
  Index recurrent_at = 0;  // first gate of the gate gradients' recurrent side; the input side starts at 0
  Index input_rotate = 0;  // gate k of the input side is gate (k + input_rotate) mod gates of the weights
  Index peepholes = 0;     // rows of weight_peephole, if the layer has one; 0: this cell cannot have any
  bool has_cell_state = false;
  bool has_forget_gate = true;
  bool has_hidden_bias = false;  // the bias of the last gate's recurrent side cannot be merged into the input's
  bool has_carry = false;        // an error flows back to h or c at t-1 without the recurrent weights
  // The last gate's recurrent product reads what the other gates made of h. The tape keeps that after the gates: then
  // tape_gates is gates + 1.
  bool two_products = false;
  // What each block of the tape's gates is the result of: g the activation of gates, c that of the candidate, - none.
  std::string_view functions = "";
};

inline constexpr CellTraits kCellTraits[kCells] = {
#define BPTT_TRAITS(...) __VA_ARGS__
#define BPTT_CELL(name_, traits, ...) {.name = #name_, .cell = Cell::name_, traits},
#include "kernels/cells/cells.def"
#undef BPTT_CELL
#undef BPTT_TRAITS
};

inline constexpr std::string_view kActivationNames[] = {
    "sigmoid",  "tanh",     "relu",   "affine", "leaky_relu", "thresholded_relu", "scaled_tanh", "hard_sigmoid", "elu",
    "softsign", "softplus", "linear", "gelu",   "silu"};

inline StepForm step_form(const CellTraits& traits) {
  return {traits.gates, traits.recurrent_at, traits.has_hidden_bias};
}

// Runs the fused step of a cell, in the precision of the table.
template <class T>
void run_step(const Kernels<T>& k, const CellTraits& traits, const ForwardStep<T>& s) {
  const auto cell = k.forward[static_cast<int>(traits.cell)];
  if constexpr (std::is_same_v<T, float>) {
    if (k.reduced) return reduced_forward(*k.reduced, s, step_form(traits), cell);
  }
  cell(s);
}

template <class T>
void run_step(const Kernels<T>& k, const CellTraits& traits, const BackwardStep<T>& s) {
  const auto cell = k.backward[static_cast<int>(traits.cell)];
  if constexpr (std::is_same_v<T, float>) {
    if (k.reduced) return reduced_backward(*k.reduced, s, step_form(traits), cell);
  }
  cell(s);
}

struct Sizes {
  Index input;
  Index hidden;
  Index layers = 1;
  bool bidirectional = false;
  bool bias = true;
};

// How the outputs of two directions become y: side by side, or unit by unit.
enum class Merge { concat, sum, mean, mul };
inline constexpr std::string_view kMergeNames[] = {"concat", "sum", "mean", "mul"};
inline constexpr std::string_view kPrecisionNames[] = {"highest", "bfloat16", "int8"};

// Options of a network, besides its sizes.
struct Options {
  Index projection = 0;  // width of h; 0: as wide as the cell
  bool peephole = false;
  bool layer_norm = false;
  bool reverse = false;  // the one direction reads from the end
  Merge merge = Merge::concat;
  Precision precision = Precision::highest;  // of the products' operands
  bool compact_tape = false;  // of float32: the tape keeps Compact numbers
  double zoneout_h = 0;  // probabilities of keeping the old state: what inference expects
  double zoneout_c = 0;
  CellOptions<double> cell{{Activation::sigmoid, 0, 0},
                           {Activation::tanh, 0, 0},
                           {Activation::tanh, 0, 0},
                           std::numeric_limits<double>::infinity(),
                           std::numeric_limits<double>::infinity(),
                           std::numeric_limits<double>::infinity(),
                           true};
};

}  // namespace bptt

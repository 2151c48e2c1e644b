// What the core must know of each cell: how many gates, what is kept, where its two sides lie. The equations are in
// kernels/{rnn,lstm,gru}.hpp, and again, to be read, in bptt/reference.
#pragma once

#include <limits>
#include <string_view>

#include "kernels/table.hpp"

namespace bptt {

struct CellTraits {
  std::string_view name;
  Cell cell;
  Index gates;          // rows of weight_ih over H
  Index tape_gates;     // width of the kept gates over H; 0: h itself is all that is needed
  Index dgates;         // width of the gate gradients over H
  Index recurrent_at;   // first gate of the gate gradients' recurrent side; the input side starts at 0
  Index input_rotate;   // gate k of the input side is gate (k + input_rotate) mod gates of the weights
  Index peepholes;      // rows of weight_peephole, if it is asked for; 0: this cell cannot have any
  bool has_cell_state;
  bool has_hidden_bias;  // the bias of the last gate's recurrent side cannot be merged into the input's
  bool has_carry;        // something flows back to h or c at t-1 past the recurrent weights
  // The last gate's recurrent product starts from what the others made of h, which is kept behind the gates: then
  // tape_gates is gates + 1.
  bool two_products;
};

inline constexpr CellTraits kCellTraits[kCells] = {
#define BPTT_TRAITS(...) __VA_ARGS__
#define BPTT_CELL(name, traits, ...) {#name, Cell::name, traits},
#include "kernels/cells.def"
#undef BPTT_CELL
#undef BPTT_TRAITS
};

inline constexpr std::string_view kActivationNames[] = {
    "sigmoid",     "tanh",         "relu", "affine",   "leaky_relu", "thresholded_relu",
    "scaled_tanh", "hard_sigmoid", "elu",  "softsign", "softplus"};

// What a network of any cell may have beside its sizes.
struct Options {
  Index projection = 0;     // width of h; 0: as wide as the cell
  bool peephole = false;
  bool layer_norm = false;
  double zoneout_h = 0;     // probabilities of keeping the old state: what inference expects
  double zoneout_c = 0;
  LstmOptions<double> lstm{{Activation::sigmoid, 0, 0},
                           {Activation::tanh, 0, 0},
                           {Activation::tanh, 0, 0},
                           std::numeric_limits<double>::infinity(),
                           std::numeric_limits<double>::infinity(),
                           std::numeric_limits<double>::infinity()};
};

}  // namespace bptt

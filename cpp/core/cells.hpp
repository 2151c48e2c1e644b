// What the core must know of each cell: how many gates, what is kept, where its two sides lie. The equations are in
// kernels/{rnn,lstm,gru}.hpp, and again, to be read, in bptt/reference.
#pragma once

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
  bool has_cell_state;
  bool has_peephole;
  bool has_hidden_bias;  // the bias of the last gate's recurrent side cannot be merged into the input's
  bool has_carry;        // something flows back to h or c at t-1 past the recurrent weights
};

inline constexpr CellTraits kCellTraits[kCells] = {
    {"rnn_tanh", Cell::rnn_tanh, 1, 0, 1, 0, 0, false, false, false, false},
    {"rnn_relu", Cell::rnn_relu, 1, 0, 1, 0, 0, false, false, false, false},
    {"lstm", Cell::lstm, 4, 4, 4, 0, 0, true, false, false, true},
    {"lstm_peephole", Cell::lstm_peephole, 4, 4, 4, 0, 0, true, true, false, true},
    {"gru", Cell::gru, 3, 4, 4, 1, 2, false, false, true, true},
};

}  // namespace bptt

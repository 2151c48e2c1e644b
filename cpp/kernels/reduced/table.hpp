// The contract between products with operands of fewer bits than float32, which are compiled once, and their parts,
// which each instruction set has.
#pragma once

#include "kernels/table.hpp"

namespace bptt {

// How a step of a cell is made from a product: see CellTraits.
struct StepForm {
  Index gates;
  Index recurrent_at;
  bool has_hidden_bias;
};

// Some rows of a left operand, converted.
struct OperandBlock {
  Index first;  // row
  Index rows;
  Index at;     // first k
  Index depth;  // in groups
  bool ends;    // with the last k
  float* data;  // (rows, row)
  Index row;
  float* scales;  // two for each row, from at == 0 on, for forms that have any
};

// The part of a block in the product with one panel: out = init + block . panel.
struct PanelProduct {
  const OperandBlock* block;
  PanelShape shape;
  const float* packed;
  Index panel;
  Index next;  // the panel that is read next
  bool next_follows;  // in the same product: then both may be done at once
  const float* init;  // of the block's first row and the matrix' first column; null: zero
  Index init_row;
  float* out;
  Index out_row;
  float* last;  // instead, both init and out of the last gate's first unit; or null
};

// The functions that a table of reduced precision has, where a table of float32 has its own. Inputs and outputs of
// products stay float32, and so does the arithmetic of the cells. `pack` writes panels of `packed_size`, which only
// `multiply` reads. kernels/reduced/steps.hpp makes products and steps of them.
struct ReducedKernels {
  int lanes;
  Index group;      // consecutive k in an element of a block
  Index sum_depth;  // k of every block but the last, as results depend on it; 0: any number
  Index (*packed_size)(PanelShape);
  void (*pack)(const PackPanels<float>&);
  void (*convert)(const OperandBlock&, Index depth, const float* a, Index a_row);  // a: the block's rows, from k = 0 on
  int (*multiply)(const PanelProduct&);  // returns the number of panels that are done
  void (*product)(const Product<float>&);
  void (*transposed_product)(const TransposedProduct<float>&);  // null: inference alone
  Index transposed_scratch;
  SmallKernels<float> small_steps;
};

}  // namespace bptt

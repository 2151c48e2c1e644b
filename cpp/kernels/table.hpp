// The contract between the core, which knows no instruction set, and the kernels, which are compiled once for
// each: the arguments of every kernel and the table of them that each instruction set fills.
//
// T time, B batch, I input, H hidden, G gates. "rows" are batch rows of one step, or (t, b) pairs of several.
// Matrices are row-major; X_row is the distance between rows in elements. Nothing here owns memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cells/small_arguments.hpp"
#include "kernels/flat_arguments.hpp"
#include "kernels/index.hpp"

namespace bptt {

// A number of a tape in 16 bits: see reduced/compact.hpp.
using Compact = std::uint16_t;

// Every cell, by name: see cells/cells.def.
enum class Cell {
#define BPTT_CELL(name, ...) name,
#include "kernels/cells/cells.def"
#undef BPTT_CELL
};
inline constexpr int kCells = 0
#define BPTT_CELL(...) +1
#include "kernels/cells/cells.def"
#undef BPTT_CELL
    ;

// As ONNX names them, and three more. alpha and beta mean what they mean there.
enum class Activation {
  sigmoid,
  tanh,
  relu,
  affine,
  leaky_relu,
  thresholded_relu,
  scaled_tanh,
  hard_sigmoid,
  elu,
  softsign,
  softplus,
  linear,
  gelu,
  silu
};

// Whether the slope does not follow from the result: then a tape keeps the argument.
constexpr bool keeps_argument(Activation kind) { return kind == Activation::gelu || kind == Activation::silu; }

// The activations that are layers.
enum class Elementwise { tanh, relu, sigmoid, gelu, silu };
inline constexpr int kElementwise = 5;

template <class T>
struct ActivationChoice {
  Activation kind;
  T alpha;
  T beta;
};

// The options of a cell's equations. The cells without options ("lstm", "gru", ...) do not read them.
template <class T>
struct CellOptions {
  ActivationChoice<T> gate;       // of an LSTM's i, f, o, a GRU's r, z, an MGU's f
  ActivationChoice<T> candidate;  // of g, n, or an RNN's h
  ActivationChoice<T> output;     // of c
  T gate_clip;                    // bound of what the activations of gates and candidate get; infinite: none
  T output_clip;                  // of what the output's activation gets
  T cell_clip;                    // of c itself
  bool forgets;                   // of three gates: f g o with i = 1 - f, or i g o with f = 1
};

// The right operand of a product, (depth, gates * units), cut into panels that are read from front to back.
//   gates == 1: a panel holds consecutive columns, as many as the product kernel takes at once.
//   gates > 1: a panel holds one vector of units of every gate, so that a fused step has all gates of a unit.
// Columns past the end are zero.
struct PanelShape {
  Index depth;
  Index units;
  Index gates;
};

template <class T>
struct PackPanels {
  PanelShape shape;
  const T* source;  // element (k, n) at k * k_stride + n * n_stride, of which one is 1
  Index k_stride;
  Index n_stride;
  Index rotate;  // packed row k is source row (k + rotate) mod depth; 0 if k_stride is 1
  T* packed;
  Index panel_begin;
  Index panel_end;
};

// out[m, n] = init[m, n] + sum over k of a[m, k] b[k, n], k ascending in one chain per element: the bits of a row
// depend neither on the other rows nor on how rows and panels are divided among calls.
template <class T>
struct Product {
  Index rows;
  PanelShape shape;  // of b; columns = gates * units
  const T* a;        // (rows, depth)
  Index a_row;
  const T* b;     // packed
  const T* init;  // (rows, columns); null: zero; init_row == 0: one row for all
  Index init_row;
  T* out;  // (rows, columns); may be init
  Index out_row;
  Index panel_begin;
  Index panel_end;
};

// out[m, n] += sum over k of a[k, m] b[k, n] for m in [m_begin, m_end). Summed in blocks of k, in order; the bits do
// not depend on how m is divided among calls.
template <class T>
struct TransposedProduct {
  Index runs;   // of k
  Index depth;  // of a run: rows that lie one after the other
  Index m_begin;
  Index m_end;
  Index columns;
  const T* a;  // (runs, depth, M)
  Index a_row;
  Index a_run;
  const T* b;  // (runs, depth, columns)
  Index b_row;
  Index b_run;
  bool sets;  // out = ..., not +=
  T* out;  // (M, columns)
  Index out_row;
  T* scratch;  // transposed_scratch elements, 64-byte aligned
};

// out[n], and also[n] unless it is null, += sum over k of a[k, n], summed before it is added.
template <class T>
struct ColumnSums {
  Index runs;   // of k
  Index depth;  // of a run
  Index columns;
  const T* a;  // (runs, depth, columns)
  Index a_row;
  Index a_run;
  T* out;
  T* also;
  bool sets;  // out = ..., not +=
};

// A step may be taken in stages, where something else must happen in its middle: forward gates, then output; backward
// output, cell (of an LSTM), gates.
enum class Stage { whole, gates, output, cell };

// One time step forward for units of panels [panel_begin, panel_end), all rows.
//   x      null: the gates come in holding the projected input with its biases, else the step projects x itself
//   gates  out: activated gates if keep, else undefined
//          LSTM (rows, 4H) i f g o. GRU (rows, 4H) r z n and W_hn h + b_hn, of which the last is only written.
//          RNN: gates is h itself, (rows, H).
//          GRU, reset before: r z n and r h_in. LSTM with three gates: f g o, or i g o.
//   u      null: the gates come in with the recurrent product, too
//   h_in   what the product reads: h_prev, or what recurrent dropout made of it
//   c may be c_prev; h must not be h_prev.
//   last_first  from the last panel to the first: every other step starts with what the one before left in cache
template <class T>
struct ForwardStep {
  Index rows;
  Index hidden;
  Index output;  // P: width of h_in, and with it the depth of u; H but with a projection
  Index panel_begin;
  Index panel_end;
  bool last_first;
  const T* x;
  Index x_row;
  Index input;
  const T* w;     // packed input weights (input, G * H), by gates like u
  const T* bias;  // (G * H)
  const T* u;     // packed recurrent weights (P, G * H)
  const T* h_in;
  Index h_in_row;
  const T* h_prev;
  Index h_prev_row;
  T* gates;
  Index gates_row;
  const T* hidden_bias;  // GRU: b_hn (H), zeros if there is none
  const T* peephole;     // LSTM variants: (3, H), rows i f o, or (2, H), f o or i o; or null
  const CellOptions<T>* options;
  const T* seen;  // (rows, H): what h is made from in place of c; or null
  const T* c_prev;
  Index c_prev_row;
  T* c;
  Index c_row;
  T* h;
  Index h_row;
  bool keep;
  Stage stage;
};

// One time step backward. First dL/dh_t = dgates_next . U + dy (+ carry for GRU), then the cell inverted.
//   dgates_next  dL/d(pre-activations) of step t+1, its recurrent side; null: `dh` already holds what flows in
//   carry        LSTM: dL/dc flowing in from t+1, out to t-1. GRU: the direct part of dL/dh, z (.) dh.
//   dgates       LSTM (rows, 4H) i f g o. GRU (rows, 4H) n r z hn: the input side is the first 3H columns, the
//                recurrent side the last 3H. GRU, reset before: (rows, 3H) r z n. RNN (rows, H).
//   stage        After output, dh is no more dL/dh_t but dL/d(what that stage could not invert): LSTM c as h saw it,
//                GRU r h_in. After cell it is the whole dL/dc_t
//   dh_squares, dc_squares  (rows, panels): sums of squares of the whole dL/dh_t, dL/dc_t of each panel;
//                minus their norm where the squares leave float64
template <class T>
struct BackwardStep {
  Index rows;
  Index hidden;
  Index panel_begin;
  Index panel_end;
  bool last_first;
  const T* u;  // packed (G * H, H), gates == 1
  const T* dgates_next;
  Index dgates_row;
  T* dh;  // (rows, H), dense; scratch
  const T* dy;
  Index dy_row;
  T* carry;  // (rows, H), dense
  const T* gates;
  Index gates_row;
  const T* peephole;
  T* dpeephole;  // sums over steps, one row per batch row; null without peepholes
  Index dpeephole_row;
  const CellOptions<T>* options;
  const T* seen;
  const T* c_prev;
  Index c_prev_row;
  const T* c;
  Index c_row;
  const T* h_in;
  Index h_in_row;
  const T* recurrent_mask;  // (rows, H) or null: what h_in is h_prev times
  const T* h_prev;
  Index h_prev_row;
  T* dgates;
  double* dh_squares;  // or null
  double* dc_squares;  // or null
  Index panels;
  Stage stage;
};

// out = keep old + (1 - keep) new, elementwise.
template <class T>
struct Blend {
  Index rows;
  Index columns;
  const T* keep;  // (rows, columns), dense; null: `rate` everywhere
  T rate;
  const T* old;
  Index old_row;
  const T* fresh;
  Index fresh_row;
  T* out;
  Index out_row;
};

// Its inverse: d = dL/dout becomes dL/dfresh, and dL/dold is written.
template <class T>
struct Unblend {
  Index rows;
  Index columns;
  const T* keep;
  T rate;
  T* d;     // (rows, columns), dense
  T* dold;  // (rows, columns), dense
};

// Layer norm of each row: hat = (x - mean) / sqrt(variance + epsilon), out = gain hat + bias, or added to out.
template <class T>
struct Normalise {
  Index rows;
  Index columns;
  const T* x;
  Index x_row;
  T* hat;  // may be x
  Index hat_row;
  T* scale;  // (rows, scale_row): 1 / sqrt(variance + epsilon); or null
  Index scale_row;
  const T* gain;
  const T* bias;  // or null
  bool add;
  T* out;  // may be x or hat
  Index out_row;
  T epsilon = static_cast<T>(1e-5);
};

// dy is dL/dout. Per row, so that sums over rows have one order: gain and bias gradients are added to rows of sums.
template <class T>
struct NormaliseBack {
  Index rows;
  Index columns;
  const T* dy;
  Index dy_row;
  const T* hat;
  Index hat_row;
  const T* scale;
  Index scale_row;
  const T* gain;
  T* dgain;  // (rows, sums_row)
  T* dbias;  // the same, or null
  Index sums_row;
  bool add;
  T* dx;
  Index dx_row;
};

// Operands of products: as they are, rounded to bfloat16, or to int8 with a scale for each row and column.
enum class Precision { highest, bfloat16, int8 };

struct ReducedKernels;  // kernels/reduced/table.hpp

template <class T>
struct SmallKernels {
  void (*of_cell[kCells])(const SmallSteps<T>&);  // null where single steps serve a cell as well
};

template <class T>
struct Kernels {
  int lanes;

  Index (*panel_count)(PanelShape);
  Index (*packed_size)(PanelShape);  // in elements
  void (*pack)(const PackPanels<T>&);
  void (*product)(const Product<T>&);
  void (*transposed_product)(const TransposedProduct<T>&);
  Index transposed_scratch;  // elements
  void (*add_columns)(const ColumnSums<T>&);

  void (*forward[kCells])(const ForwardStep<T>&);
  void (*backward[kCells])(const BackwardStep<T>&);
  SmallKernels<T> small_steps;
  const ReducedKernels* reduced;  // null: of full precision. Steps run through run_step in core/cells.hpp

  void (*blend)(const Blend<T>&);
  void (*unblend)(const Unblend<T>&);
  void (*multiply)(Index n, const T* x, const T* y, T* out);
  void (*normalise)(const Normalise<T>&);
  void (*normalise_back)(const NormaliseBack<T>&);

  // Of float32 alone, else null: see reduced/compact.hpp.
  void (*compact)(Index n, const T* x, Compact* y);
  void (*expand)(Index n, const Compact* x, T* y);

  Index (*multiply_add)(Index rounds, T* lanes);  // lanes: 64 bytes in and out

  void (*activate)(Index n, const ActivationChoice<T>& f, T limit, const T* x, T* y);
  void (*exp)(Index n, const T* x, T* y);
  void (*tanh)(Index n, const T* x, T* y);
  void (*sigmoid)(Index n, const T* x, T* y);
  void (*elementwise[kElementwise])(Index n, const T* x, T* y);
  // dx from y, or for gelu and silu from x
  void (*elementwise_back[kElementwise])(Index n, const T* dy, const T* kept, T* dx);
  void (*softmax)(Index rows, Index columns, const T* x, T* y);
  void (*softmax_back)(Index rows, Index columns, const T* dy, const T* y, T* dx);

  double (*cross_entropy)(const LossRows<T>&);
  double (*squared_error)(const LossRows<T>&);
  double (*binary_cross_entropy)(const LossRows<T>&);
  double (*weighted_cross_entropy)(const LossRows<T>&);
  double (*weighted_binary_cross_entropy)(const LossRows<T>&);
  double (*absolute_error)(const LossRows<T>&);
  double (*huber)(const LossRows<T>&);
  double (*quantile)(const LossRows<T>&);

  double (*sum_of_squares)(Index n, const T* x);
  void (*scale)(Index n, T factor, T* x);
  void (*add)(Index n, const T* x, T* y);  // y += x
  void (*clip)(Index n, T limit, T* x);
  T (*largest_magnitude)(Index n, const T* x);
  void (*bernoulli)(Index n, std::uint64_t key, double p, T value, T* y);  // value with probability p, or 0
  void (*dropout)(Index n, Index first, std::uint64_t key, double p, const T* x, T* y);

  void (*sgd)(Index n, const SgdRule&, T* p, const T* g, T* velocity);
  void (*rmsprop)(Index n, const RmspropRule&, T* p, const T* g, T* square, T* velocity);
  void (*adam)(Index n, const AdamRule&, T* p, const T* g, T* m, T* v);
  void (*centered_rmsprop)(Index n, const RmspropRule&, const RuleVectors<T>&);
  void (*amsgrad)(Index n, const AdamRule&, const RuleVectors<T>&);
};

}  // namespace bptt

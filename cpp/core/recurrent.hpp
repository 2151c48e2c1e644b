// A stack of recurrent layers: its sizes, its parameters in a flat vector, and both passes.
//
// T time, B batch, I input, H hidden, P output (H but with a projection), D directions, L layers. Arrays are dense and
// row-major.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "core/addressing.hpp"
#include "core/cells.hpp"
#include "core/modifiers/state_clip.hpp"
#include "runtime/interrupt.hpp"
#include "runtime/workspace.hpp"

namespace bptt {

// Throw std::invalid_argument if the result overflows.
Index checked_product(Index a, Index b);
Index checked_sum(Index a, Index b);

struct Parameter {
  std::string name;
  std::vector<Index> shape;
  Index offset;  // in the flat vector
  Index size;
};

struct Recurrent {
  // Throws std::invalid_argument if a size is not positive or their product overflows.
  Recurrent(Cell cell, const Sizes& sizes, const Options& options = {});

  const CellTraits& traits;
  Options options;
  Index input;
  Index hidden;  // H: of the cell
  Index output;  // P: of h. H without a projection
  Index layers;
  Index directions;
  bool bias;
  std::vector<Parameter> parameters;  // in flat order, without gaps
  Index parameter_count;

  // As in the traits, except where options change them.
  Index tape_gates;
  Index dgates;
  Index recurrent_at;
  Index input_rotate;

  // Whether a step is more than its fused kernel: see modifiers/modified_step.hpp.
  bool modifies_steps() const {
    return options.projection || options.layer_norm || traits.two_products || options.zoneout_h > 0 ||
           options.zoneout_c > 0;
  }
  // Whether a step can project its own input: nothing may come between the projection and the recurrent product.
  bool may_fuse_projection() const { return !options.layer_norm && !traits.two_products; }
  bool normalises_cell() const { return options.layer_norm && traits.has_cell_state; }

  bool reads_from_end(Index direction) const { return direction == 1 || options.reverse; }
  bool reads_forward_only() const { return directions == 1 && !options.reverse; }
  bool merges() const { return options.merge != Merge::concat; }

  Index input_of(Index layer) const { return layer == 0 ? input : y_width(); }
  Index width() const { return directions * output; }  // of h, both directions side by side
  Index y_width() const { return merges() ? output : width(); }
  Index input_columns() const { return input + (layers - 1) * y_width(); }  // of all layers' inputs side by side
  // The weights, biases and projection of one layer and direction.
  Index summed_parameters(Index input_size) const {
    const Index rows = traits.gates * hidden;
    return rows * (input_size + output + (bias ? 2 : 0)) + (options.projection ? output * hidden : 0);
  }

 private:
  void check(const Sizes& sizes) const;
  void add_parameters(Index layer, Index direction);
};

// Pointers into a flat vector (of parameters, or of gradients) for one layer and direction. Null where there is none.
template <class T>
struct DirectionParameters {
  T* weight_ih;  // (G * H, input_of(layer))
  T* weight_hh;  // (G * H, P)
  T* bias_ih;  // (G * H)
  T* bias_hh;  // (G * H)
  T* weight_hr;  // (P, H): the projection
  T* peephole;  // (peepholes, H)
  T* norm_ih;  // (G * H): gains of layer norm
  T* norm_hh;  // (G * H)
  T* norm_c;  // (H)
  T* bias_norm_c;
};
template <class T>
DirectionParameters<T> direction_parameters(const Recurrent& net, T* flat, Index layer, Index direction);

// The same parameters in other memory, but only those whose gradients are sums of products over all rows. They are the
// first ones in flat order.
template <class T>
DirectionParameters<T> summed_in(const DirectionParameters<T>& like, T* other);

// (T, B, ...) below is rows.total() rows, (T + 2, B, ...) rows.slots(); dense if all rows run to the end.

// Changes that the caller makes to the recursion, besides its equations. Each may be null.
template <class T>
struct Interventions {
  const std::uint8_t* reset = nullptr;  // (T, B): 1 where the state is zero before that step; 0 in padding
  const T* recurrent_mask = nullptr;  // (L * D, B, P): factors of h where it enters the recurrent product
  const T* keep_h = nullptr;  // (L * D, T, B, P): zoneout, 1 where the old state stays; null: its expectation
  const T* keep_c = nullptr;  // (L * D, T, B, H)
  const std::uint8_t* cut = nullptr;  // (T, B), backward alone: 1 where no error flows back past that step
  const T* input_mask = nullptr;  // (B, input_columns): factors of what each layer reads

  bool change_steps() const { return reset || recurrent_mask || keep_h || keep_c; }
  Interventions with_cut(const std::uint8_t* steps) const {
    Interventions other = *this;
    other.cut = steps;
    return other;
  }
};

template <class T>
struct Tape;
template <class T>
class PackedNetwork;

template <class T>
struct ForwardArgs {
  const T* parameters;  // or null where there is
  const PackedNetwork<T>* packed = nullptr;  // a snapshot of them
  const T* x;  // (T, B, I)
  const T* h0;  // (L * D, B, P) or null: zero
  const T* c0;  // (L * D, B, H)
  T* y;  // (T + 2, B, D * P): step t at slot t + 1, the outer slots are scratch; merged: (T, B, P). Null with a tape
         // that is not compact
  T* h;  // (L * D, B, P)
  T* c;  // or null
  Rows rows{0, 0};
  Interventions<T> interventions{};
};

// Keeps nothing.
template <class T>
void infer(const Recurrent& net, const ForwardArgs<T>& args, Interrupt& interrupt);

// Keeps the tape. Unless it is compact, its last layer's h is the output, or `passed` if the network merges directions.
template <class T>
void forward(const Recurrent& net, const ForwardArgs<T>& args, Tape<T>& tape, Interrupt& interrupt);

template <class T>
struct BackwardArgs {
  const T* parameters;
  T* gradients;  // added to; null: no gradients of parameters are computed
  const T* dy;  // (T, B, y_width) or null: zero
  const T* dh;  // (L * D, B, P) or null
  const T* dc;  // (L * D, B, H) or null
  T* dx;  // (T, B, I) or null
  T* dh0;  // (L * D, B, P)
  T* dc0;  // or null
  double* dh_norm;  // (L * D, T), or with norms_of_rows (L * D, T, B)
  double* dc_norm;  // or null
  Index steps;  // the most steps to go back from the end; fewer than T need a network that reads forward only
  StateClip clip{};
  T* errors = nullptr;  // (L * D, T, B, P) or null: gets dL/dh_t as a whole, clipped; zero before the first step
  Index chunk = 0;  // steps of a chunk: of the whole batch, where this is a piece of it. 0: see Schedule
  const std::uint8_t* cut = nullptr;  // as in Interventions
  bool norms_of_rows = false;  // without a sum over the batch
};

template <class T>
void backward(const Recurrent& net, const BackwardArgs<T>& args, const Tape<T>& tape, Interrupt& interrupt);

}  // namespace bptt

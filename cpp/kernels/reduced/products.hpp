// The parts of a product with operands of fewer bits than float32 that each instruction set has: rows of the left
// operand are converted, and multiplied by packed panels. steps.cpp makes products and fused steps from these parts.
#pragma once

#include "kernels/product.hpp"
#include "kernels/reduced/steps.hpp"

namespace bptt::BPTT_ISA {

// The panels and places that a block's product reads and writes.
template <class Form>
struct PanelPlaces {
  explicit BPTT_INLINE PanelPlaces(const PanelProduct& args) : shape(Form::stored(args.shape)), args_(args) {}

  BPTT_INLINE Panel<float> panel(Index number) const { return panel_at<float>(shape, number); }
  BPTT_INLINE PanelOutput<float> output(const Panel<float>& panel) const {
    PanelOutput<float> io{};
    io.init_row = args_.init_row;
    io.out_row = args_.out_row;
    for (int v = 0; v < panel.vectors; ++v) {
      io.out[v] = args_.out + panel.column(v);
      io.init[v] = args_.init ? args_.init + panel.column(v) : nullptr;
    }
    if (args_.last) io.init[panel.vectors - 1] = io.out[panel.vectors - 1] = args_.last + panel.first;
    return io;
  }

  PanelShape shape;

 private:
  const PanelProduct& args_;
};

// A form of operands that are rounded one by one.
template <class Operands>
struct RoundedForm {
  using Tiles = typename Operands::Tiles;
  static constexpr Index group = Operands::group;
  static constexpr Index sum_depth = 0;

  // The shape that a matrix has as it is stored: its depth is in vectors for each vector of columns.
  static BPTT_INLINE PanelShape stored(PanelShape s) { return in_groups<Operands>(s); }

  static void convert(const OperandBlock& block, Index depth, const float* a, Index a_row) {
    constexpr Index kAcross = kLanes<float> * Operands::group;
    for (Index r = 0; r < block.rows; ++r) {
      for (Index k = block.at; k < minimum(depth, block.at + block.depth * Operands::group); k += kAcross) {
        const int some = static_cast<int>(minimum(kAcross, depth - k));
        store(block.data + r * block.row + (k - block.at) / Operands::group, Operands::left(a + r * a_row + k, some));
      }
    }
  }

  static int multiply(const PanelProduct& args) {
    const PanelPlaces<RoundedForm> places(args);
    const OperandBlock& block = *args.block;
    const float* const packed = args.packed;
    const Panel<float> panel = places.panel(args.panel), next = places.panel(args.next);
    const Index skipped = block.at / Operands::group * kLanes<float>;
    if (Operands::pairs_panels && block.rows == 1 && args.next_follows && panel.vectors == next.vectors) {
      const Panel<float> panels[2] = {panel, next};
      const PanelOutput<float> io[2] = {places.output(panel), places.output(next)};
      if (panel.vectors == 4) multiply_row_by_panels<4>(block, panels, packed + skipped * 4, io);
      if (panel.vectors == 3) multiply_row_by_panels<3>(block, panels, packed + skipped * 3, io);
      if (panel.vectors == 2) multiply_row_by_panels<2>(block, panels, packed + skipped * 2, io);
      if (panel.vectors == 1) multiply_row_by_panels<1>(block, panels, packed + skipped, io);
      return 2;
    }
    multiply_panel<float, Tiles>(
        panel, {block.rows, block.depth, block.data, block.row, packed + skipped * panel.vectors, packed + next.offset},
        places.output(panel));
    return 1;
  }

 private:
  // One row and two panels of N vectors, whose sums run side by side: the sums of one panel alone would wait for one
  // another.
  template <int N>
  static __attribute__((noinline)) void multiply_row_by_panels(const OperandBlock& block,
                                                               const Panel<float> (&panels)[2], const float* packed,
                                                               const PanelOutput<float> (&io)[2]) {
    const float* b[2];
    Vec<float> sum[2][N];
    for (int i = 0; i < 2; ++i) {
      b[i] = packed + panels[i].offset;
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
};

template <class Form>
Index reduced_packed_size(PanelShape s) {
  return packed_size<float>(Form::stored(s));
}

}  // namespace bptt::BPTT_ISA

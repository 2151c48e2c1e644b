// Products of rows and packed weights, in both passes. The sums over time of a backward pass are in chunk_products.hpp.
#pragma once

#include "core/pack.hpp"

namespace bptt {

// out = a W for all panels of W. The caller may add initial values.
template <class T>
Product<T> product_of(const Kernels<T>& k, Index rows, RowSpan<const T> a, const PackedMatrix<T>& w, RowSpan<T> out) {
  Product<T> p{};
  p.rows = rows;
  p.shape = w.shape;
  p.a = a.data;
  p.a_row = a.row;
  p.b = w.panels.data();
  p.out = out.data;
  p.out_row = out.row;
  p.panel_end = k.panel_count(w.shape);
  return p;
}

// out = init + a W; init has the rows of out, or is null: zeros.
template <class T>
void multiply_rows(const Kernels<T>& k, Index rows, RowSpan<const T> a, const PackedMatrix<T>& w, const T* init,
                   RowSpan<T> out) {
  Product<T> p = product_of<T>(k, rows, a, w, out);
  p.init = init;
  p.init_row = out.row;
  k.product(p);
}

// out = bias + x W; bias is one row, or null: zeros.
template <class T>
void project_rows(const Kernels<T>& k, Index rows, RowSpan<const T> x, const PackedMatrix<T>& w, const T* bias,
                  RowSpan<T> out) {
  Product<T> p = product_of<T>(k, rows, x, w, out);
  p.init = bias;
  k.product(p);
}

}  // namespace bptt

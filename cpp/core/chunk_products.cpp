#include "core/chunk_products.hpp"

#include <algorithm>
#include <cstring>

namespace bptt {

// Rows of a chunk's steps, in runs of rows that lie one after the other: gate gradients, and what the products of those
// steps read.
template <class T>
struct ChunkOperands {
  Index runs;
  Index rows;   // of a run
  Index run;    // rows from one run to the next
  Index x_run;  // the same in x
  Index h_run;  // and in h
  const T* dgates;  // (runs, rows, dgates * H)
  Index dgates_row;
  const T* x;  // (runs, rows, input)
  Index input;
  const T* h;  // (runs, rows, P): the states that steps started from
  Index h_row;
  const T* last_in;     // (runs, rows, H): what the last gate's product read, of a cell with two products
  const T* inner;       // (runs, rows, H): h before its projection
  const T* dprojected;  // (runs, rows, P)
};

namespace {

// Columns of the gate gradients' input side, in parts that lie together in the weights, each with the distance from its
// column to its row there.
template <class F>
void for_each_input_part(const Recurrent& net, Range columns, F f) {
  const Index rotate = net.input_rotate * net.hidden;
  const Index wrap = net.traits.gates * net.hidden - rotate;  // first column whose row is at the weights' front again
  const Range head{columns.begin, std::min(columns.end, wrap)};
  const Range tail{std::max(columns.begin, wrap), columns.end};
  if (head.begin < head.end) f(head, rotate);
  if (tail.begin < tail.end) f(tail, -wrap);
}

// One of a crew takes its part of the weights' rows.
template <class T>
void add_weight_gradients(const Recurrent& net, const Kernels<T>& k, const ChunkOperands<T>& chunk,
                          const DirectionParameters<T>& gradients, bool sets, int index, int threads, T* scratch) {
  const Index columns = net.traits.gates * net.hidden;
  const Range all = share(columns, index, threads);
  const T* recurrent = chunk.dgates + net.recurrent_at * net.hidden;

  TransposedProduct<T> p{};
  p.runs = chunk.runs;
  p.depth = chunk.rows;
  p.sets = sets;
  p.scratch = scratch;
  const auto multiply = [&](Range mine, Index b_run) {
    p.m_begin = mine.begin;
    p.m_end = mine.end;
    p.a_run = chunk.run * p.a_row;
    p.b_run = b_run * p.b_row;
    if (mine.begin < mine.end) k.transposed_product(p);
  };

  p.a = recurrent;
  p.a_row = chunk.dgates_row;
  p.b = chunk.h;
  p.b_row = chunk.h_row;
  p.columns = p.out_row = net.output;
  p.out = gradients.weight_hh;
  const Index first = net.traits.two_products ? columns - net.hidden : columns;  // column of the second product
  multiply({all.begin, std::min(all.end, first)}, chunk.h_run);
  if (first < columns) {
    p.b = chunk.last_in;
    p.b_row = net.hidden;
    multiply({std::max(all.begin, first), all.end}, chunk.run);
  }

  p.a = chunk.dgates;
  p.b = chunk.x;
  p.b_row = p.columns = p.out_row = chunk.input;
  for_each_input_part(net, all, [&](Range part, Index shift) {
    p.out = gradients.weight_ih + shift * chunk.input;
    multiply(part, chunk.x_run);
  });

  if (net.options.projection) {
    p.a = chunk.dprojected;
    p.a_row = net.output;
    p.b = chunk.inner;
    p.b_row = p.columns = p.out_row = net.hidden;
    p.out = gradients.weight_hr;
    multiply(share(net.output, index, threads), chunk.run);
  }

  if (!net.bias || net.options.layer_norm) return;
  // Where both sides of a gate have the same gradient, the sums are the same, too.
  const bool alike = net.dgates == net.traits.gates && net.input_rotate == 0;
  ColumnSums<T> sums{};
  sums.runs = chunk.runs;
  sums.depth = chunk.rows;
  sums.columns = all.end - all.begin;
  sums.a = recurrent + all.begin;
  sums.a_row = chunk.dgates_row;
  sums.a_run = chunk.run * chunk.dgates_row;
  sums.out = gradients.bias_hh + all.begin;
  sums.also = alike ? gradients.bias_ih + all.begin : nullptr;
  sums.sets = sets;
  k.add_columns(sums);
  if (alike) return;
  for_each_input_part(net, all, [&](Range part, Index shift) {
    sums.columns = part.end - part.begin;
    sums.a = chunk.dgates + part.begin;
    sums.out = gradients.bias_ih + part.begin + shift;
    k.add_columns(sums);
  });
}

}  // namespace

template <class T>
void ChunkProducts<T>::align(const Work<T>& w, const Chunk& chunk, bool surrounded, const Crew& crew) const {
  const Range mine = crew.share_of(chunk.steps);
  for (Index t = chunk.low + mine.begin; t < chunk.low + mine.end; ++t) {
    const Index at = rows_.base(t) - rows_.base(chunk.low);
    if (!surrounded) {
      const T* from = w.h + rows_.slot(w.course.slot_before(t)) * net_.width();
      for (Index b = 0; b < rows_.active(t); ++b) {
        std::memcpy(w.h_in.data() + (at + b) * net_.output, from + b * net_.width(),
                    static_cast<std::size_t>(net_.output) * sizeof(T));
      }
    }
    const Index rest = at + rows_.active(t);
    const Index room = rows_.room(t) - rows_.active(t);
    const auto clear = [&](const Buffer<T>& buffer, Index width) {
      if (!buffer.data()) return;
      std::memset(buffer.data() + rest * width, 0, static_cast<std::size_t>(room * width) * sizeof(T));
    };
    clear(w.h_in, net_.output);
    clear(w.dgates, dgates_row_);
    clear(w.last_in, net_.hidden);
    clear(w.inner, net_.hidden);
    clear(w.dprojected, net_.output);
  }
}

template <class T>
void ChunkProducts<T>::sum_gradients(const Work<T>& w, const Chunk& chunk, const Crew& crew, T* scratch) const {
  if (!halves_) {
    add_weight_gradients(net_, k_, operands(w, chunk, nullptr), w.gradients, false, crew.index, crew.size, scratch);
    return;
  }
  const int each = crew.size % 2 == 0 ? crew.size / 2 : crew.size;  // threads of a half
  for (int half = 0; half < 2; ++half) {
    if (each < crew.size && crew.index / each != half) continue;
    const Range rows = share(rows_.batch(), half, 2);
    const ChunkOperands<T> of_half = operands(w, chunk, &rows);
    if (crew.size == 1) {
      add_weight_gradients(net_, k_, of_half, w.gradients, false, 0, 1, scratch);
    } else {
      const auto to = summed_in(w.gradients, w.halves[static_cast<std::size_t>(half)].data());
      add_weight_gradients(net_, k_, of_half, to, true, crew.index % each, each, scratch);
    }
  }
}

template <class T>
void ChunkProducts<T>::add_halves(const Work<T>& w, const Crew& crew) const {
  if (!halves_ || crew.size == 1) return;
  const Range mine = crew.share_of(net_.summed_parameters(w.input));
  for (const Buffer<T>& half : w.halves) {
    k_.add(mine.end - mine.begin, half.data() + mine.begin, w.gradients.weight_ih + mine.begin);
  }
}

template <class T>
void ChunkProducts<T>::multiply_input_by_steps(const Work<T>& w, const Chunk& chunk, Range mine) const {
  for (Index t = chunk.low; t < chunk.low + chunk.steps; ++t) {
    rows_.for_each_part(mine, [&](Range rows) { multiply_input_rows(w, t, chunk.low, rows); });
  }
}

template <class T>
void ChunkProducts<T>::multiply_input(const Work<T>& w, const Chunk& chunk, const Crew& crew) const {
  if (rows_.halved()) return multiply_input_by_steps(w, chunk, crew.share_of(rows_.batch()));
  multiply_input_rows(w, chunk.low, chunk.low, crew.share_of(rows_in(chunk)));
}

template <class T>
Index ChunkProducts<T>::rows_in(const Chunk& chunk) const {
  const Index high = chunk.low + chunk.steps - 1;
  return rows_.base(high) + rows_.active(high) - rows_.base(chunk.low);
}

// What the chunk has for its products: some rows of a dense batch, or all there are.
template <class T>
ChunkOperands<T> ChunkProducts<T>::operands(const Work<T>& w, const Chunk& chunk, const Range* some) const {
  const Index b = some ? some->begin : 0;
  const Index at = places_.chunk_at(chunk.low, b, chunk.low);
  const bool gathered = w.h_in.data() != nullptr;
  ChunkOperands<T> o{};
  o.runs = some ? chunk.steps : 1;
  o.rows = some ? some->end - b : rows_in(chunk);
  o.run = rows_.stride(b);
  o.x_run = w.x_is_below ? o.run : rows_.batch();
  o.h_run = gathered || !w.is_last ? o.run : rows_.batch();
  o.dgates = w.dgates.data() + at * dgates_row_;
  o.dgates_row = dgates_row_;
  o.x = places_.x_at(w, chunk.low, b);
  o.input = w.input;
  o.h = gathered ? row_of(w.h_in, at, net_.output)
                 : w.h + places_.h_at(w, w.course.slot_before(chunk.low), b) * net_.width();
  o.h_row = gathered ? net_.output : net_.width();
  o.last_in = row_of(w.last_in, at, net_.hidden);
  o.inner = row_of(w.inner, at, net_.hidden);
  o.dprojected = row_of(w.dprojected, at, net_.output);
  return o;
}

// dx = dgates W for rows that lie one after the other, counted from the first of step t on.
template <class T>
void ChunkProducts<T>::multiply_input_rows(const Work<T>& w, Index t, Index low, Range rows) const {
  if (!w.dx || rows.begin >= rows.end) return;
  Product<T> p{};
  p.rows = rows.end - rows.begin;
  p.shape = w.packed->input_shape;
  p.a = w.dgates.data() + places_.chunk_at(t, rows.begin, low) * dgates_row_;
  p.a_row = dgates_row_;
  p.b = w.packed->weight_ih.data();
  p.out = w.dx + places_.between_at(w.is_first, t, rows.begin) * w.input;
  p.out_row = w.input;
  p.panel_begin = 0;
  p.panel_end = k_.panel_count(p.shape);
  k_.product(p);
}

template class ChunkProducts<float>;
template class ChunkProducts<double>;

}  // namespace bptt

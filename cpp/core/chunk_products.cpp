#include "core/chunk_products.hpp"

#include <algorithm>
#include <cstring>

#include "core/products.hpp"

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

// The weight gradients of one thread: its rows of each matrix.
template <class T>
class WeightGradients {
 public:
  // `sets`: gradients = ..., not +=.
  WeightGradients(const Recurrent& net, const Kernels<T>& k, const ChunkOperands<T>& chunk,
                  const DirectionParameters<T>& gradients, bool sets)
      : net_(net), k_(k), chunk_(chunk), gradients_(gradients), sets_(sets) {}

  // Thread `index` of `threads`.
  void add(int index, int threads, T* scratch) const {
    const Range rows = slice_of(net_.traits.gates * net_.hidden, index, threads);
    add_recurrent(rows, scratch);
    add_input(rows, scratch);
    if (net_.options.projection) add_projection(slice_of(net_.output, index, threads), scratch);
    if (net_.bias && !net_.options.layer_norm) add_biases(rows);
  }

 private:
  const T* recurrent_side() const { return chunk_.dgates + net_.recurrent_at * net_.hidden; }

  // out[m] += sum over rows of a[m] b, for the columns m of a in `rows`.
  void multiply(Range rows, RowSpan<const T> a, RowSpan<const T> b, Index b_run, TransposedProduct<T> p) const {
    if (rows.begin >= rows.end) return;
    p.runs = chunk_.runs;
    p.depth = chunk_.rows;
    p.sets = sets_;
    p.m_begin = rows.begin;
    p.m_end = rows.end;
    p.a = a.data;
    p.a_row = a.row;
    p.a_run = chunk_.run * a.row;
    p.b = b.data;
    p.b_row = b.row;
    p.b_run = b_run * b.row;
    k_.transposed_product(p);
  }

  // dU; of a cell with two products, the last gate's product read other rows.
  void add_recurrent(Range rows, T* scratch) const {
    TransposedProduct<T> p{};
    p.scratch = scratch;
    p.columns = p.out_row = net_.output;
    p.out = gradients_.weight_hh;
    const Index columns = net_.traits.gates * net_.hidden;
    const Index first = net_.traits.two_products ? columns - net_.hidden : columns;  // column of the second product
    const RowSpan<const T> a{recurrent_side(), chunk_.dgates_row};
    multiply({rows.begin, std::min(rows.end, first)}, a, {chunk_.h, chunk_.h_row}, chunk_.h_run, p);
    multiply({std::max(rows.begin, first), rows.end}, a, {chunk_.last_in, net_.hidden}, chunk_.run, p);
  }

  // dW
  void add_input(Range rows, T* scratch) const {
    TransposedProduct<T> p{};
    p.scratch = scratch;
    p.columns = p.out_row = chunk_.input;
    for_each_input_part(net_, rows, [&](Range part, Index shift) {
      p.out = gradients_.weight_ih + shift * chunk_.input;
      multiply(part, {chunk_.dgates, chunk_.dgates_row}, {chunk_.x, chunk_.input}, chunk_.x_run, p);
    });
  }

  // dW_hr
  void add_projection(Range rows, T* scratch) const {
    TransposedProduct<T> p{};
    p.scratch = scratch;
    p.columns = p.out_row = net_.hidden;
    p.out = gradients_.weight_hr;
    multiply(rows, {chunk_.dprojected, net_.output}, {chunk_.inner, net_.hidden}, chunk_.run, p);
  }

  void add_biases(Range rows) const {
    // Where both sides of a gate have the same gradient, the sums are the same, too.
    const bool alike = net_.dgates == net_.traits.gates && net_.input_rotate == 0;
    ColumnSums<T> sums{};
    sums.runs = chunk_.runs;
    sums.depth = chunk_.rows;
    sums.columns = rows.end - rows.begin;
    sums.a = recurrent_side() + rows.begin;
    sums.a_row = chunk_.dgates_row;
    sums.a_run = chunk_.run * chunk_.dgates_row;
    sums.out = gradients_.bias_hh + rows.begin;
    sums.also = alike ? gradients_.bias_ih + rows.begin : nullptr;
    sums.sets = sets_;
    k_.add_columns(sums);
    if (alike) return;
    for_each_input_part(net_, rows, [&](Range part, Index shift) {
      sums.columns = part.end - part.begin;
      sums.a = chunk_.dgates + part.begin;
      sums.out = gradients_.bias_ih + part.begin + shift;
      k_.add_columns(sums);
    });
  }

  const Recurrent& net_;
  const Kernels<T>& k_;
  const ChunkOperands<T>& chunk_;
  const DirectionParameters<T>& gradients_;
  bool sets_;
};

}  // namespace

template <class T>
void ChunkProducts<T>::align(const BackwardRun<T>& run, const Chunk& chunk, bool modified, const Crew& crew) const {
  const Range mine = crew.slice_of(chunk.steps);
  for (Index t = chunk.low + mine.begin; t < chunk.low + mine.end; ++t) {
    const Index at = rows_.base(t) - rows_.base(chunk.low);
    if (!modified) {
      const T* from = addresses_.h_at(run, run.order.slot_before(t), 0, chunk.low);
      for (Index b = 0; b < rows_.active(t); ++b) {
        std::memcpy(run.h_in.data() + (at + b) * net_.output, from + b * net_.width(),
                    static_cast<std::size_t>(net_.output) * sizeof(T));
      }
    }
    const Index rest = at + rows_.active(t);
    const Index padding = rows_.allocated(t) - rows_.active(t);
    const auto clear = [&](const Buffer<T>& buffer, Index width) {
      if (!buffer.data()) return;
      std::memset(buffer.data() + rest * width, 0, static_cast<std::size_t>(padding * width) * sizeof(T));
    };
    clear(run.h_in, net_.output);
    clear(run.dgates, addresses_.dgates_row());
    clear(run.last_in, net_.hidden);
    clear(run.inner, net_.hidden);
    clear(run.dprojected, net_.output);
  }
}

template <class T>
void ChunkProducts<T>::sum_gradients(const BackwardRun<T>& run, const Chunk& chunk, const Crew& crew,
                                     T* scratch) const {
  if (!halves_) {
    const ChunkOperands<T> all = operands(run, chunk, nullptr);
    WeightGradients<T>(net_, k_, all, run.gradients, false).add(crew.index, crew.size, scratch);
    return;
  }
  const int each = crew.size % 2 == 0 ? crew.size / 2 : crew.size;  // threads of a half
  for (int half = 0; half < 2; ++half) {
    if (each < crew.size && crew.index / each != half) continue;
    const Range rows = slice_of(rows_.batch(), half, 2);
    const ChunkOperands<T> of_half = operands(run, chunk, &rows);
    if (crew.size == 1) {
      WeightGradients<T>(net_, k_, of_half, run.gradients, false).add(0, 1, scratch);
    } else {
      const auto to = summed_in(run.gradients, run.halves[static_cast<std::size_t>(half)].data());
      WeightGradients<T>(net_, k_, of_half, to, true).add(crew.index % each, each, scratch);
    }
  }
}

template <class T>
void ChunkProducts<T>::add_halves(const BackwardRun<T>& run, const Crew& crew) const {
  if (!halves_ || crew.size == 1) return;
  const Range mine = crew.slice_of(net_.summed_parameters(run.input));
  for (const Buffer<T>& half : run.halves) {
    k_.add(mine.end - mine.begin, half.data() + mine.begin, run.gradients.weight_ih + mine.begin);
  }
}

template <class T>
void ChunkProducts<T>::multiply_input_by_steps(const BackwardRun<T>& run, const Chunk& chunk, Range mine) const {
  for (Index t = chunk.low; t < chunk.low + chunk.steps; ++t) {
    rows_.for_each_part(mine, [&](Range rows) { multiply_input_rows(run, t, chunk.low, rows); });
  }
}

template <class T>
void ChunkProducts<T>::multiply_input(const BackwardRun<T>& run, const Chunk& chunk, const Crew& crew) const {
  if (rows_.halved()) return multiply_input_by_steps(run, chunk, crew.slice_of(rows_.batch()));
  multiply_input_rows(run, chunk.low, chunk.low, crew.slice_of(addresses_.rows_in(chunk)));
}

// The operands of a chunk: some rows of a dense batch, or all rows.
template <class T>
ChunkOperands<T> ChunkProducts<T>::operands(const BackwardRun<T>& run, const Chunk& chunk, const Range* some) const {
  const Index b = some ? some->begin : 0;
  const Index at = addresses_.in_chunk(chunk.low, b, chunk.low);
  const bool gathered = run.h_in.data() != nullptr;
  ChunkOperands<T> o{};
  o.runs = some ? chunk.steps : 1;
  o.rows = some ? some->end - b : addresses_.rows_in(chunk);
  o.run = rows_.stride(b);
  o.x_run = run.x_is_below ? o.run : rows_.batch();
  o.h_run = gathered || !run.is_last ? o.run : rows_.batch();
  o.dgates = run.dgates.data() + at * addresses_.dgates_row();
  o.dgates_row = addresses_.dgates_row();
  o.x = addresses_.x_at(run, chunk.low, b, chunk.low);
  o.input = run.input;
  o.h = gathered ? row_of(run.h_in, at, net_.output)
                 : addresses_.h_at(run, run.order.slot_before(chunk.low), b, chunk.low);
  o.h_row = gathered ? net_.output : net_.width();
  o.last_in = row_of(run.last_in, at, net_.hidden);
  o.inner = row_of(run.inner, at, net_.hidden);
  o.dprojected = row_of(run.dprojected, at, net_.output);
  return o;
}

// dx = dgates W for rows that lie one after the other, counted from the first of step t on.
template <class T>
void ChunkProducts<T>::multiply_input_rows(const BackwardRun<T>& run, Index t, Index low, Range rows) const {
  if (!run.dx || rows.begin >= rows.end) return;
  const Index at = addresses_.in_chunk(t, rows.begin, low);
  const RowSpan<const T> dgates{run.dgates.data() + at * addresses_.dgates_row(), addresses_.dgates_row()};
  multiply_rows<T>(k_, rows.end - rows.begin, dgates, run.weights->weight_ih, nullptr,
                   {addresses_.dx_at(run, t, rows.begin), run.input});
}

template class ChunkProducts<float>;
template class ChunkProducts<double>;

}  // namespace bptt

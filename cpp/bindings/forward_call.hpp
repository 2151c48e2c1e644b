// The arrays of one forward call, as arguments of the core's passes; and its results as arrays.
#pragma once

#include "bindings/rows.hpp"
#include "bindings/tape.hpp"

namespace bptt::bindings {

inline Shape state_shape(const Recurrent& net, Index batch) { return {net.layers * net.directions, batch, net.output}; }
inline Shape cell_shape(const Recurrent& net, Index batch) { return {net.layers * net.directions, batch, net.hidden}; }

// The arguments from Python; None where an array is missing. With `active`, the rows of each step out of `batch`, x is
// (rows.total(), I), else (T, B, I).
struct ForwardCall {
  py::array x;
  std::optional<py::array> h0, c0, active;
  Index batch;
  std::optional<py::array> reset, recurrent_mask{}, keep_h{}, keep_c{}, input_mask{};  // as in Interventions

  template <class T>
  Rows rows(const Recurrent& net) const {
    if (!active) {
      data_of<T>("x", x, {-1, -1, net.input});
      return {x.shape(0), x.shape(1)};
    }
    Rows rows = ragged_rows(*active, batch);
    data_of<T>("x", x, {rows.total(), net.input});
    return rows;
  }

  template <class T>
  Interventions<T> interventions(const Recurrent& net, const Rows& rows) const {
    Interventions<T> by;
    const auto over_time = [&](Index width) {
      Shape shape = shape_over_time(rows, width);
      shape.insert(shape.begin(), net.layers * net.directions);
      return shape;
    };
    by.reset = optional_data_of<std::uint8_t>("reset", reset, rows_over_time(rows));
    by.recurrent_mask = optional_data_of<T>("recurrent_mask", recurrent_mask, state_shape(net, rows.batch()));
    by.keep_h = optional_data_of<T>("keep_h", keep_h, over_time(net.output));
    if (keep_c && !net.traits.has_cell_state) throw std::invalid_argument("keep_c: this cell has no cell state");
    by.keep_c = optional_data_of<T>("keep_c", keep_c, over_time(net.hidden));
    by.input_mask = optional_data_of<T>("input_mask", input_mask, {rows.batch(), net.input_columns()});
    return by;
  }

  // All but the weights and the outputs.
  template <class T>
  ForwardArgs<T> arguments(const Recurrent& net) const {
    ForwardArgs<T> args{};
    args.rows = rows<T>(net);
    args.interventions = interventions<T>(net, args.rows);
    args.x = static_cast<const T*>(x.data());
    args.h0 = optional_data_of<T>("h0", h0, state_shape(net, args.rows.batch()));
    args.c0 = optional_data_of<T>("c0", c0, cell_shape(net, args.rows.batch()));
    return args;
  }
};

// The output and the memory of a pass that keeps no tape, or a compact one.
template <class T>
struct NewOutput {
  py::array array;
  T* slots;  // ForwardArgs::y
};
template <class T>
NewOutput<T> new_output(const Recurrent& net, const Rows& rows) {
  const Index width = net.y_width();
  const Shape shape = shape_over_time(rows, width);
  if (net.merges()) {
    const NewArray<T> y(shape);
    return {y.array, y.data()};
  }
  // y begins after the initial state. Some elements in front of it align y, because JAX copies other memory.
  constexpr auto kAligned = static_cast<Index>(kAlignment / sizeof(T));
  const Index lead = (kAligned - rows.batch() * width % kAligned) % kAligned;
  const NewArray<T> slots({rows.slots() + (lead + width - 1) / width, width});
  T* const first = slots.data() + lead;
  return {array_over(slots.buffer.block(), first + rows.batch() * width, shape), first};
}

// Runs a pass, which keeps the tape if there is one. Returns y, h, and c or None.
template <class T>
py::tuple run(const Recurrent& net, ForwardArgs<T> args, Tape<T>* tape) {
  const Index batch = args.rows.batch();
  const Index width = net.y_width();
  const NewArray<T> h(state_shape(net, batch));
  args.h = h.data();
  std::optional<NewArray<T>> c;
  if (net.traits.has_cell_state) {
    c.emplace(cell_shape(net, batch));
    args.c = c->data();
  }
  py::object cell = c ? py::object(c->array) : py::none();
  if (tape && !tape->compact) {
    compute([&](Interrupt& interrupt) { bptt::forward(net, args, *tape, interrupt); });
    const Buffer<T>& y = net.merges() ? tape->layers.back().passed : tape->layers.back().h;
    const Index first = net.merges() ? 0 : batch * width;
    const Shape shape = shape_over_time(args.rows, width);
    return py::make_tuple(array_over(y.block(), y.data() + first, shape, {}, false), h.array, cell);
  }
  const NewOutput<T> y = new_output<T>(net, args.rows);
  args.y = y.slots;
  compute([&](Interrupt& interrupt) {
    if (tape) {
      bptt::forward(net, args, *tape, interrupt);
    } else {
      bptt::infer(net, args, interrupt);
    }
  });
  return py::make_tuple(y.array, h.array, cell);
}

}  // namespace bptt::bindings

// The arrays that a tape keeps, by layer and direction.
#include "bindings/tape.hpp"
#include "runtime/float_mode.hpp"
#include "runtime/isa.hpp"

namespace bptt::bindings {
namespace {

void check_place(const BoundTape& bound, Index layer, Index direction) {
  if (layer < 0 || layer >= bound.net->layers || direction < 0 || direction >= bound.net->directions) {
    throw py::index_error("layer, direction: out of range");
  }
}

// An array of a tape, in the shape of shape_over_time: a copy of Compact numbers,
template <class T>
py::array kept_over_time(const Rows& rows, bool, const Buffer<Compact>& buffer, const TapeColumns& columns) {
  const Shape shape = shape_over_time(rows, columns.width);
  const NewArray<T> copy(shape);
  const Compact* from = buffer.data() + (columns.in_slots ? rows.slot(1) : 0) * columns.row + columns.first;
  for (Index row = 0; row < rows.total(); ++row) {
    kernels<T>().expand(columns.width, from + row * columns.row, copy.data() + row * columns.width);
  }
  return array_over(copy.buffer.block(), copy.data(), shape, {}, false);
}

// else a view, or a copy where the halves of the batch are stored separately.
template <class T>
py::array kept_over_time(const Rows& rows, bool halved, const Buffer<T>& buffer, const TapeColumns& columns) {
  const Shape shape = shape_over_time(rows, columns.width);
  if (halved) {
    const NewArray<T> copy(shape);
    copy_by_steps(rows, columns, buffer.data(), copy.data());
    return array_over(copy.buffer.block(), copy.data(), shape, {}, false);
  }
  const Index row = columns.row;
  const Shape strides = rows.ragged() ? Shape{row, 1} : Shape{rows.batch() * row, row, 1};
  const T* first = buffer.data() + (columns.in_slots ? rows.slot(1) : 0) * row + columns.first;
  return array_over(buffer.block(), first, shape, strides, false);
}

// What visit(tape, layer of the tape) returns.
template <class Visit>
py::array of_layer(const BoundTape& bound, Index layer, Index direction, Visit visit) {
  check_place(bound, layer, direction);
  const auto at = static_cast<std::size_t>(layer);
  return std::visit(
      [&](const auto& tape) {
        return tape.compact ? visit(tape, tape.compact_layers[at]) : visit(tape, tape.layers[at]);
      },
      bound.tape);
}

py::array tape_h(const BoundTape& bound, Index layer, Index direction) {
  return of_layer(bound, layer, direction, [&]<class T>(const Tape<T>& tape, const auto& kept) {
    const Index width = bound.net->output;
    const bool halved = tape.rows.halved() && layer + 1 < bound.net->layers;  // the last one's is the output
    return kept_over_time<T>(tape.rows, halved, kept.h, {true, direction * width, bound.net->width(), width});
  });
}

py::array tape_c(const BoundTape& bound, Index layer, Index direction) {
  if (!bound.net->traits.has_cell_state) throw std::invalid_argument("c: this cell has no cell state");
  return of_layer(bound, layer, direction, [&]<class T>(const Tape<T>& tape, const auto& kept) {
    const auto& c = kept.directions[static_cast<std::size_t>(direction)].c;
    return kept_over_time<T>(tape.rows, tape.rows.halved(), c, {true, 0, bound.net->hidden, bound.net->hidden});
  });
}

py::object tape_errors(const BoundTape& bound, Index layer, Index direction) {
  check_place(bound, layer, direction);
  const py::object errors = bound.errors();
  return errors.is_none() ? errors : errors[py::int_(layer * bound.net->directions + direction)];
}

// The value of every block whose argument the tape keeps, in place of the argument. `gates` is a copy.
template <class T>
void activate_blocks(const Recurrent& net, const Shape& shape, T* gates) {
  const FlushSubnormals mode;
  const CellOptions<double>& options = net.options.cell;
  const Index width = shape.back();
  Index rows = 1;
  for (std::size_t axis = 0; axis + 1 < shape.size(); ++axis) rows *= shape[axis];
  for (std::size_t block = 0; block < net.traits.functions.size(); ++block) {
    const char letter = net.traits.functions[block];
    const ActivationChoice<double>& choice = letter == 'g' ? options.gate : options.candidate;
    if (letter == '-' || !keeps_argument(choice.kind)) continue;
    const ActivationChoice<T> f{choice.kind, static_cast<T>(choice.alpha), static_cast<T>(choice.beta)};
    for (Index row = 0; row < rows; ++row) {
      T* const at = gates + row * width + static_cast<Index>(block) * net.hidden;
      kernels<T>().activate(net.hidden, f, static_cast<T>(options.gate_clip), at, at);
    }
  }
}

// Activated gates, as the tape keeps them, or computed where the tape keeps arguments.
template <class T>
py::array shown_gates(const Recurrent& net, const py::array& kept) {
  const CellOptions<double>& options = net.options.cell;
  if (!keeps_argument(options.gate.kind) && !keeps_argument(options.candidate.kind)) return kept;
  const Shape shape = shape_of(kept);
  const NewArray<T> copy(shape);
  py::module_::import("numpy").attr("copyto")(copy.array, kept);
  activate_blocks(net, shape, copy.data());
  return array_over(copy.buffer.block(), copy.data(), shape, {}, false);
}

py::array tape_gates(const BoundTape& bound, Index layer, Index direction) {
  if (!bound.net->tape_gates) return tape_h(bound, layer, direction);
  return of_layer(bound, layer, direction, [&]<class T>(const Tape<T>& tape, const auto& kept) {
    const auto& gates = kept.directions[static_cast<std::size_t>(direction)].gates;
    const Index width = bound.net->tape_gates * bound.net->hidden;
    return shown_gates<T>(*bound.net,
                          kept_over_time<T>(tape.rows, tape.rows.halved(), gates, {false, 0, tape.gates_row, width}));
  });
}

// What the arrays of all steps occupy, without the input and the weights.
std::size_t tape_bytes(const BoundTape& bound) {
  std::size_t bytes = 0;
  const auto add = [&]<class E>(const Buffer<E>& array) {
    bytes += static_cast<std::size_t>(array.size()) * sizeof(E);
  };
  const auto add_layers = [&](const auto& layers) {
    for (const auto& layer : layers) {
      add(layer.h);
      add(layer.passed);
      for (const auto& arrays : layer.directions) {
        add(arrays.c);
        for_each_taped<float>(*bound.net, [&](Index, const auto& array) { add(array); }, arrays);
      }
    }
  };
  std::visit(
      [&](const auto& tape) {
        add_layers(tape.layers);
        add_layers(tape.compact_layers);
      },
      bound.tape);
  return bytes;
}

}  // namespace

void bind_tape(py::module_& m) {
  py::class_<BoundTape>(m, "Tape")
      .def_property_readonly("shape",
                             [](const BoundTape& bound) {
                               return std::visit(
                                   [](const auto& tape) { return py::make_tuple(tape.rows.time(), tape.rows.batch()); },
                                   bound.tape);
                             })
      .def_property_readonly("nbytes", &tape_bytes)
      .def("__copy__", &BoundTape::twin)
      .def("h", &tape_h, py::arg("layer"), py::arg("direction"))
      .def("c", &tape_c, py::arg("layer"), py::arg("direction"))
      .def("gates", &tape_gates, py::arg("layer"), py::arg("direction"))
      .def("dh", &tape_errors, py::arg("layer"), py::arg("direction"))
      .def_property_readonly("dh_norm", &BoundTape::dh_norm)
      .def_property_readonly("dc_norm", &BoundTape::dc_norm);
}

}  // namespace bptt::bindings

// The arrays that a tape keeps, by layer and direction.
#include <cstring>

#include "bindings/tape.hpp"

namespace bptt::bindings {
namespace {

template <class T>
const typename Tape<T>::Layer& layer_of(const Tape<T>& tape, const BoundTape& bound, Index layer, Index direction) {
  if (layer < 0 || layer >= bound.net->layers || direction < 0 || direction >= bound.net->directions) {
    throw py::index_error("layer, direction: out of range");
  }
  return tape.layers[static_cast<std::size_t>(layer)];
}

// What a tape keeps, as shape_over_time: of rows `row` elements apart the columns from `first` on, in slots or not. A
// view, but of halves that lie apart a copy, step by step.
template <class T>
py::array kept_over_time(const Rows& rows, bool halved, const Buffer<T>& buffer, bool in_slots, Index first, Index row,
                         Index width) {
  const Shape shape = shape_over_time(rows, width);
  if (!halved) {
    const Shape strides = rows.ragged() ? Shape{row, 1} : Shape{rows.batch() * row, row, 1};
    return array_over(buffer.block(), buffer.data() + (in_slots ? rows.slot(1) : 0) * row + first, shape, strides,
                      false);
  }
  const NewArray<T> copy(shape);
  for (Index t = 0; t < rows.time(); ++t) {
    for (Index b = 0; b < rows.batch(); ++b) {
      const Index at = in_slots ? rows.slot(t + 1, b) : rows.at(t, b);
      std::memcpy(copy.data() + (rows.base(t) + b) * width, buffer.data() + at * row + first,
                  static_cast<std::size_t>(width) * sizeof(T));
    }
  }
  return array_over(copy.buffer.block(), copy.data(), shape, {}, false);
}

py::array tape_h(const BoundTape& bound, Index layer, Index direction) {
  return std::visit(
      [&](const auto& tape) {
        const auto& kept = layer_of(tape, bound, layer, direction);
        const Index width = bound.net->output;
        const bool halved = tape.rows.halved() && layer + 1 < bound.net->layers;  // the last one's is the output
        return kept_over_time(tape.rows, halved, kept.h, true, direction * width, bound.net->width(), width);
      },
      bound.tape);
}

py::array tape_c(const BoundTape& bound, Index layer, Index direction) {
  if (!bound.net->traits.has_cell_state) throw std::invalid_argument("c: this cell has no cell state");
  return std::visit(
      [&](const auto& tape) {
        const auto& kept = layer_of(tape, bound, layer, direction).directions[static_cast<std::size_t>(direction)];
        return kept_over_time(tape.rows, tape.rows.halved(), kept.c, true, 0, bound.net->hidden, bound.net->hidden);
      },
      bound.tape);
}

py::object tape_errors(const BoundTape& bound, Index layer, Index direction) {
  std::visit([&](const auto& tape) { layer_of(tape, bound, layer, direction); }, bound.tape);
  const py::object errors = bound.errors();
  return errors.is_none() ? errors : errors[py::int_(layer * bound.net->directions + direction)];
}

py::array tape_gates(const BoundTape& bound, Index layer, Index direction) {
  if (!bound.net->tape_gates) return tape_h(bound, layer, direction);
  return std::visit(
      [&](const auto& tape) {
        const auto& kept = layer_of(tape, bound, layer, direction).directions[static_cast<std::size_t>(direction)];
        const Index width = bound.net->tape_gates * bound.net->hidden;
        return kept_over_time(tape.rows, tape.rows.halved(), kept.gates, false, 0, tape.gates_row, width);
      },
      bound.tape);
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
      .def("__copy__", &BoundTape::twin)
      .def("h", &tape_h, py::arg("layer"), py::arg("direction"))
      .def("c", &tape_c, py::arg("layer"), py::arg("direction"))
      .def("gates", &tape_gates, py::arg("layer"), py::arg("direction"))
      .def("dh", &tape_errors, py::arg("layer"), py::arg("direction"))
      .def_property_readonly("dh_norm", &BoundTape::dh_norm)
      .def_property_readonly("dc_norm", &BoundTape::dc_norm);
}

}  // namespace bptt::bindings

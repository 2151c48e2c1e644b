// Memory blocks: forward and backward.
#include <cstring>
#include <tuple>

#include "bindings/rows.hpp"
#include "bindings/tape.hpp"
#include "core/blocks/memory_blocks.hpp"

namespace bptt::bindings {
namespace {

using Optional = std::optional<py::array>;

// parameters, x, h0, c0, active, batch, reset
using Inputs = std::tuple<py::array, py::array, Optional, Optional, Optional, Index, Optional>;

// y, c, inner
using States = std::tuple<py::array, py::array, py::array>;

// dy, dh, dc, steps, need_dx, clip by value, clip by norm, keep_errors, cut, norms_of_rows
using Errors =
    std::tuple<Optional, Optional, Optional, std::optional<Index>, bool, double, double, bool, Optional, bool>;

class BoundBlocks {
 public:
  BoundBlocks(Index input, Index blocks, Index cells, Index biases, bool squash, bool truncated)
      : net_{input, blocks, cells, biases, squash, truncated} {
    if (std::min({input, blocks, cells}) < 1) throw std::invalid_argument("sizes: expected at least 1");
    if (biases != 0 && biases != 2 * blocks && biases != net_.units()) throw std::invalid_argument("biases: wrong");
  }

  py::tuple forward(const Inputs& inputs) const {
    return with_dtype("x", std::get<1>(inputs), [&]<class T>(T) { return run<T>(inputs); });
  }

  py::tuple backward(const Inputs& inputs, const States& states, Optional gradients, const Errors& errors) const {
    return with_dtype("x", std::get<1>(inputs),
                      [&]<class T>(T) { return invert<T>(inputs, states, gradients, errors); });
  }

 private:
  Rows rows_of(const Inputs& inputs) const {
    const py::array& x = std::get<1>(inputs);
    if (const Optional& active = std::get<4>(inputs)) return ragged_rows(*active, std::get<5>(inputs));
    if (x.ndim() != 3) throw std::invalid_argument("x: expected three axes");
    return {x.shape(0), x.shape(1)};
  }

  template <class T>
  BlockInputs<T> inputs_of(const Inputs& inputs, const Rows& rows) const {
    const auto& [parameters, x, h0, c0, active, batch, reset] = inputs;
    return {data_of<T>("parameters", parameters, {net_.parameters()}),
            data_of<T>("x", x, shape_over_time(rows, net_.input)),
            optional_data_of<T>("h0", h0, {1, rows.batch(), net_.outputs()}),
            optional_data_of<T>("c0", c0, {1, rows.batch(), net_.units()}),
            optional_data_of<std::uint8_t>("reset", reset, rows_over_time(rows))};
  }

  template <class T>
  py::tuple run(const Inputs& inputs) const {
    const Rows rows = rows_of(inputs);
    const BlockInputs<T> in = inputs_of<T>(inputs, rows);
    const NewArray<T> y(shape_over_time(rows, net_.outputs())), c(shape_over_time(rows, net_.units()));
    const NewArray<T> inner(shape_over_time(rows, 2 * net_.outputs()));
    const NewArray<T> last_h({1, rows.batch(), net_.outputs()}), last_c({1, rows.batch(), net_.units()});
    compute([&](Interrupt& interrupt) {
      blocks_forward(net_, rows, in, {y.data(), c.data(), inner.data()}, {last_h.data(), last_c.data()}, interrupt);
    });
    return py::make_tuple(y.array, last_h.array, last_c.array, c.array, inner.array);
  }

  template <class T>
  static NewArray<T> copy_or_zeros(const char* name, const Optional& from, const Shape& shape) {
    const T* data = optional_data_of<T>(name, from, shape);
    NewArray<T> copy(shape);
    const auto bytes = static_cast<std::size_t>(copy.array.nbytes());
    if (data) {
      std::memcpy(copy.data(), data, bytes);
    } else {
      std::memset(copy.data(), 0, bytes);
    }
    return copy;
  }

  template <class T>
  py::tuple invert(const Inputs& inputs, const States& states, Optional& gradients, const Errors& errors) const {
    const Rows rows = rows_of(inputs);
    const BlockInputs<T> in = inputs_of<T>(inputs, rows);
    const auto& [y, c, inner] = states;
    const auto& [dy, dh, dc, steps, need_dx, value, norm, keep_errors, cut, norms_of_rows] = errors;
    const Shape outputs = shape_over_time(rows, net_.outputs());
    const auto read = [](const char* name, const py::array& array, const Shape& shape) {
      return const_cast<T*>(data_of<T>(name, array, shape));
    };
    const BlockStates<T> from{read("y", y, outputs), read("c", c, shape_over_time(rows, net_.units())),
                              read("inner", inner, shape_over_time(rows, 2 * net_.outputs()))};
    const auto dh0 = copy_or_zeros<T>("dh", dh, {1, rows.batch(), net_.outputs()});
    const auto dc0 = copy_or_zeros<T>("dc", dc, {1, rows.batch(), net_.units()});
    const NewArray<double> norms({2, 1, norms_of_rows ? rows.total() : rows.time()});
    std::optional<NewArray<T>> dx, kept;
    if (need_dx) dx.emplace(shape_over_time(rows, net_.input));
    if (keep_errors) kept.emplace(outputs);
    BlockErrors<T> args{optional_data_of<T>("dy", dy, outputs),
                        dh0.data(),
                        dc0.data(),
                        dx ? dx->data() : nullptr,
                        gradients ? mutable_data_of<T>("gradients", *gradients, {net_.parameters()}) : nullptr,
                        kept ? kept->data() : nullptr,
                        norms.data(),
                        norms.data() + norms.array.size() / 2,
                        optional_data_of<std::uint8_t>("cut", cut, rows_over_time(rows)),
                        steps.value_or(rows.time()),
                        {value, norm},
                        norms_of_rows};
    std::optional<Adding> adding;
    if (args.gradients) adding.emplace(args.gradients);
    compute([&](Interrupt& interrupt) { blocks_backward(net_, rows, in, from, args, interrupt); });
    return py::make_tuple(dx ? py::object(dx->array) : py::none(), dh0.array, dc0.array, norms.array,
                          kept ? py::object(kept->array) : py::none());
  }

  MemoryBlocks net_;
};

}  // namespace

void bind_blocks(py::module_& m) {
  py::class_<BoundBlocks>(m, "MemoryBlocks")
      .def(py::init<Index, Index, Index, Index, bool, bool>(), py::arg("input"), py::arg("blocks"), py::arg("cells"),
           py::arg("biases"), py::arg("squash"), py::arg("truncated"))
      .def("forward", &BoundBlocks::forward, py::arg("inputs"))
      .def("backward", &BoundBlocks::backward, py::arg("inputs"), py::arg("states"), py::arg("gradients"),
           py::arg("errors"))
      .def_property_readonly("chunk_steps", [](const BoundBlocks&) { return MemoryBlocks::kChunk; });
}

}  // namespace bptt::bindings

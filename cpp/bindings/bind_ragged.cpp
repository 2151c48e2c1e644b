// Ragged batches: from the caller's order of rows to the order in which they run, and back.
#include "bindings/rows.hpp"
#include "core/ragged.hpp"

namespace bptt::bindings {
namespace {

const std::int64_t* order_of(const py::array& order, Index batch) {
  const auto* rows = data_of<std::int64_t>("order", order, {batch});
  if (!is_order(rows, batch)) throw std::invalid_argument("order: expected every row once");
  return rows;
}

using Times = std::optional<py::array>;

const std::int64_t* times_of(const Times& times, const Rows& rows) {
  const auto* each = optional_data_of<std::int64_t>("times", times, {rows.total()});
  if (each && !are_times(rows, each)) throw std::invalid_argument("times: must rise in each row, and lie below T");
  return each;
}

// Elements may be of any type of plain bytes. The strides of an empty array mean nothing.
void check_elements(const char* name, const py::array& a, Index dimensions) {
  if (a.dtype().kind() == 'O' || a.ndim() != dimensions ||
      (a.size() > 0 && a.shape(dimensions - 1) > 1 && a.strides(dimensions - 1) != a.itemsize())) {
    throw py::type_error(std::string(name) + ": expected " + std::to_string(dimensions) +
                         " axes, the last of them contiguous, and no Python objects");
  }
}

py::array new_array(const py::dtype& dtype, const Shape& shape) {
  const Shape strides = contiguous_strides(shape, dtype.itemsize());
  const Block block(static_cast<std::size_t>(strides[0] * shape[0]));
  return array_in(block, dtype, block.data(), shape, strides);
}

py::array gather(const py::array& x, const py::array& order, const py::array& active, const Times& times) {
  check_elements("x", x, 3);
  const Rows rows = ragged_rows(active, x.shape(1));
  if (rows.time() != x.shape(0)) throw std::invalid_argument("active: expected one for each step of x");
  const RowPlaces places{order_of(order, rows.batch()), x.strides(0), x.strides(1), times_of(times, rows)};
  const Index width = x.shape(2) * x.itemsize();
  py::array packed = new_array(x.dtype(), {rows.total(), x.shape(2)});
  const auto* from = static_cast<const char*>(x.data());
  auto* to = static_cast<char*>(packed.mutable_data());
  compute([&](Interrupt&) { gather_rows(rows, places, width, from, to); });
  return packed;
}

py::array scatter(const py::array& packed, const py::array& order, const py::array& active, const Times& times) {
  check_elements("packed", packed, 2);
  const Rows rows = ragged_rows(active, order.shape(0));
  if (rows.total() != packed.shape(0)) throw std::invalid_argument("packed: expected as many rows as `active` has");
  const Index width = packed.shape(1) * packed.itemsize();
  const RowPlaces places{order_of(order, rows.batch()), rows.batch() * width, width, times_of(times, rows)};
  py::array array = new_array(packed.dtype(), {rows.time(), rows.batch(), packed.shape(1)});
  const auto* from = static_cast<const char*>(packed.data());
  const Index from_row = packed.strides(0);
  auto* to = static_cast<char*>(array.mutable_data());
  compute([&](Interrupt&) { scatter_rows(rows, places, width, from, from_row, to); });
  return array;
}

// (R, rows over time) -> (R, T)
py::array combine(const py::array& norms, Index batch, const py::array& active, const Times& times) {
  const Rows rows = ragged_rows(active, batch);
  const auto* of_rows = data_of<double>("norms", norms, {-1, rows.total()});
  const auto* each = times_of(times, rows);
  const NewArray<double> over_time({norms.shape(0), rows.time()});
  for (Index i = 0; i < norms.shape(0); ++i) {
    combine_norms(rows, each, of_rows + i * rows.total(), over_time.data() + i * rows.time());
  }
  return over_time.array;
}

}  // namespace

void bind_ragged(py::module_& m) {
  m.def("gather_rows", &gather, py::arg("x"), py::arg("order"), py::arg("active"), py::arg("times") = py::none());
  m.def("scatter_rows", &scatter, py::arg("packed"), py::arg("order"), py::arg("active"),
        py::arg("times") = py::none());
  m.def("combine_norms", &combine, py::arg("norms"), py::arg("batch"), py::arg("active"),
        py::arg("times") = py::none());
}

}  // namespace bptt::bindings

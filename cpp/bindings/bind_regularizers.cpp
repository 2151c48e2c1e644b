// The passes over errors of a regulariser.
#include "bindings/numpy.hpp"
#include "core/timeless/norm_regularizer.hpp"

namespace bptt::bindings {
namespace {

py::tuple unit_errors_of(const py::array& errors, const py::array& slopes, double least) {
  return with_dtype("errors", errors, [&]<class T>(T) {
    const T* from = data_of<T>("errors", errors, {-1, -1});
    const Index rows = errors.shape(0), size = errors.shape(1);
    const T* slope = data_of<T>("slopes", slopes, {rows, size});
    const NewArray<T> scaled({rows, size});
    Index count = 0;
    compute([&](Interrupt&) { count = unit_errors(rows, size, least, from, slope, scaled.data()); });
    return py::make_tuple(scaled.array, count);
  });
}

double weigh_by_excess_of(const py::array& back, py::array scaled) {
  return with_dtype("back", back, [&]<class T>(T) {
    const T* from = data_of<T>("back", back, {-1, -1});
    const Index rows = back.shape(0), size = back.shape(1);
    T* to = mutable_data_of<T>("scaled", scaled, {rows, size});
    double sum = 0;
    compute([&](Interrupt&) { sum = weigh_by_excess(rows, size, from, to); });
    return sum;
  });
}

}  // namespace

void bind_regularizers(py::module_& m) {
  m.def("unit_errors", &unit_errors_of, py::arg("errors"), py::arg("slopes"), py::arg("least"));
  m.def("weigh_by_excess", &weigh_by_excess_of, py::arg("back"), py::arg("scaled"));
}

}  // namespace bptt::bindings

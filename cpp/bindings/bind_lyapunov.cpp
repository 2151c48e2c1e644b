// A frame of vectors pushed through Jacobians.
#include <cstring>

#include "bindings/numpy.hpp"
#include "core/lyapunov.hpp"

namespace bptt::bindings {
namespace {

// jacobians (T, N, N), frame (N, k) -> the frame moved on, and the logarithms of its growth (T, k).
py::tuple push_frame_of(const py::array& jacobians, const py::array& frame) {
  const double* of_steps = data_of<double>("jacobians", jacobians, {-1, -1, -1});
  const Index time = jacobians.shape(0), size = jacobians.shape(1);
  data_of<double>("jacobians", jacobians, {time, size, size});
  const double* from = data_of<double>("frame", frame, {size, -1});
  const Index count = frame.shape(1);
  const NewArray<double> moved({size, count}), growth({time, count});
  std::memcpy(moved.data(), from, static_cast<std::size_t>(frame.nbytes()));
  compute([&](Interrupt&) { push_frame(time, size, count, of_steps, moved.data(), growth.data()); });
  return py::make_tuple(moved.array, growth.array);
}

}  // namespace

void bind_lyapunov(py::module_& m) { m.def("push_frame", &push_frame_of, py::arg("jacobians"), py::arg("frame")); }

}  // namespace bptt::bindings

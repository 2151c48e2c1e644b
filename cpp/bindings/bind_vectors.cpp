// Flat vectors in place: norms, clipping, optimisers.
#include "bindings/numpy.hpp"
#include "core/timeless/vectors.hpp"
#include "runtime/isa.hpp"

namespace bptt::bindings {
namespace {

template <class T>
T* optional_mutable(const char* name, std::optional<py::array>& a, Index size) {
  return a ? mutable_data_of<T>(name, *a, {size}) : nullptr;
}

double norm(const py::array& x) {
  return with_dtype("x", x, [&]<class T>(T) {
    const T* data = data_of<T>("x", x, {-1});
    double result = 0;
    compute([&](Interrupt&) { result = norm_of<T>(x.size(), data); });
    return result;
  });
}

void scale(py::array x, double factor) {
  with_dtype("x", x, [&]<class T>(T) {
    T* data = mutable_data_of<T>("x", x, {-1});
    compute([&](Interrupt&) { scale_by<T>(x.size(), factor, data); });
  });
}

void clip_value(py::array x, double limit) {
  with_dtype("x", x, [&]<class T>(T) {
    T* data = mutable_data_of<T>("x", x, {-1});
    compute([&](Interrupt&) { kernels<T>().clip(x.size(), static_cast<T>(limit), data); });
  });
}

double largest_magnitude(const py::array& x) {
  return with_dtype("x", x, [&]<class T>(T) {
    const T* data = data_of<T>("x", x, {-1});
    T result{};
    compute([&](Interrupt&) { result = kernels<T>().largest_magnitude(x.size(), data); });
    return static_cast<double>(result);
  });
}

Index first_nonfinite(const py::array& x) {
  return with_dtype("x", x, [&]<class T>(T) {
    const T* data = data_of<T>("x", x, {-1});
    return bptt::first_nonfinite<T>(x.size(), data);
  });
}

void sgd_step(py::array p, const py::array& g, std::optional<py::array> velocity, double lr, double momentum,
              bool nesterov, double weight_decay) {
  with_dtype("p", p, [&]<class T>(T) {
    const Index n = p.size();
    T* params = mutable_data_of<T>("p", p, {n});
    const T* gradient = data_of<T>("g", g, {n});
    T* v = optional_mutable<T>("velocity", velocity, n);
    compute([&](Interrupt&) { kernels<T>().sgd(n, {lr, momentum, weight_decay, nesterov}, params, gradient, v); });
  });
}

void rmsprop_step(py::array p, const py::array& g, py::array square, std::optional<py::array> velocity, double lr,
                  double decay, double momentum, double epsilon, double weight_decay, std::optional<py::array> mean) {
  with_dtype("p", p, [&]<class T>(T) {
    const Index n = p.size();
    T* params = mutable_data_of<T>("p", p, {n});
    const T* gradient = data_of<T>("g", g, {n});
    T* s = mutable_data_of<T>("square", square, {n});
    T* v = optional_mutable<T>("velocity", velocity, n);
    T* a = optional_mutable<T>("mean", mean, n);
    const RmspropRule rule{lr, decay, momentum, epsilon, weight_decay};
    compute([&](Interrupt&) {
      if (a) {
        kernels<T>().centered_rmsprop(n, rule, {gradient, params, v, s, a});
      } else {
        kernels<T>().rmsprop(n, rule, params, gradient, s, v);
      }
    });
  });
}

void adam_step(py::array p, const py::array& g, py::array m, py::array v, double lr, double beta1, double beta2,
               double epsilon, double weight_decay, bool decoupled, Index step, std::optional<py::array> largest) {
  if (step < 1) throw std::invalid_argument("step: expected at least 1, got " + std::to_string(step));
  with_dtype("p", p, [&]<class T>(T) {
    const Index n = p.size();
    T* params = mutable_data_of<T>("p", p, {n});
    const T* gradient = data_of<T>("g", g, {n});
    T* first = mutable_data_of<T>("m", m, {n});
    T* second = mutable_data_of<T>("v", v, {n});
    const AdamRule rule = adam_at({lr, beta1, beta2, epsilon, weight_decay, 0, 0, decoupled}, step);
    T* top = optional_mutable<T>("largest", largest, n);
    compute([&](Interrupt&) {
      if (top) {
        kernels<T>().amsgrad(n, rule, {gradient, params, first, second, top});
      } else {
        kernels<T>().adam(n, rule, params, gradient, first, second);
      }
    });
  });
}

}  // namespace

void bind_vectors(py::module_& m) {
  m.def("norm", &norm, py::arg("x"));
  m.def("scale", &scale, py::arg("x"), py::arg("factor"));
  m.def("clip_value", &clip_value, py::arg("x"), py::arg("limit"));
  m.def("largest_magnitude", &largest_magnitude, py::arg("x"));
  m.def("first_nonfinite", &first_nonfinite, py::arg("x"));
  m.def("sgd_step", &sgd_step, py::arg("p"), py::arg("g"), py::arg("velocity"), py::arg("lr"), py::arg("momentum"),
        py::arg("nesterov"), py::arg("weight_decay"));
  m.def("rmsprop_step", &rmsprop_step, py::arg("p"), py::arg("g"), py::arg("square"), py::arg("velocity"),
        py::arg("lr"), py::arg("decay"), py::arg("momentum"), py::arg("epsilon"), py::arg("weight_decay"),
        py::arg("mean") = py::none());
  m.def("adam_step", &adam_step, py::arg("p"), py::arg("g"), py::arg("m"), py::arg("v"), py::arg("lr"),
        py::arg("beta1"), py::arg("beta2"), py::arg("epsilon"), py::arg("weight_decay"), py::arg("decoupled"),
        py::arg("step"), py::arg("largest") = py::none());
}

}  // namespace bptt::bindings

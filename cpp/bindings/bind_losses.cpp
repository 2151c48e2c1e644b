// Losses: the mean over what the mask leaves, and its gradient.
#include "bindings/numpy.hpp"
#include "core/timeless/losses.hpp"
#include "runtime/isa.hpp"

namespace bptt::bindings {
namespace {

// The mean of `terms` terms per unmasked row.
template <class T, class Kernel>
py::tuple mean_of(LossRows<T>& args, const py::array& y, Index terms, bool need_gradient, Kernel kernel) {
  std::optional<NewArray<T>> dy;
  if (need_gradient) {
    dy.emplace(shape_of(y));
    args.dy = dy->data();
  }
  double mean = 0;
  compute([&](Interrupt&) { mean = mean_loss<T>(args, terms, kernel); });
  return py::make_tuple(mean, dy ? py::object(dy->array) : py::none());
}

template <class T>
LossRows<T> loss_rows(const char* name, const py::array& y, const std::optional<py::array>& mask) {
  LossRows<T> args{};
  args.y = data_of<T>(name, y, {-1, -1});
  args.rows = y.shape(0);
  args.columns = y.shape(1);
  args.mask = optional_data_of<bool>("mask", mask, {args.rows});
  return args;
}

py::tuple cross_entropy(const py::array& logits, const py::array& target, const std::optional<py::array>& mask,
                        bool need_gradient) {
  return with_dtype("logits", logits, [&]<class T>(T) {
    LossRows<T> args = loss_rows<T>("logits", logits, mask);
    args.labels = data_of<std::int64_t>("target", target, {args.rows});
    const Index bad = first_bad_label(args.labels, args.mask, args.rows, args.columns);
    if (bad >= 0) {
      throw std::invalid_argument("target: expected classes from 0 to " + std::to_string(args.columns - 1) + ", got " +
                                  std::to_string(args.labels[bad]) + " at position " + std::to_string(bad));
    }
    return mean_of<T>(args, logits, 1, need_gradient, kernels<T>().cross_entropy);
  });
}

template <class T>
using LossKernel = double (*)(const LossRows<T>&);

template <LossKernel<float> Kernels<float>::* Float, LossKernel<double> Kernels<double>::* Double>
py::tuple elementwise(const py::array& y, const py::array& target, const std::optional<py::array>& mask,
                      bool need_gradient) {
  return with_dtype("y", y, [&]<class T>(T) {
    LossRows<T> args = loss_rows<T>("y", y, mask);
    args.target = data_of<T>("target", target, shape_of(y));
    LossKernel<T> kernel;
    if constexpr (sizeof(T) == sizeof(float)) {
      kernel = kernels<T>().*Float;
    } else {
      kernel = kernels<T>().*Double;
    }
    return mean_of<T>(args, y, args.columns, need_gradient, kernel);
  });
}

}  // namespace

void bind_losses(py::module_& m) {
  m.def("cross_entropy", &cross_entropy, py::arg("logits"), py::arg("target"), py::arg("mask"),
        py::arg("need_gradient"));
  m.def("mean_squared_error", &elementwise<&Kernels<float>::squared_error, &Kernels<double>::squared_error>,
        py::arg("y"), py::arg("target"), py::arg("mask"), py::arg("need_gradient"));
  m.def("binary_cross_entropy",
        &elementwise<&Kernels<float>::binary_cross_entropy, &Kernels<double>::binary_cross_entropy>, py::arg("logits"),
        py::arg("target"), py::arg("mask"), py::arg("need_gradient"));
}

}  // namespace bptt::bindings

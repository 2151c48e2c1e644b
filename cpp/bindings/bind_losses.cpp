// Losses: the mean over what the mask leaves, and its gradient.
#include "bindings/numpy.hpp"
#include "runtime/isa.hpp"

namespace bptt::bindings {
namespace {

Index count_rows(const bool* mask, Index rows) {
  if (!mask) return rows;
  Index count = 0;
  for (Index i = 0; i < rows; ++i) count += mask[i] ? 1 : 0;
  return count;
}

// The mean of `terms` terms per unmasked row; 0 if there are none.
template <class T, class Kernel>
py::tuple mean_loss(LossRows<T>& args, const py::array& y, const std::optional<py::array>& mask, Index terms,
                    bool need_gradient, Kernel kernel) {
  args.y = data_of<T>("y", y, {-1, -1});
  args.rows = y.shape(0);
  args.columns = y.shape(1);
  args.mask = optional_data_of<bool>("mask", mask, {args.rows});
  const Index unmasked = count_rows(args.mask, args.rows);
  args.scale = unmasked * terms > 0 ? 1.0 / static_cast<double>(unmasked * terms) : 0;
  std::optional<NewArray<T>> dy;
  if (need_gradient) {
    dy.emplace(shape_of(y));
    args.dy = dy->data();
  }
  double total = 0;
  compute([&](Interrupt&) { total = kernel(args); });
  return py::make_tuple(total * args.scale, dy ? py::object(dy->array) : py::none());
}

py::tuple cross_entropy(const py::array& logits, const py::array& target, const std::optional<py::array>& mask,
                        bool need_gradient) {
  return with_dtype("logits", logits, [&]<class T>(T) {
    LossRows<T> args{};
    data_of<T>("logits", logits, {-1, -1});
    const Index rows = logits.shape(0), classes = logits.shape(1);
    args.labels = data_of<std::int64_t>("target", target, {rows});
    const bool* kept = optional_data_of<bool>("mask", mask, {rows});
    for (Index i = 0; i < rows; ++i) {
      if ((!kept || kept[i]) && (args.labels[i] < 0 || args.labels[i] >= classes)) {
        throw std::invalid_argument("target: expected classes from 0 to " + std::to_string(classes - 1) + ", got " +
                                    std::to_string(args.labels[i]) + " at position " + std::to_string(i));
      }
    }
    return mean_loss<T>(args, logits, mask, 1, need_gradient, kernels<T>().cross_entropy);
  });
}

template <class T>
using LossKernel = double (*)(const LossRows<T>&);

template <LossKernel<float> Kernels<float>::* Float, LossKernel<double> Kernels<double>::* Double>
py::tuple elementwise(const py::array& y, const py::array& target, const std::optional<py::array>& mask,
                      bool need_gradient) {
  return with_dtype("y", y, [&]<class T>(T) {
    LossRows<T> args{};
    data_of<T>("y", y, {-1, -1});
    args.target = data_of<T>("target", target, shape_of(y));
    LossKernel<T> kernel;
    if constexpr (sizeof(T) == sizeof(float)) {
      kernel = kernels<T>().*Float;
    } else {
      kernel = kernels<T>().*Double;
    }
    return mean_loss<T>(args, y, mask, y.shape(1), need_gradient, kernel);
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

// Losses: a scaled sum over what the mask leaves, and its gradient.
#include "bindings/numpy.hpp"
#include "core/timeless/losses.hpp"
#include "runtime/isa.hpp"

namespace bptt::bindings {
namespace {

using MaybeArray = std::optional<py::array>;

template <class T>
using LossKernel = double (*)(const LossRows<T>&);

template <class T>
LossRows<T> loss_rows(const py::array& y, const MaybeArray& mask, const MaybeArray& weight, double scale) {
  LossRows<T> args{};
  args.y = data_of<T>("y", y, {-1, -1});
  args.rows = y.shape(0);
  args.columns = y.shape(1);
  args.mask = optional_data_of<bool>("mask", mask, {args.rows});
  args.weight = optional_data_of<double>("weight", weight, {args.rows});
  args.scale = scale;
  return args;
}

template <class T>
py::tuple scaled_sum(LossRows<T>& args, const py::array& y, bool need_gradient, LossKernel<T> kernel) {
  std::optional<NewArray<T>> dy;
  if (need_gradient) {
    dy.emplace(shape_of(y));
    args.dy = dy->data();
  }
  double sum = 0;
  compute([&](Interrupt&) { sum = kernel(args); });
  return py::make_tuple(sum * args.scale, dy ? py::object(dy->array) : py::none());
}

py::tuple cross_entropy(const py::array& logits, const py::array& target, const MaybeArray& mask,
                        const MaybeArray& weight, double scale, bool need_gradient, const MaybeArray& class_weight,
                        double smoothing) {
  return with_dtype("logits", logits, [&]<class T>(T) {
    LossRows<T> args = loss_rows<T>(logits, mask, weight, scale);
    args.labels = data_of<std::int64_t>("target", target, {args.rows});
    args.column = optional_data_of<T>("class_weight", class_weight, {args.columns});
    args.parameter = smoothing;
    const Index bad = first_bad_label(args.labels, args.mask, args.rows, args.columns);
    if (bad >= 0) {
      throw std::invalid_argument("target: expected classes from 0 to " + std::to_string(args.columns - 1) + ", got " +
                                  std::to_string(args.labels[bad]) + " at position " + std::to_string(bad));
    }
    const bool plain = !args.weight && !args.column && smoothing == 0;
    const auto& table = kernels<T>();
    return scaled_sum<T>(args, logits, need_gradient, plain ? table.cross_entropy : table.weighted_cross_entropy);
  });
}

template <class T>
LossKernel<T> elementwise_kernel(const std::string& name, const LossRows<T>& args) {
  const auto& table = kernels<T>();
  if (name == "squared_error") return table.squared_error;
  if (name == "absolute_error") return table.absolute_error;
  if (name == "huber") return table.huber;
  if (name == "quantile" && args.column) return table.quantile;
  if (name == "binary_cross_entropy") {
    return args.weight || args.column ? table.weighted_binary_cross_entropy : table.binary_cross_entropy;
  }
  throw std::invalid_argument("name: expected a loss, got " + name);
}

py::tuple elementwise_loss(const std::string& name, const py::array& y, const py::array& target, const MaybeArray& mask,
                           const MaybeArray& weight, double scale, bool need_gradient, const MaybeArray& column,
                           double parameter) {
  return with_dtype("y", y, [&]<class T>(T) {
    LossRows<T> args = loss_rows<T>(y, mask, weight, scale);
    args.target = data_of<T>("target", target, shape_of(y));
    args.column = optional_data_of<T>("column", column, {args.columns});
    args.parameter = parameter;
    return scaled_sum<T>(args, y, need_gradient, elementwise_kernel<T>(name, args));
  });
}

}  // namespace

void bind_losses(py::module_& m) {
  m.def("cross_entropy", &cross_entropy, py::arg("logits"), py::arg("target"), py::arg("mask"), py::arg("weight"),
        py::arg("scale"), py::arg("need_gradient"), py::arg("class_weight") = py::none(), py::arg("smoothing") = 0.0);
  m.def("elementwise_loss", &elementwise_loss, py::arg("name"), py::arg("y"), py::arg("target"), py::arg("mask"),
        py::arg("weight"), py::arg("scale"), py::arg("need_gradient"), py::arg("column") = py::none(),
        py::arg("parameter") = 0.0);
}

}  // namespace bptt::bindings

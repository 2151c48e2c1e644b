// Layers without parameters: activations, pools; and layer norm.
#include <map>

#include "bindings/recurrent_options.hpp"
#include "core/timeless/activations.hpp"
#include "core/timeless/layer_norm.hpp"
#include "core/timeless/pools.hpp"
#include "runtime/isa.hpp"

namespace bptt::bindings {
namespace {

std::optional<Elementwise> elementwise_named(const std::string& name) {
  static const std::map<std::string, Elementwise> kinds = {
      {"tanh", Elementwise::tanh}, {"relu", Elementwise::relu}, {"sigmoid", Elementwise::sigmoid},
      {"gelu", Elementwise::gelu}, {"silu", Elementwise::silu},
  };
  const auto entry = kinds.find(name);
  return entry == kinds.end() ? std::nullopt : std::optional(entry->second);
}

// An activation that is a layer, another one of the cells, or exp.
py::array activation(const std::string& name, const py::array& x, double alpha, double beta) {
  const std::optional<Elementwise> kind = elementwise_named(name);
  const bool is_exp = name == "exp";
  ActivationChoice<double> choice{};
  if (!kind && !is_exp) choice = activation_named(py::make_tuple(name, alpha, beta));
  return with_dtype("x", x, [&]<class T>(T) -> py::array {
    const Kernels<T>& k = kernels<T>();
    const ActivationChoice<T> f{choice.kind, static_cast<T>(choice.alpha), static_cast<T>(choice.beta)};
    const T* from = data_of<T>("x", x, shape_of(x));
    const NewArray<T> y(shape_of(x));
    compute([&](Interrupt& interrupt) {
      if (kind) return elementwise(*kind, x.size(), from, y.data(), interrupt);
      in_pieces(x.size(), 1, interrupt, [&](Index begin, Index end) {
        if (is_exp) return k.exp(end - begin, from + begin, y.data() + begin);
        k.activate(end - begin, f, std::numeric_limits<T>::infinity(), from + begin, y.data() + begin);
      });
    });
    return y.array;
  });
}

py::array activation_backward(const std::string& name, const py::array& dy, const py::array& kept) {
  const std::optional<Elementwise> kind = elementwise_named(name);
  if (!kind) throw std::invalid_argument("name: expected an activation that is a layer, got '" + name + "'");
  return with_dtype("dy", dy, [&]<class T>(T) -> py::array {
    const T* gradient = data_of<T>("dy", dy, shape_of(dy));
    const T* values = data_of<T>("kept", kept, shape_of(dy));
    const NewArray<T> dx(shape_of(dy));
    compute([&](Interrupt& interrupt) { elementwise_back(*kind, dy.size(), gradient, values, dx.data(), interrupt); });
    return dx.array;
  });
}

py::array softmax_forward(const py::array& x) {
  return with_dtype("x", x, [&]<class T>(T) -> py::array {
    const T* from = data_of<T>("x", x, {-1, -1});
    const NewArray<T> y(shape_of(x));
    compute([&](Interrupt& interrupt) { bptt::softmax(x.shape(0), x.shape(1), from, y.data(), interrupt); });
    return y.array;
  });
}

py::array softmax_backward(const py::array& dy, const py::array& y) {
  return with_dtype("dy", dy, [&]<class T>(T) -> py::array {
    const T* gradient = data_of<T>("dy", dy, {-1, -1});
    const T* result = data_of<T>("y", y, shape_of(dy));
    const NewArray<T> dx(shape_of(dy));
    compute([&](Interrupt& interrupt) {
      bptt::softmax_back(dy.shape(0), dy.shape(1), gradient, result, dx.data(), interrupt);
    });
    return dx.array;
  });
}

// y, and if `keep` is true the arrays that the gradient needs.
py::tuple layer_norm_forward(const py::array& x, const std::optional<py::array>& weight,
                             const std::optional<py::array>& bias, double epsilon, bool keep) {
  return with_dtype("x", x, [&]<class T>(T) -> py::tuple {
    LayerNormForward<T> args{};
    args.x = data_of<T>("x", x, {-1, -1});
    args.rows = x.shape(0);
    args.columns = x.shape(1);
    args.gain = optional_data_of<T>("weight", weight, {args.columns});
    args.bias = optional_data_of<T>("bias", bias, {args.columns});
    args.epsilon = epsilon;
    const NewArray<T> y({args.rows, args.columns});
    args.y = y.data();
    std::optional<NewArray<T>> hat, scale;
    if (keep) {
      args.hat = hat.emplace(Shape{args.rows, args.columns}).data();
      args.scale = scale.emplace(Shape{args.rows}).data();
    }
    compute([&](Interrupt& interrupt) { bptt::layer_norm_forward(args, interrupt); });
    const auto kept = [](const std::optional<NewArray<T>>& a) { return a ? py::object(a->array) : py::none(); };
    return py::make_tuple(y.array, kept(hat), kept(scale));
  });
}

py::object layer_norm_backward(const py::array& dy, const py::array& hat, const py::array& scale,
                               const std::optional<py::array>& weight, std::optional<py::array> dweight,
                               std::optional<py::array> dbias, bool need_dx) {
  return with_dtype("dy", dy, [&]<class T>(T) -> py::object {
    LayerNormBackward<T> args{};
    args.dy = data_of<T>("dy", dy, {-1, -1});
    args.rows = dy.shape(0);
    args.columns = dy.shape(1);
    args.hat = data_of<T>("hat", hat, shape_of(dy));
    args.scale = data_of<T>("scale", scale, {args.rows});
    args.gain = optional_data_of<T>("weight", weight, {args.columns});
    args.dgain = dweight ? mutable_data_of<T>("dweight", *dweight, {args.columns}) : nullptr;
    args.dbias = dbias ? mutable_data_of<T>("dbias", *dbias, {args.columns}) : nullptr;
    std::optional<NewArray<T>> dx;
    if (need_dx) args.dx = dx.emplace(shape_of(dy)).data();
    std::optional<Adding> adding;
    if (args.dgain) adding.emplace(args.dgain);
    compute([&](Interrupt& interrupt) { bptt::layer_norm_backward(args, interrupt); });
    return dx ? py::object(dx->array) : py::none();
  });
}

PoolSteps pool_steps(const Shape& shape, const std::optional<py::array>& valid, bool batch_first) {
  PoolSteps s{};
  s.steps = shape[batch_first ? 1 : 0];
  s.rows = shape[batch_first ? 0 : 1];
  s.columns = shape[2];
  s.step_stride = (batch_first ? 1 : s.rows) * s.columns;
  s.row_stride = (batch_first ? s.steps : 1) * s.columns;
  s.valid = optional_data_of<bool>("valid", valid, {s.steps, s.rows});
  return s;
}

py::array mean_pool(const py::array& x, const std::optional<py::array>& valid, bool batch_first) {
  return with_dtype("x", x, [&]<class T>(T) -> py::array {
    const T* from = data_of<T>("x", x, {-1, -1, -1});
    const PoolSteps shape = pool_steps(shape_of(x), valid, batch_first);
    const NewArray<T> y({shape.rows, shape.columns});
    compute([&](Interrupt& interrupt) { bptt::mean_pool(shape, from, y.data(), interrupt); });
    return y.array;
  });
}

py::array mean_pool_backward(const py::array& dy, const std::optional<py::array>& valid, const Shape& x_shape,
                             bool batch_first) {
  if (x_shape.size() != 3) throw std::invalid_argument("x_shape: expected three axes");
  return with_dtype("dy", dy, [&]<class T>(T) -> py::array {
    const PoolSteps shape = pool_steps(x_shape, valid, batch_first);
    const T* gradient = data_of<T>("dy", dy, {shape.rows, shape.columns});
    const NewArray<T> dx(x_shape);
    compute([&](Interrupt& interrupt) { bptt::mean_pool_back(shape, gradient, dx.data(), interrupt); });
    return dx.array;
  });
}

py::tuple max_pool(const py::array& x, const std::optional<py::array>& valid, bool batch_first) {
  return with_dtype("x", x, [&]<class T>(T) -> py::tuple {
    const T* from = data_of<T>("x", x, {-1, -1, -1});
    const PoolSteps shape = pool_steps(shape_of(x), valid, batch_first);
    const NewArray<T> y({shape.rows, shape.columns});
    const NewArray<std::int64_t> source({shape.rows, shape.columns});
    compute([&](Interrupt& interrupt) { bptt::max_pool(shape, from, y.data(), source.data(), interrupt); });
    return py::make_tuple(y.array, source.array);
  });
}

py::array max_pool_backward(const py::array& dy, const py::array& source, const Shape& x_shape, bool batch_first) {
  if (x_shape.size() != 3) throw std::invalid_argument("x_shape: expected three axes");
  return with_dtype("dy", dy, [&]<class T>(T) -> py::array {
    const PoolSteps shape = pool_steps(x_shape, std::nullopt, batch_first);
    const T* gradient = data_of<T>("dy", dy, {shape.rows, shape.columns});
    const auto* steps = data_of<std::int64_t>("source", source, {shape.rows, shape.columns});
    for (Index i = 0; i < source.size(); ++i) {
      if (steps[i] < -1 || steps[i] >= shape.steps) throw std::invalid_argument("source: expected steps, or -1");
    }
    const NewArray<T> dx(x_shape);
    compute([&](Interrupt& interrupt) { bptt::max_pool_back(shape, gradient, steps, dx.data(), interrupt); });
    return dx.array;
  });
}

}  // namespace

void bind_activations(py::module_& m) {
  m.def("activation", &activation, py::arg("name"), py::arg("x"), py::arg("alpha") = 0.0, py::arg("beta") = 0.0);
  m.def("activation_backward", &activation_backward, py::arg("name"), py::arg("dy"), py::arg("kept"));
  m.def("softmax_forward", &softmax_forward, py::arg("x"));
  m.def("softmax_backward", &softmax_backward, py::arg("dy"), py::arg("y"));
  m.def("layer_norm_forward", &layer_norm_forward, py::arg("x"), py::arg("weight"), py::arg("bias"), py::arg("epsilon"),
        py::arg("keep"));
  m.def("layer_norm_backward", &layer_norm_backward, py::arg("dy"), py::arg("hat"), py::arg("scale"), py::arg("weight"),
        py::arg("dweight"), py::arg("dbias"), py::arg("need_dx"));
  m.def("mean_pool", &mean_pool, py::arg("x"), py::arg("valid"), py::arg("batch_first"));
  m.def("mean_pool_backward", &mean_pool_backward, py::arg("dy"), py::arg("valid"), py::arg("x_shape"),
        py::arg("batch_first"));
  m.def("max_pool", &max_pool, py::arg("x"), py::arg("valid"), py::arg("batch_first"));
  m.def("max_pool_backward", &max_pool_backward, py::arg("dy"), py::arg("source"), py::arg("x_shape"),
        py::arg("batch_first"));
}

}  // namespace bptt::bindings

// Layers without time.
#include <memory>
#include <variant>

#include "bindings/recurrent_options.hpp"
#include "core/timeless/embedding.hpp"
#include "core/timeless/linear.hpp"
#include "runtime/isa.hpp"
#include "runtime/team.hpp"

namespace bptt::bindings {
namespace {

template <class T>
LinearArgs<T> linear_args(const py::array& x, const py::array& weight, const std::optional<py::array>& bias,
                          const std::string& precision) {
  LinearArgs<T> args{};
  args.precision = precision_named(precision);
  args.weight = data_of<T>("weight", weight, {-1, -1});
  args.output = weight.shape(0);
  args.input = weight.shape(1);
  args.x = data_of<T>("x", x, {-1, args.input});
  args.rows = x.shape(0);
  args.bias = optional_data_of<T>("bias", bias, {args.output});
  return args;
}

py::array linear_forward(const py::array& x, const py::array& weight, const std::optional<py::array>& bias,
                         const std::string& precision) {
  return with_dtype("x", x, [&]<class T>(T) -> py::array {
    const auto args = linear_args<T>(x, weight, bias, precision);
    const NewArray<T> y({args.rows, args.output});
    compute([&](Interrupt& interrupt) { bptt::linear_forward(args, y.data(), interrupt); });
    return y.array;
  });
}

// A linear layer for inference, with its weights packed once.
class BoundPackedLinear {
 public:
  BoundPackedLinear(const py::array& weight, const std::optional<py::array>& bias, const std::string& precision) {
    with_dtype("weight", weight, [&]<class T>(T) {
      LinearArgs<T> args{};
      args.weight = data_of<T>("weight", weight, {-1, -1});
      args.output = weight.shape(0);
      args.input = weight.shape(1);
      args.bias = optional_data_of<T>("bias", bias, {args.output});
      args.precision = precision_named(precision);
      compute([&](Interrupt& interrupt) { packed_ = std::make_shared<const PackedLinear<T>>(args, interrupt); });
    });
  }

  py::array forward(const py::array& x, std::optional<py::array> out) const {
    return std::visit([&](const auto& packed) { return multiply(*packed, x, out); }, packed_);
  }

 private:
  template <class T>
  py::array multiply(const PackedLinear<T>& packed, const py::array& x, std::optional<py::array>& out) const {
    const T* from = data_of<T>("x", x, {-1, packed.input()});
    const Index rows = x.shape(0);
    if (!out) out = NewArray<T>({rows, packed.output()}).array;
    T* y = mutable_data_of<T>("out", *out, {rows, packed.output()});
    compute([&](Interrupt& interrupt) { packed.forward(rows, from, y, interrupt); });
    return *out;
  }

  std::variant<std::shared_ptr<const PackedLinear<float>>, std::shared_ptr<const PackedLinear<double>>> packed_;
};

py::object linear_backward(const py::array& x, const py::array& weight, const py::array& dy,
                           std::optional<py::array> dweight, std::optional<py::array> dbias, bool need_dx,
                           const std::string& precision) {
  return with_dtype("x", x, [&]<class T>(T) -> py::object {
    const auto args = linear_args<T>(x, weight, std::nullopt, precision);
    if (args.precision == Precision::int8) throw std::invalid_argument("precision: int8 has no gradients");
    const T* gradient = data_of<T>("dy", dy, {args.rows, args.output});
    T* weights = dweight ? mutable_data_of<T>("dweight", *dweight, {args.output, args.input}) : nullptr;
    T* biases = dbias ? mutable_data_of<T>("dbias", *dbias, {args.output}) : nullptr;
    std::optional<NewArray<T>> dx;
    if (need_dx) dx.emplace(Shape{args.rows, args.input});
    std::optional<Adding> adding;
    if (weights) adding.emplace(weights);
    compute([&](Interrupt& interrupt) {
      bptt::linear_backward(args, gradient, weights, biases, dx ? dx->data() : nullptr, interrupt);
    });
    return dx ? py::object(dx->array) : py::none();
  });
}

// The ids of a table of `limit` rows of `size` elements.
EmbeddingRows embedding_rows(const py::array& ids, Index limit, Index size) {
  const EmbeddingRows rows{data_of<std::int64_t>("ids", ids, {-1}), ids.shape(0), size};
  const Index bad = first_out_of_range(rows.ids, rows.count, limit);
  if (bad >= 0) {
    throw std::invalid_argument("x: expected numbers from 0 to " + std::to_string(limit - 1) + ", got " +
                                std::to_string(rows.ids[bad]) + " at position " + std::to_string(bad));
  }
  return rows;
}

py::array embedding_forward(const py::array& ids, const py::array& weight) {
  return with_dtype("weight", weight, [&]<class T>(T) -> py::array {
    const T* w = data_of<T>("weight", weight, {-1, -1});
    const EmbeddingRows rows = embedding_rows(ids, weight.shape(0), weight.shape(1));
    const NewArray<T> y({rows.count, rows.size});
    compute([&](Interrupt& interrupt) { bptt::embedding_forward(rows, w, y.data(), interrupt); });
    return y.array;
  });
}

void embedding_backward(const py::array& ids, const py::array& dy, py::array dweight) {
  with_dtype("dy", dy, [&]<class T>(T) {
    T* dw = mutable_data_of<T>("dweight", dweight, {-1, -1});
    const EmbeddingRows rows = embedding_rows(ids, dweight.shape(0), dweight.shape(1));
    const T* gradient = data_of<T>("dy", dy, {rows.count, rows.size});
    const Adding adding(dw);
    compute([&](Interrupt& interrupt) { bptt::embedding_backward(rows, gradient, dw, interrupt); });
  });
}

// One C call, without polling for an interrupt: an optimizer's update must not stop halfway.
void set_rows(const py::array& ids, const std::optional<py::array>& values, py::array table) {
  with_dtype("table", table, [&]<class T>(T) {
    T* to = mutable_data_of<T>("table", table, {-1, -1});
    const EmbeddingRows rows = embedding_rows(ids, table.shape(0), table.shape(1));
    const T* from = optional_data_of<T>("values", values, {rows.count, rows.size});
    compute([&](Interrupt&) { bptt::set_rows(rows, from, to); });
  });
}

py::array mark_rows(const py::array& ids, py::array seen) {
  auto* marks = mutable_data_of<std::uint8_t>("seen", seen, {-1});
  const EmbeddingRows rows = embedding_rows(ids, seen.shape(0), 1);
  std::vector<std::int64_t> fresh(static_cast<std::size_t>(rows.count));
  const Index found = bptt::mark_rows(rows.ids, rows.count, marks, fresh.data());
  return py::array_t<std::int64_t>(found, fresh.data());
}

// `value` with probability p, or 0; element j is a function of the key and j.
py::array bernoulli(const Shape& shape, double p, double value, std::uint64_t key, const std::string& dtype) {
  const auto of = [&]<class T>(T) -> py::array {
    const NewArray<T> y(shape);
    compute([&](Interrupt&) { kernels<T>().bernoulli(y.array.size(), key, p, static_cast<T>(value), y.data()); });
    return y.array;
  };
  return dtype == "float32" ? of(float{}) : of(double{});
}

py::array dropout_forward(const py::array& x, double p, std::uint64_t key) {
  if (!(p >= 0 && p < 1)) throw std::invalid_argument("p: expected 0 <= p < 1, got " + std::to_string(p));
  return with_dtype("x", x, [&]<class T>(T) -> py::array {
    const T* from = data_of<T>("x", x, shape_of(x));
    const NewArray<T> y(shape_of(x));
    compute([&](Interrupt& interrupt) {
      in_pieces(x.size(), 1, interrupt, [&](Index begin, Index end) {
        kernels<T>().dropout(end - begin, begin, key, p, from + begin, y.data() + begin);
      });
    });
    return y.array;
  });
}

}  // namespace

void bind_layers(py::module_& m) {
  py::class_<BoundPackedLinear>(m, "PackedLinear")
      .def(py::init<const py::array&, const std::optional<py::array>&, const std::string&>(), py::arg("weight"),
           py::arg("bias"), py::arg("precision") = "highest")
      .def("forward", &BoundPackedLinear::forward, py::arg("x"), py::arg("out") = py::none());
  m.def("linear_forward", &linear_forward, py::arg("x"), py::arg("weight"), py::arg("bias"),
        py::arg("precision") = "highest");
  m.def("linear_backward", &linear_backward, py::arg("x"), py::arg("weight"), py::arg("dy"), py::arg("dweight"),
        py::arg("dbias"), py::arg("need_dx"), py::arg("precision") = "highest");
  m.def("embedding_forward", &embedding_forward, py::arg("ids"), py::arg("weight"));
  m.def("embedding_backward", &embedding_backward, py::arg("ids"), py::arg("dy"), py::arg("dweight"));
  m.def("set_rows", &set_rows, py::arg("ids"), py::arg("values"), py::arg("table"));
  m.def("mark_rows", &mark_rows, py::arg("ids"), py::arg("seen"));
  m.def("bernoulli", &bernoulli, py::arg("shape"), py::arg("p"), py::arg("value"), py::arg("key"), py::arg("dtype"));
  m.def("dropout_forward", &dropout_forward, py::arg("x"), py::arg("p"), py::arg("key"));
}

}  // namespace bptt::bindings

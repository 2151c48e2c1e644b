// One step at a time. What a step does in Python is one call without arguments: its input and output are arrays that
// the stream owns.
#include <algorithm>
#include <atomic>

#include "bindings/stream.hpp"
#include "core/streams/stream.hpp"

namespace bptt::bindings {
namespace {

constexpr double kWorthTheGil = 1e6;  // floating-point operations: some 20 microseconds of one core

// Held while a call reads or writes the state: a second call at the same time would mix the states of two steps.
class Stepping {
 public:
  explicit Stepping(std::atomic_flag& busy) : busy_(busy) {
    if (busy_.test_and_set(std::memory_order_acquire)) {
      throw std::runtime_error(
          "stream must serve one call at a time; got a call while another one runs. Fix: wait for the other call, or "
          "give each thread its own layer.stream().");
    }
  }
  ~Stepping() { busy_.clear(std::memory_order_release); }
  Stepping(const Stepping&) = delete;
  Stepping& operator=(const Stepping&) = delete;

 private:
  std::atomic_flag& busy_;
};

template <class T>
class BoundStream final : public AnyStream {
 public:
  BoundStream(const Recurrent& net, const T* parameters, Index batch)
      : net_(net), stream_(net_, parameters, batch), in_({batch, net.input}), out_({batch, net.output}),
        h_shape_{net.layers, batch, net.output}, c_shape_{net.layers, batch, net.hidden} {
    input = in_.array;
    output = out_.array;
    std::fill_n(in_.data(), batch * net.input, T{0});
    std::fill_n(out_.data(), batch * net.output, T{0});
  }

  void step() override {
    const Stepping stepping(busy_);
    compute_steps(1, [&](Interrupt&) { stream_.step(in_.data(), out_.data()); });
  }

  void step_skipping(const py::array& skip) override {
    const auto* rows = data_of<std::uint8_t>("skip", skip, {input.shape(0)});
    const Stepping stepping(busy_);
    compute_steps(1, [&](Interrupt&) { stream_.step(in_.data(), out_.data(), rows); });
  }

  py::array run(const py::array& x, const std::optional<py::array>& skip) override {
    const Index batch = input.shape(0);
    const T* from = data_of<T>("x", x, {-1, batch, net_.input});
    const Index time = x.shape(0);
    const auto* rows = optional_data_of<std::uint8_t>("skip", skip, {time, batch});
    const NewArray<T> y({time, batch, net_.output});
    const Stepping stepping(busy_);
    compute_steps(time, [&](Interrupt& interrupt) { stream_.run(from, y.data(), rows, time, interrupt); });
    return y.array;
  }

  py::tuple state() override {
    const Stepping stepping(busy_);
    const py::object c = has_cell_state() ? py::object(copy_of(stream_.c(), c_shape_)) : py::none();
    return py::make_tuple(copy_of(stream_.h(), h_shape_), c);
  }

  void set_state(const py::array& h, const std::optional<py::array>& c) override {
    const T* h_from = data_of<T>("h", h, h_shape_);
    if (c.has_value() != has_cell_state()) throw std::invalid_argument("c: expected with a cell state only");
    const T* c_from = optional_data_of<T>("c", c, c_shape_);
    const Stepping stepping(busy_);
    std::copy_n(h_from, stream_.h().size(), stream_.h().data());
    if (c_from) std::copy_n(c_from, stream_.c().size(), stream_.c().data());
  }

  void reset() override {
    const Stepping stepping(busy_);
    std::fill_n(stream_.h().data(), stream_.h().size(), T{0});
    if (has_cell_state()) std::fill_n(stream_.c().data(), stream_.c().size(), T{0});
  }

 private:
  // A few small steps keep the GIL, which costs more to give up and take back than these steps.
  template <class Steps>
  void compute_steps(Index count, const Steps& steps) {
    if (stream_.flops() * static_cast<double>(count) >= kWorthTheGil) {
      compute(steps);
    } else {
      const FlushSubnormals mode;
      Interrupt never;
      steps(never);
    }
  }

  bool has_cell_state() const { return net_.traits.has_cell_state; }

  static py::array copy_of(const Buffer<T>& part, const Shape& shape) {
    const NewArray<T> copy(shape);
    std::copy_n(part.data(), part.size(), copy.data());
    return copy.array;
  }

  const Recurrent net_;
  Stream<T> stream_;
  NewArray<T> in_;
  NewArray<T> out_;
  const Shape h_shape_;
  const Shape c_shape_;
  std::atomic_flag busy_;
};

// A step by the C interface of Python: pybind11 needs longer for its call than a layer of a few units for its step.
PyObject* step(PyObject* self, PyObject*) {
  try {
    py::cast<AnyStream&>(py::handle(self)).step();
  } catch (py::error_already_set& error) {
    error.restore();
    return nullptr;
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
    return nullptr;
  }
  Py_RETURN_NONE;
}

}  // namespace

std::unique_ptr<AnyStream> make_stream(const Recurrent& net, const py::array& parameters, Index batch) {
  if (batch < 1) throw std::invalid_argument("batch_size: expected at least 1, got " + std::to_string(batch));
  return with_dtype("parameters", parameters, [&]<class T>(T) -> std::unique_ptr<AnyStream> {
    return std::make_unique<BoundStream<T>>(net, data_of<T>("parameters", parameters, {net.parameter_count}), batch);
  });
}

void bind_stream(py::module_& m) {
  py::class_<AnyStream> stream(m, "Stream");
  static PyMethodDef step_method = {"step", step, METH_NOARGS, "step(self) -> None"};
  auto* const type = reinterpret_cast<PyTypeObject*>(stream.ptr());
  stream.attr("step") = py::reinterpret_steal<py::object>(PyDescr_NewMethod(type, &step_method));
  stream.def("step_skipping", &AnyStream::step_skipping, py::arg("skip"))
      .def("run", &AnyStream::run, py::arg("x"), py::arg("skip") = py::none())
      .def("state", &AnyStream::state)
      .def("set_state", &AnyStream::set_state, py::arg("h"), py::arg("c"))
      .def("reset", &AnyStream::reset)
      .def_readonly("input", &AnyStream::input)
      .def_readonly("output", &AnyStream::output);
}

}  // namespace bptt::bindings

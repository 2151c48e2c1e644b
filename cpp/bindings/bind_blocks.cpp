// Memory blocks: forward and backward. Arrays of both types take one path up to the core, which keeps the module small.
#include <cstring>
#include <functional>

#include "bindings/rows.hpp"
#include "bindings/tape.hpp"
#include "core/blocks/memory_blocks.hpp"

namespace bptt::bindings {
namespace {

// The entry k of a tuple from Python.
[[gnu::noinline]] py::handle entry(const py::tuple& from, std::size_t k) {
  if (k >= from.size()) throw std::invalid_argument("expected a longer tuple");
  return PyTuple_GET_ITEM(from.ptr(), static_cast<py::ssize_t>(k));
}

[[gnu::noinline]] Index number(const py::tuple& from, std::size_t k) { return py::cast<Index>(entry(from, k)); }

MemoryBlocks net_of(const py::tuple& sizes) {
  const auto size = [&](std::size_t k) { return number(sizes, k); };
  const MemoryBlocks net{size(0), size(1), size(2), size(3), size(4) != 0, size(5) != 0, size(6)};
  if (std::min({net.input, net.blocks, net.cells, net.chunk}) < 1 || net.biases < 0 || net.biases > net.units()) {
    throw std::invalid_argument("sizes: expected at least 1");
  }
  return net;
}

Rows rows_of(const py::tuple& inputs) {
  if (!entry(inputs, 4).is_none()) return ragged_rows(py::cast<py::array>(entry(inputs, 4)), number(inputs, 5));
  const auto x = py::cast<py::array>(entry(inputs, 1));
  if (x.ndim() != 3) throw std::invalid_argument("x: expected three axes");
  return {x.shape(0), x.shape(1)};
}

// The arrays of a call, all of float or all of double, as pointers without a type. None is a null pointer.
class Call {
 public:
  // inputs: parameters, x, h0, c0, active, batch, reset.
  Call(const py::tuple& sizes, const py::tuple& inputs)
      : net(net_of(sizes)), rows(rows_of(inputs)), float32_(py::isinstance<py::array_t<float>>(entry(inputs, 1))),
        parameters_(vector("parameters", entry(inputs, 0))), x_(over_time("x", entry(inputs, 1), net.input)),
        h0_(state("h0", entry(inputs, 2), net.outputs())), c0_(state("c0", entry(inputs, 3), net.units())),
        reset_(flags("reset", entry(inputs, 6))) {
    if (!parameters_) throw std::invalid_argument("parameters: expected an array");
  }

  void* vector(const char* name, py::handle a) const { return read(name, a, {net.parameters()}); }
  [[gnu::noinline]] void* over_time(const char* name, py::handle a, Index width) const {
    return read(name, a, shape_over_time(rows, width));
  }
  [[gnu::noinline]] void* state(const char* name, py::handle a, Index width) const {
    return read(name, a, {1, rows.batch(), width});
  }
  [[gnu::noinline]] const std::uint8_t* flags(const char* name, py::handle a) const {
    return a.is_none() ? nullptr : data_of<std::uint8_t>(name, py::cast<py::array>(a), rows_over_time(rows));
  }

  [[gnu::noinline]] py::object make_over_time(Index width, void** data) const {
    return make(shape_over_time(rows, width), data);
  }
  // A state with these values, or with zeros.
  [[gnu::noinline]] py::object make_state(Index width, void** data, const void* values = nullptr) const {
    py::object made = make({1, rows.batch(), width}, data);
    const auto bytes = static_cast<std::size_t>(rows.batch() * width) * (float32_ ? sizeof(float) : sizeof(double));
    if (bytes == 0) return made;
    if (values) {
      std::memcpy(*data, values, bytes);
    } else {
      std::memset(*data, 0, bytes);
    }
    return made;
  }

  template <class T>
  BlockInputs<T> inputs() const {
    const auto in = [](void* data) { return static_cast<const T*>(data); };
    return {in(parameters_), in(x_), in(h0_), in(c0_), reset_};
  }

  // Calls f(0.0f, interrupt) or f(0.0, interrupt) without the GIL.
  template <class F>
  void run(F f) const {
    const auto call = [&](Interrupt& interrupt) { float32_ ? f(float{}, interrupt) : f(double{}, interrupt); };
    run_without_gil(call);
  }

  const MemoryBlocks net;
  const Rows rows;

 private:
  // The passes only read through this pointer. One pointer type for what they read and write keeps this code small.
  [[gnu::noinline]] void* read(const char* name, py::handle a, const Shape& shape) const {
    if (a.is_none()) return nullptr;
    const auto array = py::cast<py::array>(a);
    return const_cast<void*>(float32_ ? static_cast<const void*>(data_of<float>(name, array, shape))
                                      : static_cast<const void*>(data_of<double>(name, array, shape)));
  }
  [[gnu::noinline]] py::object make(const Shape& shape, void** data) const {
    const auto made = [&](const auto& array) {
      *data = array.data();
      return array.array;
    };
    return float32_ ? made(NewArray<float>(shape)) : made(NewArray<double>(shape));
  }
  [[gnu::noinline]] static void run_without_gil(const std::function<void(Interrupt&)>& call) { compute(call); }

  bool float32_;
  void* parameters_;
  void* x_;
  void* h0_;
  void* c0_;
  const std::uint8_t* reset_;
};

py::tuple forward(const py::tuple& sizes, const py::tuple& inputs) {
  const Call call(sizes, inputs);
  const Index M = call.net.outputs(), H = call.net.units();
  void* at[5];
  const py::object y = call.make_over_time(M, &at[0]), c = call.make_over_time(H, &at[1]);
  const py::object inner = call.make_over_time(2 * M, &at[2]);
  const py::object last_h = call.make_state(M, &at[3]), last_c = call.make_state(H, &at[4]);
  call.run([&]<class T>(T, Interrupt& interrupt) {
    const auto to = [&](int k) { return static_cast<T*>(at[k]); };
    blocks_forward<T>(call.net, call.rows, call.inputs<T>(), {to(0), to(1), to(2)}, {to(3), to(4)}, interrupt);
  });
  return py::make_tuple(y, last_h, last_c, c, inner);
}

// states: y, c, inner. errors: dy, dh, dc, steps, need_dx, clip by value, clip by norm, keep_errors, cut,
// norms_of_rows.
py::tuple backward(const py::tuple& sizes, const py::tuple& inputs, const py::tuple& states,
                   const py::object& gradients, const py::tuple& errors) {
  const Call call(sizes, inputs);
  const Index M = call.net.outputs(), H = call.net.units();
  void* at[9] = {call.over_time("y", entry(states, 0), M), call.over_time("c", entry(states, 1), H),
                 call.over_time("inner", entry(states, 2), 2 * M), call.over_time("dy", entry(errors, 0), M)};
  if (!at[0] || !at[1] || !at[2]) throw std::invalid_argument("states: expected three arrays");
  const py::object dh = call.make_state(M, &at[4], call.state("dh", entry(errors, 1), M));
  const py::object dc = call.make_state(H, &at[5], call.state("dc", entry(errors, 2), H));
  const py::object dx = number(errors, 4) ? call.make_over_time(call.net.input, &at[6]) : py::none();
  const py::object kept = number(errors, 7) ? call.make_over_time(M, &at[8]) : py::none();
  at[7] = call.vector("gradients", gradients);
  if (at[7] && !py::cast<py::array>(gradients).writeable()) {
    throw std::invalid_argument("gradients: expected a writable array");
  }
  const bool norms_of_rows = number(errors, 9) != 0;
  const NewArray<double> norms({2, 1, norms_of_rows ? call.rows.total() : call.rows.time()});
  const Index steps = entry(errors, 3).is_none() ? call.rows.time() : number(errors, 3);
  const StateClip clip{py::cast<double>(entry(errors, 5)), py::cast<double>(entry(errors, 6))};
  if (!(steps >= 0 && clip.value > 0 && clip.norm > 0))
    throw std::invalid_argument("errors: steps or clip is negative");
  const std::uint8_t* cut = call.flags("cut", entry(errors, 8));
  std::optional<Adding> adding;
  if (at[7]) adding.emplace(at[7]);
  call.run([&]<class T>(T, Interrupt& interrupt) {
    const auto to = [&](int k) { return static_cast<T*>(at[k]); };
    double* norm = norms.data();
    const BlockErrors<T> args{to(3), to(4), to(5), to(6),        to(7), to(8), norm, norm + norms.buffer.size() / 2,
                              cut,   steps, clip,  norms_of_rows};
    blocks_backward<T>(call.net, call.rows, call.inputs<T>(), {to(0), to(1), to(2)}, args, interrupt);
  });
  return py::make_tuple(dx, dh, dc, py::object(norms.array), kept);
}

}  // namespace

void bind_blocks(py::module_& m) {
  m.def("blocks_forward", &forward, py::arg("sizes"), py::arg("inputs"));
  m.def("blocks_backward", &backward, py::arg("sizes"), py::arg("inputs"), py::arg("states"), py::arg("gradients"),
        py::arg("errors"));
}

}  // namespace bptt::bindings

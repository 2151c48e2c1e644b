// One time step of one layer on memory that the caller has checked. A step takes microseconds, so it gets addresses:
// to make arrays of its arguments and results would take longer than many steps.
#include <array>
#include <memory>
#include <variant>

#include "bindings/recurrent_options.hpp"
#include "core/pack.hpp"
#include "core/tape/tape.hpp"

namespace bptt::bindings {
namespace {

using Address = std::uintptr_t;
using Addresses = std::array<Address, 5>;
constexpr double kNoLimit = std::numeric_limits<double>::infinity();

template <class T>
T* at(Address address) {
  return reinterpret_cast<T*>(address);
}

// The weights of a step, packed once.
struct StepWeights {
  std::variant<std::unique_ptr<PackedNetwork<float>>, std::unique_ptr<PackedNetwork<double>>> packed;
};

// What a step keeps for its backward pass, and the objects that own its input and its weights.
struct StepTape {
  std::variant<Tape<float>, Tape<double>> tape;
  const void* parameters;
  py::object owners;
};

class BoundStep {
 public:
  BoundStep(const std::string& cell, const std::string& dtype, Index input, Index hidden, bool bias)
      : net_(cell_named(cell), Sizes{input, hidden, 1, false, bias}, Options{}), float32_(dtype == "float32") {
    if (!float32_ && dtype != "float64") {
      throw std::invalid_argument("dtype: expected 'float32' or 'float64', got '" + dtype + "'");
    }
  }

  std::unique_ptr<StepWeights> pack(const py::array& parameters) const {
    const auto of = [&]<class T>(T) {
      const T* data = data_of<T>("parameters", parameters, {net_.parameter_count});
      return std::make_unique<StepWeights>(StepWeights{std::make_unique<PackedNetwork<T>>(net_, data)});
    };
    return float32_ ? of(float{}) : of(double{});
  }

  void infer(const py::array& parameters, Index rows, const Addresses& memory, const StepWeights* weights) const {
    const auto of = [&]<class T>(T) {
      ForwardArgs<T> args = arguments<T>(parameters, rows, memory);
      if (weights != nullptr) {
        const auto* packed = std::get_if<std::unique_ptr<PackedNetwork<T>>>(&weights->packed);
        if (packed == nullptr) throw std::invalid_argument("weights: they were packed by another layer");
        args.packed = packed->get();
      }
      const Buffer<T> slots(args.rows.slots() * net_.y_width());
      args.y = slots.data();
      compute([&](Interrupt& interrupt) { bptt::infer(net_, args, interrupt); });
    };
    float32_ ? of(float{}) : of(double{});
  }

  std::unique_ptr<StepTape> forward(const py::array& parameters, Index rows, const Addresses& memory,
                                    const py::object& input) const {
    const auto of = [&]<class T>(T) {
      const ForwardArgs<T> args = arguments<T>(parameters, rows, memory);
      auto kept = std::make_unique<StepTape>(
          StepTape{Tape<T>(net_, args.rows), args.parameters, py::make_tuple(parameters, input)});
      compute([&](Interrupt& interrupt) { bptt::forward(net_, args, std::get<Tape<T>>(kept->tape), interrupt); });
      return kept;
    };
    return float32_ ? of(float{}) : of(double{});
  }

  void backward(const StepTape& kept, Address gradients, const Addresses& memory) const {
    const auto of = [&]<class T>(T) {
      const auto* tape = std::get_if<Tape<T>>(&kept.tape);
      if (tape == nullptr) throw std::invalid_argument("tape: it was made by another layer");
      std::array<double, 2> norms{};
      BackwardArgs<T> args{};
      args.parameters = static_cast<const T*>(kept.parameters);
      args.gradients = at<T>(gradients);
      args.dh = at<const T>(memory[0]);
      args.dc = at<const T>(memory[1]);
      args.dx = at<T>(memory[2]);
      args.dh0 = at<T>(memory[3]);
      args.dc0 = at<T>(memory[4]);
      args.dh_norm = &norms[0];
      args.dc_norm = &norms[1];
      args.steps = 1;
      args.clip = {kNoLimit, kNoLimit};
      std::optional<Adding> adding;
      if (args.gradients != nullptr) adding.emplace(args.gradients);
      compute([&](Interrupt& interrupt) { bptt::backward(net_, args, *tape, interrupt); });
    };
    float32_ ? of(float{}) : of(double{});
  }

 private:
  template <class T>
  ForwardArgs<T> arguments(const py::array& parameters, Index rows, const Addresses& memory) const {
    if (rows < 0) throw std::invalid_argument("rows: expected at least 0");
    ForwardArgs<T> args{};
    args.parameters = data_of<T>("parameters", parameters, {net_.parameter_count});
    args.rows = {1, rows};
    args.x = at<const T>(memory[0]);
    args.h0 = at<const T>(memory[1]);
    args.c0 = at<const T>(memory[2]);
    args.h = at<T>(memory[3]);
    args.c = at<T>(memory[4]);
    return args;
  }

  Recurrent net_;
  bool float32_;
};

}  // namespace

void bind_step(py::module_& m) {
  py::class_<StepTape>(m, "StepTape");
  py::class_<StepWeights>(m, "StepWeights");
  py::class_<BoundStep>(m, "Step")
      .def(py::init<const std::string&, const std::string&, Index, Index, bool>(), py::arg("cell"), py::arg("dtype"),
           py::arg("input_size"), py::arg("hidden_size"), py::arg("bias"))
      .def("pack", &BoundStep::pack, py::arg("parameters"))
      .def("infer", &BoundStep::infer, py::arg("parameters"), py::arg("rows"), py::arg("memory"),
           py::arg("weights") = py::none())
      .def("forward", &BoundStep::forward, py::arg("parameters"), py::arg("rows"), py::arg("memory"), py::arg("input"))
      .def("backward", &BoundStep::backward, py::arg("tape"), py::arg("gradients"), py::arg("memory"));
}

}  // namespace bptt::bindings

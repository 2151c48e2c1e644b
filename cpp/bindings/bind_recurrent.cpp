// The recurrent stack: inference, forward and backward.
#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <variant>

#include "bindings/forward_call.hpp"
#include "bindings/recurrent_options.hpp"
#include "bindings/stream.hpp"
#include "core/pack.hpp"
#include "core/schedule.hpp"

namespace bptt::bindings {
namespace {

constexpr double kNoLimit = std::numeric_limits<double>::infinity();

// Whether no code can write to the array's memory: the array and all arrays that it views are read-only, and at the
// bottom lies memory that an array owns or a block of ours, not some other object's buffer.
bool frozen(const py::array& a) {
  py::object owner = a;
  while (py::isinstance<py::array>(owner)) {
    const auto array = py::reinterpret_borrow<py::array>(owner);
    if (array.writeable()) return false;
    owner = array.base() ? array.base() : py::none();
  }
  return owner.is_none() || PyCapsule_IsValid(owner.ptr(), kBlockName);
}

// The array itself if no code can write to it, else a copy: a backward pass needs the values of the forward pass.
template <class T>
py::array as_it_is(const py::array& a) {
  if (frozen(a)) return a;
  const NewArray<T> copy(shape_of(a));
  std::memcpy(copy.data(), a.data(), static_cast<std::size_t>(a.nbytes()));
  return copy.array;
}

// A snapshot of the weights of either type: inference from it packs nothing.
class BoundSnapshot {
 public:
  BoundSnapshot(std::shared_ptr<const Recurrent> net, const py::array& parameters) : net_(std::move(net)) {
    with_dtype("parameters", parameters, [&]<class T>(T) {
      packed_ =
          std::make_unique<PackedNetwork<T>>(*net_, data_of<T>("parameters", parameters, {net_->parameter_count}));
    });
  }

  py::tuple infer(const py::array& x, const std::optional<py::array>& h0, const std::optional<py::array>& c0,
                  const std::optional<py::array>& active, Index batch, const std::optional<py::array>& reset) const {
    return std::visit(
        [&]<class T>(const std::unique_ptr<PackedNetwork<T>>& packed) {
          ForwardArgs<T> args = ForwardCall{x, h0, c0, active, batch, reset}.arguments<T>(*net_);
          args.packed = packed.get();
          return run<T>(*net_, std::move(args), nullptr);
        },
        packed_);
  }

 private:
  std::shared_ptr<const Recurrent> net_;
  std::variant<std::unique_ptr<PackedNetwork<float>>, std::unique_ptr<PackedNetwork<double>>> packed_;
};

// The arguments of a backward call besides the tape. None: zeros.
struct BackwardCall {
  const std::optional<py::array>& dy;
  const std::optional<py::array>& dh;
  const std::optional<py::array>& dc;
  std::optional<Index> steps;
  bool need_dx;
  StateClip clip;
  bool keep_errors;
  Index chunk;
  const std::optional<py::array>& cut;
  bool norms_of_rows;
};

struct Dropout {
  double probability;
  std::uint64_t key;
  Index first_row;
};

class BoundRecurrent {
 public:
  BoundRecurrent(const std::string& cell, const std::string& dtype, const Sizes& sizes, const py::kwargs& options)
      : net_(std::make_shared<Recurrent>(cell_named(cell), sizes, options_of(options))), float32_(dtype == "float32") {
    if (!float32_ && dtype != "float64") {
      throw std::invalid_argument("dtype: expected 'float32' or 'float64', got '" + dtype + "'");
    }
    check_precision(*net_);
    if (!float32_ && net_->options.compact_tape) throw std::invalid_argument("compact_tape: needs float32");
  }

  py::list parameters() const {
    py::list list;
    for (const Parameter& p : net_->parameters) list.append(py::make_tuple(p.name, py::tuple(py::cast(p.shape))));
    return list;
  }
  Index parameter_count() const { return net_->parameter_count; }

  py::tuple infer(const py::array& parameters, const py::array& x, const std::optional<py::array>& h0,
                  const std::optional<py::array>& c0, const std::optional<py::array>& active, Index batch,
                  const std::optional<py::array>& reset) const {
    const auto of = [&]<class T>(T) {
      ForwardArgs<T> args = ForwardCall{x, h0, c0, active, batch, reset}.arguments<T>(*net_);
      args.parameters = weights<T>(parameters);
      return run<T>(*net_, std::move(args), nullptr);
    };
    return float32_ ? of(float{}) : of(double{});
  }

  py::tuple forward(const py::array& parameters, const py::array& x, const std::optional<py::array>& h0,
                    const std::optional<py::array>& c0, double dropout, std::uint64_t key,
                    const std::optional<py::array>& active, Index batch, const std::optional<py::array>& reset,
                    const std::optional<py::array>& recurrent_mask, const std::optional<py::array>& keep_h,
                    const std::optional<py::array>& keep_c, Index first_row, const std::optional<py::array>& input_mask,
                    bool borrow) const {
    if (!(dropout >= 0 && dropout < 1)) throw std::invalid_argument("dropout: expected 0 <= dropout < 1");
    const ForwardCall call{x, h0, c0, active, batch, reset, recurrent_mask, keep_h, keep_c, input_mask};
    const Dropout between{dropout, key, first_row};
    return float32_ ? record<float>(parameters, call, between, borrow)
                    : record<double>(parameters, call, between, borrow);
  }

  Index chunk_steps(Index batch) const {
    const std::size_t element = float32_ ? sizeof(float) : sizeof(double);
    return Schedule(*net_, 1, std::max<Index>(1, batch), element).chunk_steps();
  }

  std::unique_ptr<BoundSnapshot> freeze(const py::array& parameters,
                                        const std::optional<std::string>& precision) const {
    return std::make_unique<BoundSnapshot>(for_inference(parameters, precision), parameters);
  }

  std::unique_ptr<AnyStream> stream(const py::array& parameters, Index batch,
                                    const std::optional<std::string>& precision) const {
    return make_stream(*for_inference(parameters, precision), parameters, batch);
  }

  py::tuple backward(std::optional<py::array> gradients, BoundTape& tape, const std::optional<py::array>& dy,
                     const std::optional<py::array>& dh, const std::optional<py::array>& dc, std::optional<Index> steps,
                     bool need_dx, std::optional<double> clip_value, std::optional<double> clip_norm, bool keep_errors,
                     Index chunk, const std::optional<py::array>& cut, bool norms_of_rows) const {
    if (tape.net != net_) throw std::invalid_argument("tape: it was made by another layer");
    const StateClip clip{clip_value.value_or(kNoLimit), clip_norm.value_or(kNoLimit)};
    const BackwardCall call{dy, dh, dc, steps, need_dx, clip, keep_errors, chunk, cut, norms_of_rows};
    return float32_ ? invert<float>(gradients, tape, call) : invert<double>(gradients, tape, call);
  }

 private:
  // The network that a snapshot or a stream computes. It may have another precision than the layer.
  std::shared_ptr<const Recurrent> for_inference(const py::array& parameters,
                                                 const std::optional<std::string>& precision) const {
    if (float32_ != py::isinstance<py::array_t<float>>(parameters)) {
      throw py::type_error("parameters: not of the layer's dtype");
    }
    if (!precision) return net_;
    auto net = std::make_shared<Recurrent>(*net_);
    net->options.precision = precision_named(*precision);
    check_precision(*net);
    return net;
  }

  void check_precision(const Recurrent& net) const {
    if (!float32_ && net.options.precision != Precision::highest) {
      throw std::invalid_argument("precision: float64 has the highest alone");
    }
  }

  template <class T>
  const T* weights(const py::array& parameters) const {
    return data_of<T>("parameters", parameters, {net_->parameter_count});
  }

  template <class T>
  py::tuple record(const py::array& parameters, const ForwardCall& call, const Dropout& dropout, bool borrow) const {
    ForwardArgs<T> args = call.arguments<T>(*net_);
    weights<T>(parameters);
    auto bound = std::make_unique<BoundTape>(Tape<T>(*net_, args.rows), net_);
    const py::array kept = borrow ? call.x : as_it_is<T>(call.x);
    bound->x = kept;
    args.x = static_cast<const T*>(kept.data());
    bound->keep_weights(parameters, borrow || frozen(parameters));
    args.parameters = static_cast<const T*>(bound->weights);
    bound->interventions = py::make_tuple(call.reset, call.recurrent_mask, call.keep_h, call.keep_c, call.input_mask);
    Tape<T>& tape = std::get<Tape<T>>(bound->tape);
    tape.dropout = dropout.probability;
    tape.dropout_key = dropout.key;
    tape.first_row = dropout.first_row;
    const py::tuple result = run(*net_, std::move(args), &tape);
    return py::make_tuple(result[0], result[1], result[2], py::cast(std::move(bound)));
  }

  // The arguments of a pass, but for its results.
  template <class T>
  BackwardArgs<T> arguments(std::optional<py::array>& gradients, const BoundTape& bound,
                            const BackwardCall& call) const {
    const Rows& rows = std::get<Tape<T>>(bound.tape).rows;
    BackwardArgs<T> args{};
    args.parameters = static_cast<const T*>(bound.weights);
    if (gradients) args.gradients = mutable_data_of<T>("gradients", *gradients, {net_->parameter_count});
    args.dy = optional_data_of<T>("dy", call.dy, shape_over_time(rows, net_->y_width()));
    args.dh = optional_data_of<T>("dh", call.dh, state_shape(*net_, rows.batch()));
    args.dc = optional_data_of<T>("dc", call.dc, cell_shape(*net_, rows.batch()));
    if (call.dc && !net_->traits.has_cell_state) throw std::invalid_argument("dc: this cell has no cell state");
    args.steps = call.steps.value_or(rows.time());
    if (args.steps < 0) throw std::invalid_argument("steps: expected at least 0, got " + std::to_string(args.steps));
    if (args.steps < rows.time() && !net_->reads_forward_only()) {
      throw std::invalid_argument("steps: truncation needs a network that reads forward only");
    }
    if (!(call.clip.value > 0 && call.clip.norm > 0)) throw std::invalid_argument("clip: expected more than 0");
    if (call.chunk < 0) throw std::invalid_argument("chunk: expected at least 0");
    args.clip = call.clip;
    args.chunk = call.chunk;
    args.cut = optional_data_of<std::uint8_t>("cut", call.cut, rows_over_time(rows));
    if (call.cut && !net_->reads_forward_only()) throw std::invalid_argument("cut: as for steps");
    args.norms_of_rows = call.norms_of_rows;
    return args;
  }

  template <class T>
  py::tuple invert(std::optional<py::array>& gradients, BoundTape& bound, const BackwardCall& call) const {
    const Tape<T>& tape = std::get<Tape<T>>(bound.tape);
    BackwardArgs<T> args = arguments<T>(gradients, bound, call);
    const Shape state = state_shape(*net_, tape.rows.batch());
    const Index norms = call.norms_of_rows ? tape.rows.total() : tape.rows.time();
    std::optional<NewArray<T>> dx, errors;
    if (call.keep_errors) {
      Shape shape = shape_over_time(tape.rows, net_->output);
      shape.insert(shape.begin(), state[0]);
      errors.emplace(shape);
      args.errors = errors->data();
    }
    if (call.need_dx) dx.emplace(shape_over_time(tape.rows, net_->input));
    const NewArray<T> dh0(state);
    const NewArray<double> dh_norm({state[0], norms});
    args.dx = dx ? dx->data() : nullptr;
    args.dh0 = dh0.data();
    args.dh_norm = dh_norm.data();
    std::optional<NewArray<T>> dc0;
    std::optional<NewArray<double>> dc_norm;
    if (net_->traits.has_cell_state) {
      dc0.emplace(cell_shape(*net_, tape.rows.batch()));
      dc_norm.emplace(Shape{state[0], norms});
      args.dc0 = dc0->data();
      args.dc_norm = dc_norm->data();
    }
    std::optional<Adding> adding;
    if (args.gradients) adding.emplace(args.gradients);
    compute([&](Interrupt& interrupt) { bptt::backward(*net_, args, tape, interrupt); });
    const auto read_only = [](py::object array) {
      array.attr("setflags")(py::arg("write") = false);
      return array;
    };
    bound.set_results(read_only(dh_norm.array), dc_norm ? read_only(dc_norm->array) : py::none(),
                      errors ? read_only(errors->array) : py::none());
    return py::make_tuple(dx ? py::object(dx->array) : py::none(), dh0.array,
                          dc0 ? py::object(dc0->array) : py::none());
  }

  std::shared_ptr<const Recurrent> net_;
  bool float32_;
};

}  // namespace

void bind_recurrent(py::module_& m) {
  py::class_<BoundSnapshot>(m, "Snapshot")
      .def("infer", &BoundSnapshot::infer, py::arg("x"), py::arg("h0"), py::arg("c0"), py::arg("active") = py::none(),
           py::arg("batch") = 0, py::arg("reset") = py::none());

  py::class_<BoundRecurrent>(m, "Recurrent")
      .def(py::init([](const std::string& cell, const std::string& dtype, Index input_size, Index hidden_size,
                       Index num_layers, bool bidirectional, bool bias, const py::kwargs& options) {
             const Sizes sizes{input_size, hidden_size, num_layers, bidirectional, bias};
             return std::make_unique<BoundRecurrent>(cell, dtype, sizes, options);
           }),
           py::arg("cell"), py::arg("dtype"), py::arg("input_size"), py::arg("hidden_size"), py::arg("num_layers"),
           py::arg("bidirectional"), py::arg("bias"))
      .def_property_readonly("parameters", &BoundRecurrent::parameters)
      .def_property_readonly("parameter_count", &BoundRecurrent::parameter_count)
      .def("infer", &BoundRecurrent::infer, py::arg("parameters"), py::arg("x"), py::arg("h0"), py::arg("c0"),
           py::arg("active") = py::none(), py::arg("batch") = 0, py::arg("reset") = py::none())
      .def("forward", &BoundRecurrent::forward, py::arg("parameters"), py::arg("x"), py::arg("h0"), py::arg("c0"),
           py::arg("dropout"), py::arg("dropout_key"), py::arg("active") = py::none(), py::arg("batch") = 0,
           py::arg("reset") = py::none(), py::arg("recurrent_mask") = py::none(), py::arg("keep_h") = py::none(),
           py::arg("keep_c") = py::none(), py::arg("first_row") = 0, py::arg("input_mask") = py::none(),
           py::arg("borrow") = false)
      .def("freeze", &BoundRecurrent::freeze, py::arg("parameters"), py::arg("precision") = py::none())
      .def("stream", &BoundRecurrent::stream, py::arg("parameters"), py::arg("batch_size"),
           py::arg("precision") = py::none())
      .def("backward", &BoundRecurrent::backward, py::arg("gradients"), py::arg("tape"), py::arg("dy"), py::arg("dh"),
           py::arg("dc"), py::arg("steps") = py::none(), py::arg("need_dx") = true, py::arg("clip_value") = py::none(),
           py::arg("clip_norm") = py::none(), py::arg("keep_errors") = false, py::arg("chunk") = 0,
           py::arg("cut") = py::none(), py::arg("norms_of_rows") = false)
      .def("chunk_steps", &BoundRecurrent::chunk_steps, py::arg("batch"));
}

}  // namespace bptt::bindings

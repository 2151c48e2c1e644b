// The recurrent stack: inference, forward and backward.
#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <tuple>
#include <variant>

#include "bindings/rows.hpp"
#include "bindings/stream.hpp"
#include "bindings/tape.hpp"
#include "core/pack.hpp"
#include "core/schedule.hpp"

namespace bptt::bindings {
namespace {

constexpr double kNoLimit = std::numeric_limits<double>::infinity();

Cell cell_named(const std::string& name) {
  for (const CellTraits& traits : kCellTraits) {
    if (traits.name == name) return traits.cell;
  }
  throw std::invalid_argument("cell: unknown name '" + name + "'");
}

// Whether nobody can write to the array's memory: it and the arrays it is a view of are read-only, and at the bottom
// lies memory that an array owns or a block of ours, not some other object's buffer.
bool frozen(const py::array& a) {
  py::object owner = a;
  while (py::isinstance<py::array>(owner)) {
    const auto array = py::reinterpret_borrow<py::array>(owner);
    if (array.writeable()) return false;
    owner = array.base() ? array.base() : py::none();
  }
  return owner.is_none() || PyCapsule_IsValid(owner.ptr(), kBlockName);
}

// The array itself if nobody can write to it, else a copy: what a backward pass needs as it was.
template <class T>
py::array as_it_is(const py::array& a) {
  if (frozen(a)) return a;
  const NewArray<T> copy(shape_of(a));
  std::memcpy(copy.data(), a.data(), static_cast<std::size_t>(a.nbytes()));
  return copy.array;
}

ActivationChoice<double> activation_named(const py::tuple& choice) {
  const auto name = choice[0].cast<std::string>();
  const auto* found = std::find(std::begin(kActivationNames), std::end(kActivationNames), name);
  if (found == std::end(kActivationNames)) {
    throw std::invalid_argument("activations: unknown name '" + name + "'");
  }
  return {static_cast<Activation>(found - std::begin(kActivationNames)), choice[1].cast<double>(),
          choice[2].cast<double>()};
}

// As the layers pass them; those that are missing keep their defaults.
Options options_of(const py::kwargs& given) {
  Options options;
  for (const auto& [key, value] : given) {
    const auto name = key.cast<std::string>();
    if (name == "projection") {
      options.projection = value.cast<Index>();
    } else if (name == "peephole") {
      options.peephole = value.cast<bool>();
    } else if (name == "layer_norm") {
      options.layer_norm = value.cast<bool>();
    } else if (name == "zoneout") {
      std::tie(options.zoneout_h, options.zoneout_c) = value.cast<std::tuple<double, double>>();
    } else if (name == "cell_clip") {
      options.lstm.cell_clip = value.cast<double>();
    } else if (name == "gate_clip") {
      options.lstm.gate_clip = value.cast<double>();
    } else if (name == "output_clip") {
      options.lstm.output_clip = value.cast<double>();
    } else if (name == "activations") {
      const auto three = value.cast<py::tuple>();
      options.lstm.gate = activation_named(three[0].cast<py::tuple>());
      options.lstm.candidate = activation_named(three[1].cast<py::tuple>());
      options.lstm.output = activation_named(three[2].cast<py::tuple>());
    } else {
      throw std::invalid_argument("options: unknown name '" + name + "'");
    }
  }
  return options;
}

Shape state_shape(const Recurrent& net, Index batch) { return {net.layers * net.directions, batch, net.output}; }
Shape cell_shape(const Recurrent& net, Index batch) { return {net.layers * net.directions, batch, net.hidden}; }

// The rows of x: (T, B, I), or with `active`, how many of `batch` rows run at each step, (rows.total(), I).
template <class T>
Rows rows_of(const py::array& x, Index input, const std::optional<py::array>& active, Index batch) {
  if (!active) {
    data_of<T>("x", x, {-1, -1, input});
    return {x.shape(0), x.shape(1)};
  }
  Rows rows = ragged_rows(*active, batch);
  data_of<T>("x", x, {rows.total(), input});
  return rows;
}

// What the caller does to the recursion: None, or arrays of the shapes in Interventions.
struct InterventionArrays {
  std::optional<py::array> reset, recurrent_mask, keep_h, keep_c;

  template <class T>
  Interventions<T> of(const Recurrent& net, const Rows& rows) const {
    Interventions<T> by;
    const auto over_time = [&](Index width) {
      Shape shape = shape_over_time(rows, width);
      shape.insert(shape.begin(), net.layers * net.directions);
      return shape;
    };
    Shape steps = shape_over_time(rows, 1);
    steps.pop_back();
    by.reset = optional_data_of<std::uint8_t>("reset", reset, steps);
    by.recurrent_mask = optional_data_of<T>("recurrent_mask", recurrent_mask, state_shape(net, rows.batch()));
    by.keep_h = optional_data_of<T>("keep_h", keep_h, over_time(net.output));
    if (keep_c && !net.traits.has_cell_state) throw std::invalid_argument("keep_c: this cell has no cell state");
    by.keep_c = optional_data_of<T>("keep_c", keep_c, over_time(net.hidden));
    return by;
  }
};

// Forward from the weights in `args`, keeping a tape if there is one.
template <class T>
py::tuple run(const Recurrent& net, ForwardArgs<T> args, Rows rows, const py::array& x,
              const std::optional<py::array>& h0, const std::optional<py::array>& c0, Tape<T>* tape) {
  args.x = static_cast<const T*>(x.data());
  args.rows = std::move(rows);
  const Index batch = args.rows.batch();
  const Shape state = state_shape(net, batch);
  args.h0 = optional_data_of<T>("h0", h0, state);
  args.c0 = optional_data_of<T>("c0", c0, cell_shape(net, batch));
  const Index width = net.width();
  const NewArray<T> h(state);
  args.h = h.data();
  std::optional<NewArray<T>> c;
  if (net.traits.has_cell_state) {
    c.emplace(cell_shape(net, batch));
    args.c = c->data();
  }
  const Shape y_shape = shape_over_time(args.rows, width);
  py::object cell = c ? py::object(c->array) : py::none();
  if (tape) {
    compute([&](Interrupt& interrupt) { bptt::forward(net, args, *tape, interrupt); });
    const Buffer<T>& y = tape->layers.back().h;
    return py::make_tuple(array_over(y.block(), y.data() + batch * width, y_shape, {}, false), h.array, cell);
  }
  const NewArray<T> slots({args.rows.slots(), width});
  args.y = slots.data();
  compute([&](Interrupt& interrupt) { bptt::infer(net, args, interrupt); });
  return py::make_tuple(array_over(slots.buffer.block(), slots.data() + batch * width, y_shape), h.array, cell);
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
          ForwardArgs<T> args{};
          args.packed = packed.get();
          Rows rows = rows_of<T>(x, net_->input, active, batch);
          args.interventions = InterventionArrays{reset, {}, {}, {}}.of<T>(*net_, rows);
          return run<T>(*net_, args, std::move(rows), x, h0, c0, nullptr);
        },
        packed_);
  }

 private:
  std::shared_ptr<const Recurrent> net_;
  std::variant<std::unique_ptr<PackedNetwork<float>>, std::unique_ptr<PackedNetwork<double>>> packed_;
};

struct BackwardOptions {
  std::optional<Index> steps;
  bool need_dx;
  StateClip clip;
  bool keep_errors;
  Index chunk;
};

class BoundRecurrent {
 public:
  BoundRecurrent(const std::string& cell, const std::string& dtype, Index input_size, Index hidden_size,
                 Index num_layers, bool bidirectional, bool bias, const py::kwargs& options)
      : net_(std::make_shared<Recurrent>(cell_named(cell), input_size, hidden_size, num_layers, bidirectional, bias,
                                         options_of(options))),
        float32_(dtype == "float32") {
    if (!float32_ && dtype != "float64") {
      throw std::invalid_argument("dtype: expected 'float32' or 'float64', got '" + dtype + "'");
    }
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
      Rows rows = rows_of<T>(x, net_->input, active, batch);
      ForwardArgs<T> args = weights<T>(parameters);
      args.interventions = InterventionArrays{reset, {}, {}, {}}.of<T>(*net_, rows);
      return run<T>(*net_, args, std::move(rows), x, h0, c0, nullptr);
    };
    return float32_ ? of(float{}) : of(double{});
  }

  py::tuple forward(const py::array& parameters, const py::array& x, const std::optional<py::array>& h0,
                    const std::optional<py::array>& c0, double dropout, std::uint64_t key,
                    const std::optional<py::array>& active, Index batch, const std::optional<py::array>& reset,
                    const std::optional<py::array>& recurrent_mask, const std::optional<py::array>& keep_h,
                    const std::optional<py::array>& keep_c, Index first_row) const {
    if (!(dropout >= 0 && dropout < 1)) throw std::invalid_argument("dropout: expected 0 <= dropout < 1");
    const auto of = [&]<class T>(T) {
      return record<T>(parameters, x, h0, c0, dropout, key, first_row, rows_of<T>(x, net_->input, active, batch),
                       {reset, recurrent_mask, keep_h, keep_c});
    };
    return float32_ ? of(float{}) : of(double{});
  }

  Index chunk_steps(Index batch) const {
    const std::size_t element = float32_ ? sizeof(float) : sizeof(double);
    return Schedule(*net_, 1, std::max<Index>(1, batch), element).chunk_steps();
  }

  std::unique_ptr<BoundSnapshot> freeze(const py::array& parameters) const {
    if (float32_ != py::isinstance<py::array_t<float>>(parameters)) {
      throw py::type_error("parameters: not of the layer's dtype");
    }
    return std::make_unique<BoundSnapshot>(net_, parameters);
  }

  std::unique_ptr<AnyStream> stream(const py::array& parameters, Index batch) const {
    if (float32_ != py::isinstance<py::array_t<float>>(parameters)) {
      throw py::type_error("parameters: not of the layer's dtype");
    }
    return make_stream(*net_, parameters, batch);
  }

  py::tuple backward(py::array gradients, BoundTape& tape, const std::optional<py::array>& dy,
                     const std::optional<py::array>& dh, const std::optional<py::array>& dc, std::optional<Index> steps,
                     bool need_dx, std::optional<double> clip_value, std::optional<double> clip_norm, bool keep_errors,
                     Index chunk) const {
    const BackwardOptions options{
        steps, need_dx, {clip_value.value_or(kNoLimit), clip_norm.value_or(kNoLimit)}, keep_errors, chunk};
    if (tape.net != net_) throw std::invalid_argument("tape: it was made by another layer");
    return float32_ ? invert<float>(gradients, tape, dy, dh, dc, options)
                    : invert<double>(gradients, tape, dy, dh, dc, options);
  }

 private:
  template <class T>
  ForwardArgs<T> weights(const py::array& parameters) const {
    ForwardArgs<T> args{};
    args.parameters = data_of<T>("parameters", parameters, {net_->parameter_count});
    return args;
  }

  template <class T>
  py::tuple record(const py::array& parameters, const py::array& x, const std::optional<py::array>& h0,
                   const std::optional<py::array>& c0, double dropout, std::uint64_t key, Index first_row, Rows rows,
                   const InterventionArrays& by) const {
    ForwardArgs<T> args = weights<T>(parameters);
    args.interventions = by.of<T>(*net_, rows);
    auto bound = std::make_unique<BoundTape>(Tape<T>(*net_, rows), net_);
    const py::array kept = as_it_is<T>(x);
    bound->x = kept;
    bound->keep_weights(parameters, frozen(parameters));
    args.parameters = static_cast<const T*>(bound->weights);
    bound->interventions = py::make_tuple(by.reset, by.recurrent_mask, by.keep_h, by.keep_c);
    Tape<T>& tape = std::get<Tape<T>>(bound->tape);
    tape.dropout = dropout;
    tape.dropout_key = key;
    tape.first_row = first_row;
    const py::tuple result = run(*net_, args, std::move(rows), kept, h0, c0, &tape);
    return py::make_tuple(result[0], result[1], result[2], py::cast(std::move(bound)));
  }

  template <class T>
  py::tuple invert(py::array& gradients, BoundTape& bound, const std::optional<py::array>& dy,
                   const std::optional<py::array>& dh, const std::optional<py::array>& dc,
                   const BackwardOptions& options) const {
    const Tape<T>& tape = std::get<Tape<T>>(bound.tape);
    const Shape state = state_shape(*net_, tape.rows.batch());
    const Shape cell = cell_shape(*net_, tape.rows.batch());
    BackwardArgs<T> args{};
    args.parameters = static_cast<const T*>(bound.weights);
    args.gradients = mutable_data_of<T>("gradients", gradients, {net_->parameter_count});
    args.dy = optional_data_of<T>("dy", dy, shape_over_time(tape.rows, net_->width()));
    args.dh = optional_data_of<T>("dh", dh, state);
    args.dc = optional_data_of<T>("dc", dc, cell);
    if (dc && !net_->traits.has_cell_state) throw std::invalid_argument("dc: this cell has no cell state");
    const Index time = tape.rows.time();
    args.steps = options.steps.value_or(time);
    if (args.steps < 0) throw std::invalid_argument("steps: expected at least 0, got " + std::to_string(args.steps));
    if (args.steps < time && net_->directions == 2) {
      throw std::invalid_argument("steps: truncation needs a network of one direction");
    }
    if (!(options.clip.value > 0 && options.clip.norm > 0)) throw std::invalid_argument("clip: expected more than 0");
    if (options.chunk < 0) throw std::invalid_argument("chunk: expected at least 0");
    args.clip = options.clip;
    args.chunk = options.chunk;
    std::optional<NewArray<T>> dx, errors;
    if (options.keep_errors) {
      Shape shape = shape_over_time(tape.rows, net_->output);
      shape.insert(shape.begin(), state[0]);
      errors.emplace(shape);
      args.errors = errors->data();
    }
    if (options.need_dx) dx.emplace(shape_over_time(tape.rows, net_->input));
    const NewArray<T> dh0(state);
    const NewArray<double> dh_norm({state[0], time});
    args.dx = dx ? dx->data() : nullptr;
    args.dh0 = dh0.data();
    args.dh_norm = dh_norm.data();
    std::optional<NewArray<T>> dc0;
    std::optional<NewArray<double>> dc_norm;
    if (net_->traits.has_cell_state) {
      dc0.emplace(cell);
      dc_norm.emplace(Shape{state[0], time});
      args.dc0 = dc0->data();
      args.dc_norm = dc_norm->data();
    }
    const Adding adding(args.gradients);
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
      .def(py::init<const std::string&, const std::string&, Index, Index, Index, bool, bool, const py::kwargs&>(),
           py::arg("cell"), py::arg("dtype"), py::arg("input_size"), py::arg("hidden_size"), py::arg("num_layers"),
           py::arg("bidirectional"), py::arg("bias"))
      .def_property_readonly("parameters", &BoundRecurrent::parameters)
      .def_property_readonly("parameter_count", &BoundRecurrent::parameter_count)
      .def("infer", &BoundRecurrent::infer, py::arg("parameters"), py::arg("x"), py::arg("h0"), py::arg("c0"),
           py::arg("active") = py::none(), py::arg("batch") = 0, py::arg("reset") = py::none())
      .def("forward", &BoundRecurrent::forward, py::arg("parameters"), py::arg("x"), py::arg("h0"), py::arg("c0"),
           py::arg("dropout"), py::arg("dropout_key"), py::arg("active") = py::none(), py::arg("batch") = 0,
           py::arg("reset") = py::none(), py::arg("recurrent_mask") = py::none(), py::arg("keep_h") = py::none(),
           py::arg("keep_c") = py::none(), py::arg("first_row") = 0)
      .def("freeze", &BoundRecurrent::freeze, py::arg("parameters"))
      .def("stream", &BoundRecurrent::stream, py::arg("parameters"), py::arg("batch_size"))
      .def("backward", &BoundRecurrent::backward, py::arg("gradients"), py::arg("tape"), py::arg("dy"), py::arg("dh"),
           py::arg("dc"), py::arg("steps") = py::none(), py::arg("need_dx") = true, py::arg("clip_value") = py::none(),
           py::arg("clip_norm") = py::none(), py::arg("keep_errors") = false, py::arg("chunk") = 0)
      .def("chunk_steps", &BoundRecurrent::chunk_steps, py::arg("batch"));
}

}  // namespace bptt::bindings

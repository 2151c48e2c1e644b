// One step at a time. What a step does in Python is one call without arguments: its input and output are arrays that
// the stream owns.
#include <algorithm>
#include <atomic>

#include "bindings/stream.hpp"
#include "core/stream.hpp"

namespace bptt::bindings {
namespace {

constexpr double kWorthTheGil = 1e6;  // floating-point operations of a step: some 20 microseconds of one core

// Held while a call steps: two at once would mix their states.
class Stepping {
 public:
  explicit Stepping(std::atomic_flag& busy) : busy_(busy) {
    if (busy_.test_and_set(std::memory_order_acquire)) {
      throw std::runtime_error("stream: another call is stepping it. Let one finish first");
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
      : net_(net), stream_(net_, parameters, batch), in_({batch, net.input}), out_({batch, net.output}) {
    input = in_.array;
    output = out_.array;
    std::fill_n(in_.data(), batch * net.input, T{0});
    std::fill_n(out_.data(), batch * net.output, T{0});
    h = array_over(stream_.h().block(), stream_.h().data(), {net.layers, batch, net.output});
    if (stream_.c().data()) {
      c = array_over(stream_.c().block(), stream_.c().data(), {net.layers, batch, net.hidden});
    }
  }

  // A small step keeps the GIL, which costs more to give up and take back than the step.
  void step() override {
    const Stepping stepping(busy_);
    const auto step = [&] { stream_.step(in_.data(), out_.data()); };
    if (stream_.flops() >= kWorthTheGil) {
      compute([&](Interrupt&) { step(); });
    } else {
      const FlushSubnormals mode;
      step();
    }
  }

  py::array run(const py::array& x) override {
    const Index batch = input.shape(0);
    const T* from = data_of<T>("x", x, {-1, batch, net_.input});
    const Index time = x.shape(0);
    const NewArray<T> y({time, batch, net_.output});
    const Stepping stepping(busy_);
    compute([&](Interrupt& interrupt) {
      for (Index t = 0; t < time && !interrupt.stopped(); ++t) {
        stream_.step(from + t * batch * net_.input, y.data() + t * batch * net_.output);
        if ((t + 1) % stream_.poll_steps() == 0) interrupt.poll();
      }
    });
    return y.array;
  }

 private:
  const Recurrent net_;
  Stream<T> stream_;
  NewArray<T> in_;
  NewArray<T> out_;
  std::atomic_flag busy_;
};

}  // namespace

std::unique_ptr<AnyStream> make_stream(const Recurrent& net, const py::array& parameters, Index batch) {
  if (batch < 1) throw std::invalid_argument("batch_size: expected at least 1, got " + std::to_string(batch));
  return with_dtype("parameters", parameters, [&]<class T>(T) -> std::unique_ptr<AnyStream> {
    return std::make_unique<BoundStream<T>>(net, data_of<T>("parameters", parameters, {net.parameter_count}), batch);
  });
}

void bind_stream(py::module_& m) {
  py::class_<AnyStream>(m, "Stream")
      .def("step", &AnyStream::step)
      .def("run", &AnyStream::run, py::arg("x"))
      .def_readonly("input", &AnyStream::input)
      .def_readonly("output", &AnyStream::output)
      .def_readonly("h", &AnyStream::h)
      .def_readonly("c", &AnyStream::c);
}

}  // namespace bptt::bindings

#include "capi/stages.hpp"

#include "core/streams/stream.hpp"
#include "core/timeless/activations.hpp"
#include "core/timeless/layer_norm.hpp"
#include "core/timeless/linear.hpp"

namespace bptt::capi {
namespace {

const float* or_null(const Floats& values) { return values.empty() ? nullptr : values.data(); }

class RecurrentLayer final : public Layer {
 public:
  RecurrentLayer(Recurrent net, Floats parameters)
      : Layer(net.input, net.output), net_(std::move(net)), parameters_(std::move(parameters)) {}

  std::unique_ptr<Stage> stage(Index rows) const override {
    class Running final : public Stage {
     public:
      Running(const Recurrent& net, const float* parameters, Index rows) : stream_(net, parameters, rows) {}
      void run(const float* x, float* y, Index steps) override {
        Interrupt never;
        stream_.run(x, y, nullptr, steps, never);
      }
      std::vector<Buffer<float>> state() const override {
        if (!stream_.c().data()) return {stream_.h()};
        return {stream_.h(), stream_.c()};
      }

     private:
      Stream<float> stream_;
    };
    return std::make_unique<Running>(net_, parameters_.data(), rows);
  }

 private:
  Recurrent net_;
  Floats parameters_;
};

// A layer whose stage is a function of a number of rows.
template <class Run>
class PlainLayer final : public Layer {
 public:
  PlainLayer(Index reads, Index writes, Run run) : Layer(reads, writes), run_(std::move(run)) {}

  std::unique_ptr<Stage> stage(Index rows) const override {
    class Running final : public Stage {
     public:
      Running(const Run& run, Index rows) : run_(run), rows_(rows) {}
      void run(const float* x, float* y, Index steps) override {
        Interrupt never;
        run_(steps * rows_, x, y, never);
      }

     private:
      const Run& run_;
      Index rows_;
    };
    return std::make_unique<Running>(run_, rows);
  }

 private:
  Run run_;
};

template <class Run>
std::unique_ptr<Layer> plain(Index inputs, Index outputs, Run run) {
  return std::make_unique<PlainLayer<Run>>(inputs, outputs, std::move(run));
}

}  // namespace

std::unique_ptr<Layer> recurrent_layer(Recurrent net, Floats parameters) {
  return std::make_unique<RecurrentLayer>(std::move(net), std::move(parameters));
}

std::unique_ptr<Layer> linear_layer(Index inputs, Index outputs, Floats weight, Floats bias, Precision precision) {
  Interrupt never;
  const LinearArgs<float> args{0, inputs, outputs, nullptr, weight.data(), or_null(bias), precision};
  const auto packed = std::make_shared<const PackedLinear<float>>(args, never);
  return plain(inputs, outputs, [packed](Index rows, const float* x, float* y, Interrupt& interrupt) {
    packed->forward(rows, x, y, interrupt);
  });
}

std::unique_ptr<Layer> layer_norm_layer(Index width, double epsilon, Floats gain, Floats bias) {
  return plain(width, width, [=](Index rows, const float* x, float* y, Interrupt& interrupt) {
    layer_norm_forward<float>({rows, width, x, or_null(gain), or_null(bias), epsilon, nullptr, nullptr, y}, interrupt);
  });
}

std::unique_ptr<Layer> activation_layer(Index width, Elementwise kind) {
  return plain(width, width, [=](Index rows, const float* x, float* y, Interrupt& interrupt) {
    elementwise(kind, rows * width, x, y, interrupt);
  });
}

std::unique_ptr<Layer> softmax_layer(Index width) {
  return plain(width, width, [=](Index rows, const float* x, float* y, Interrupt& interrupt) {
    softmax(rows, width, x, y, interrupt);
  });
}

}  // namespace bptt::capi

// The gradients of every cell in float64 beside central differences, without Python: for machines that are emulated.
// Exit code 0 if all agree.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/recurrent.hpp"

namespace {

using namespace bptt;

constexpr Index kTime = 4, kBatch = 3;

std::vector<double> noise(Index count, unsigned seed) {
  std::vector<double> values(static_cast<std::size_t>(count));
  for (double& v : values) {
    seed = seed * 1664525u + 1013904223u;
    v = static_cast<double>(seed) * 0x1p-32 - 0.5;
  }
  return values;
}

struct Net {
  Recurrent net;
  std::vector<double> parameters, x, dy, h0, c0;

  Net(Cell cell, Index layers, bool bidirectional)
      : net(cell, 3, 5, layers, bidirectional, true), parameters(noise(net.parameter_count, 1)),
        x(noise(kTime * kBatch * net.input, 2)), dy(noise(kTime * kBatch * net.width(), 3)),
        h0(noise(net.layers * net.directions * kBatch * net.output, 4)),
        c0(noise(net.layers * net.directions * kBatch * net.hidden, 5)) {}

  // The sum of dy times the output.
  double loss(Tape<double>& tape) const {
    std::vector<double> h(h0.size()), c(c0.size());
    Interrupt interrupt;
    ForwardArgs<double> f{};
    f.parameters = parameters.data();
    f.x = x.data();
    f.h0 = h0.data();
    f.c0 = net.traits.has_cell_state ? c0.data() : nullptr;
    f.h = h.data();
    f.c = net.traits.has_cell_state ? c.data() : nullptr;
    f.rows = {kTime, kBatch};
    forward(net, f, tape, interrupt);
    const double* y = tape.layers.back().h.data() + kBatch * net.width();
    double sum = 0;
    for (std::size_t i = 0; i < dy.size(); ++i) sum += dy[i] * y[i];
    return sum;
  }

  // Of all parameters, then of x.
  std::vector<double> gradients() const {
    std::vector<double> result(parameters.size() + x.size()), dh0(h0.size()), dc0(c0.size());
    std::vector<double> norms(static_cast<std::size_t>(net.layers * net.directions * kTime)), cell_norms(norms);
    Tape<double> tape(net, {kTime, kBatch});
    loss(tape);
    Interrupt interrupt;
    BackwardArgs<double> b{};
    b.parameters = parameters.data();
    b.gradients = result.data();
    b.dy = dy.data();
    b.dx = result.data() + parameters.size();
    b.dh0 = dh0.data();
    b.dc0 = net.traits.has_cell_state ? dc0.data() : nullptr;
    b.dh_norm = norms.data();
    b.dc_norm = net.traits.has_cell_state ? cell_norms.data() : nullptr;
    b.steps = kTime;
    backward(net, b, tape, interrupt);
    return result;
  }

  double difference(double& value) {
    constexpr double kStep = 1e-5;
    const double before = value;
    Tape<double> above(net, {kTime, kBatch}), below(net, {kTime, kBatch});
    value = before + kStep;
    const double high = loss(above);
    value = before - kStep;
    const double low = loss(below);
    value = before;
    return (high - low) / (2 * kStep);
  }
};

}  // namespace

int main() {
  constexpr double kTolerance = 1e-7;
  int failures = 0;
  for (const CellTraits& traits : kCellTraits) {
    for (const bool bidirectional : {false, true}) {
      Net net(traits.cell, 2, bidirectional);
      const std::vector<double> gradients = net.gradients();
      double worst = 0;
      bool agree = true;
      for (std::size_t i = 0; i < gradients.size(); ++i) {
        const std::size_t count = net.parameters.size();
        const double found = net.difference(i < count ? net.parameters[i] : net.x[i - count]);
        const double error = std::abs(gradients[i] - found);
        worst = std::max(worst, error);
        agree = agree && error < kTolerance;  // NaN does not
      }
      if (!agree) {
        std::printf("%s: gradients and differences are up to %g apart\n", traits.name.data(), worst);
        ++failures;
      }
    }
  }
  std::printf("%s\n", failures ? "FAILED" : "all gradients agree");
  return failures;
}

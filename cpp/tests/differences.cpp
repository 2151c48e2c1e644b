// The gradients of every cell in float64 compared with central differences, without Python: for machines that are
// emulated. Exit code 0 if all agree.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "tests/passes.hpp"

namespace {

using namespace bptt;

constexpr Index kTime = 4, kBatch = 3;

struct Net : tests::Passes<double> {
  Net(Cell cell, Index layers, bool bidirectional)
      : Passes(Recurrent(cell, {3, 5, layers, bidirectional}), {kTime, kBatch}) {}

  // The sum of dy times the output.
  double loss(Tape<double>& tape) {
    Interrupt interrupt;
    forward(net, forward_args(), tape, interrupt);
    const double* y = output(tape);
    double sum = 0;
    for (std::size_t i = 0; i < dy.size(); ++i) sum += dy[i] * y[i];
    return sum;
  }

  // Of all parameters, then of x.
  std::vector<double> gradients() {
    std::vector<double> result(parameters.size() + x.size());
    Tape<double> tape(net, rows);
    loss(tape);
    Interrupt interrupt;
    backward(net, backward_args(result.data(), result.data() + parameters.size()), tape, interrupt);
    return result;
  }

  double difference(double& value) {
    constexpr double kStep = 1e-5;
    const double before = value;
    Tape<double> above(net, rows), below(net, rows);
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
        std::printf("%s: gradients and differences differ by up to %g\n", traits.name.data(), worst);
        ++failures;
      }
    }
  }
  std::printf("%s\n", failures ? "FAILED" : "all gradients agree");
  return failures;
}

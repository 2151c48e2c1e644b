// The gradients of every cell in float64 compared with central differences, and those of bfloat16 products with them,
// with every instruction set of this machine, without Python: for machines that are emulated. Exit code 0 if all agree.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>

#include "runtime/isa.hpp"
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

  // The distance of the gradients of bfloat16 products, as a part of the gradients' norm.
  double distance_of_bfloat16(const std::vector<double>& gradients) const {
    Options options;
    options.precision = Precision::bfloat16;
    tests::Passes<float> passes(
        Recurrent(net.traits.cell, {net.input, net.hidden, net.layers, net.directions == 2}, options), rows);
    std::vector<float> result(gradients.size());
    Tape<float> tape(passes.net, rows);
    Interrupt interrupt;
    forward(passes.net, passes.forward_args(), tape, interrupt);
    float* const dx = result.data() + passes.parameters.size();
    backward(passes.net, passes.backward_args(result.data(), dx), tape, interrupt);
    double squares = 0, total = 0;
    for (std::size_t i = 0; i < result.size(); ++i) {
      const double difference = static_cast<double>(result[i]) - gradients[i];
      squares += difference * difference;
      total += gradients[i] * gradients[i];
    }
    return std::sqrt(squares / total);
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

// Failures of a cell, with the instruction set in use.
int check(const CellTraits& traits, bool bidirectional) {
  constexpr double kTolerance = 1e-7;
  constexpr double kBfloat16 = 8.0 / 256;  // each gradient goes through a few roundings of 1 / 256
  int failures = 0;
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
    std::printf("%s, %s: gradients and differences differ by up to %g\n", isa().c_str(), traits.name.data(), worst);
    ++failures;
  }
  const double distance = net.distance_of_bfloat16(gradients);
  if (!(distance > 0 && distance < kBfloat16)) {
    std::printf("%s, %s: gradients of bfloat16 products differ by %g of their norm\n", isa().c_str(),
                traits.name.data(), distance);
    ++failures;
  }
  return failures;
}

}  // namespace

int main() {
  int failures = 0;
  for (const std::string& name : available_isas()) {
    use_isa(name);
    for (const CellTraits& traits : kCellTraits) failures += check(traits, false) + check(traits, true);
  }
  std::printf("%s\n", failures ? "FAILED" : "all gradients agree");
  return failures ? 1 : 0;
}

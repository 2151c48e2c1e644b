// Inference of every cell with every instruction set of this machine and every precision, without Python: streams have
// the bits of whole passes, also where an instruction is emulated, and reduced precision is near the highest. Exit code
// 0 if all agree.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>

#include "core/streams/stream.hpp"
#include "runtime/isa.hpp"
#include "tests/passes.hpp"

namespace {

using namespace bptt;

constexpr Index kTime = 5;

struct Size {
  Index input, hidden, layers, batch;
};
// Layers of few units run all steps in one kernel; wide ones have several panels, and the last is not full.
constexpr Size kSizes[] = {{3, 5, 1, 1}, {3, 4, 2, 1}, {7, 37, 2, 3}, {20, 70, 1, 17}};

template <class T>
std::vector<T> of_pass(const Recurrent& net, Index batch) {
  tests::Passes<T> passes(net, {kTime, batch});
  ForwardArgs<T> args = passes.forward_args();
  std::vector<T> y(static_cast<std::size_t>((kTime + 2) * batch * net.width()));
  args.y = y.data();
  args.h0 = args.c0 = nullptr;
  Interrupt interrupt;
  infer(net, args, interrupt);
  const auto step = batch * net.width();  // the outer slots are scratch
  return {y.begin() + step, y.end() - step};
}

// The first step alone, then the others.
template <class T>
std::vector<T> of_stream(const Recurrent& net, Index batch) {
  const tests::Passes<T> passes(net, {kTime, batch});
  Stream<T> stream(net, passes.parameters.data(), batch);
  std::vector<T> y(static_cast<std::size_t>(kTime * batch * net.width()));
  stream.step(passes.x.data(), y.data());
  Interrupt interrupt;
  stream.run(passes.x.data() + batch * net.input, y.data() + batch * net.width(), nullptr, kTime - 1, interrupt);
  return y;
}

template <class T>
double distance(const std::vector<T>& found, const std::vector<T>& expected) {
  double squares = 0, total = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const auto e = static_cast<double>(expected[i]), d = static_cast<double>(found[i]) - e;
    squares += d * d;
    total += e * e;
  }
  return std::sqrt(squares / total);
}

int failures = 0;
void require(bool condition, const Recurrent& net, const std::string& what) {
  if (condition) return;
  std::printf("%s, %s, hidden %td: %s\n", isa().c_str(), net.traits.name.data(), net.hidden, what.c_str());
  ++failures;
}

struct Reduced {
  Precision precision;
  const char* name;
  double tolerance;  // a part of the norm of the output, which goes through a few roundings
};
constexpr Reduced kReduced[] = {{Precision::bfloat16, "bfloat16", 8.0 / 256}, {Precision::int8, "int8", 8.0 / 127}};

void check_reduced(Cell cell, const Size& size, const Reduced& reduced, const std::vector<float>& highest) {
  Options options;
  options.precision = reduced.precision;
  const Recurrent net(cell, {size.input, size.hidden, size.layers, false}, options);
  const std::vector<float> y = of_pass<float>(net, size.batch);
  const double error = distance(y, highest);
  const std::string name = reduced.name;
  require(error > 0 && error < reduced.tolerance, net, name + " differs by " + std::to_string(error) + " of the norm");
  require(of_stream<float>(net, size.batch) == y, net, "a stream has other bits in " + name);
  emulate_reduced_precision(true);
  require(of_pass<float>(net, size.batch) == y, net, "emulated " + name + " has other bits");
  require(of_stream<float>(net, size.batch) == y, net, "a stream of emulated " + name + " has other bits");
  emulate_reduced_precision(false);
}

void check(Cell cell, const Size& size) {
  const Recurrent net(cell, {size.input, size.hidden, size.layers, false});
  const std::vector<double> exact = of_pass<double>(net, size.batch);
  require(of_stream<double>(net, size.batch) == exact, net, "a stream has other bits in float64");
  const std::vector<float> y = of_pass<float>(net, size.batch);
  require(of_stream<float>(net, size.batch) == y, net, "a stream has other bits in float32");
  const double error = distance(std::vector<double>(y.begin(), y.end()), exact);
  require(error > 0 && error < 1e-5, net, "float32 differs by " + std::to_string(error) + " of the norm");
  for (const Reduced& reduced : kReduced) check_reduced(cell, size, reduced, y);
}

}  // namespace

int main() {
  for (const std::string& name : available_isas()) {
    use_isa(name);
    for (const CellTraits& traits : kCellTraits) {
      for (const Size& size : kSizes) check(traits.cell, size);
    }
    std::printf("%s: %s in bfloat16, %s in int8\n", name.c_str(), instruction_of(Precision::bfloat16).c_str(),
                instruction_of(Precision::int8).c_str());
  }
  std::printf("%s\n", failures ? "FAILED" : "all outputs agree");
  return failures ? 1 : 0;
}

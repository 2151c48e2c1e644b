// Native stress for ThreadSanitizer: passes of every cell with several threads of the library's own, called from
// several threads at once, compared bit for bit with one thread's results. Exit code 0 if all agree.
#include <cstdio>
#include <cstring>
#include <thread>

#include "core/recurrent.hpp"
#include "runtime/isa.hpp"
#include "runtime/team.hpp"

namespace {

using namespace bptt;

struct Result {
  std::vector<float> y, gradients, dx;
  bool operator==(const Result&) const = default;
};

std::vector<float> noise(Index count, unsigned seed) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& v : values) {
    seed = seed * 1664525u + 1013904223u;
    v = static_cast<float>(static_cast<int>(seed >> 8) - (1 << 23)) * 0x1p-25f;
  }
  return values;
}

Result train(const Recurrent& net, Index time, Index batch) {
  const Index states = net.layers * net.directions * batch * net.hidden;
  const Index width = net.directions * net.hidden;
  const auto parameters = noise(net.parameter_count, 1);
  const auto x = noise(time * batch * net.input, 2);
  const auto dy = noise(time * batch * width, 3);
  std::vector<float> h(static_cast<std::size_t>(states)), c(h), dh0(h), dc0(h);
  std::vector<double> norms(static_cast<std::size_t>(net.layers * net.directions * time)), cell_norms(norms);
  Tape<float> tape(net, {time, batch});
  Interrupt interrupt;
  ForwardArgs<float> f{};
  f.parameters = parameters.data();
  f.x = x.data();
  f.h = h.data();
  f.c = net.traits.has_cell_state ? c.data() : nullptr;
  f.rows = {time, batch};
  forward(net, f, tape, interrupt);

  Result result;
  const float* y = tape.layers.back().h.data() + batch * width;
  result.y.assign(y, y + time * batch * width);
  result.gradients.resize(static_cast<std::size_t>(net.parameter_count));
  result.dx.resize(x.size());
  BackwardArgs<float> b{};
  b.parameters = parameters.data();
  b.gradients = result.gradients.data();
  b.dy = dy.data();
  b.dx = result.dx.data();
  b.dh0 = dh0.data();
  b.dc0 = net.traits.has_cell_state ? dc0.data() : nullptr;
  b.dh_norm = norms.data();
  b.dc_norm = net.traits.has_cell_state ? cell_norms.data() : nullptr;
  b.steps = time;
  backward(net, b, tape, interrupt);
  return result;
}

}  // namespace

int main() {
  struct Size {
    Index input, hidden, layers, time, batch;
    bool bidirectional;
  };
  // By rows, by units, by directions, and too few of either for the team.
  const Size sizes[] = {
      {8, 64, 2, 20, 48, false}, {8, 320, 1, 12, 3, false}, {8, 96, 2, 10, 20, true}, {4, 32, 1, 40, 5, true}};
  int failures = 0;
  for (const CellTraits& traits : kCellTraits) {
    for (const Size& size : sizes) {
      const Recurrent net(traits.cell, size.input, size.hidden, size.layers, size.bidirectional, true);
      set_num_threads(1);
      const Result expected = train(net, size.time, size.batch);
      for (const int threads : {2, 3, 4}) {
        set_num_threads(threads);
        std::vector<std::thread> callers;
        std::atomic<int> wrong{0};
        for (int i = 0; i < 2; ++i) {
          callers.emplace_back([&] {
            for (int repeat = 0; repeat < 3; ++repeat) wrong += train(net, size.time, size.batch) == expected ? 0 : 1;
          });
        }
        for (std::thread& caller : callers) caller.join();
        if (wrong > 0) {
          std::printf("%s, hidden %td: %d results differ with %d threads\n", traits.name.data(), size.hidden,
                      wrong.load(), threads);
          failures += wrong;
        }
      }
    }
  }
  std::printf("%s\n", failures ? "FAILED" : "all results agree");
  return failures ? 1 : 0;
}

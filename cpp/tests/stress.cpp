// Native stress for ThreadSanitizer: passes of every cell with several threads of the library's own, called from
// several threads at once, compared bit for bit with one thread's results. Exit code 0 if all agree.
// The argument `quick` halves the time steps, and runs one number of threads and one repeat.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <thread>

#include "core/pack.hpp"
#include "runtime/isa.hpp"
#include "runtime/team.hpp"
#include "tests/passes.hpp"

namespace {

using namespace bptt;

struct Result {
  std::vector<float> y, inferred, frozen, gradients, dx;
  bool operator==(const Result&) const = default;
};

// Every step has the whole batch, or they get fewer to a third.
Rows rows_of(Index time, Index batch, bool ragged) {
  if (!ragged) return {time, batch};
  std::vector<Index> active;
  for (Index t = 0; t < time; ++t) active.push_back(batch - 2 * batch * t / (3 * time));
  return {time, batch, active.data()};
}

Result run(const Recurrent& net, const Rows& rows, double dropout) {
  const Index time = rows.time(), batch = rows.batch(), width = net.width();
  tests::Passes<float> passes(net, rows);
  Tape<float> tape(net, rows);
  tape.dropout = dropout;
  Interrupt interrupt;
  ForwardArgs<float> f = passes.forward_args();
  std::vector<float> slots(static_cast<std::size_t>(tape.compact ? rows.slots() * width : 0));
  f.y = slots.data();
  forward(net, f, tape, interrupt);

  Result result;
  const float* y = tape.compact ? slots.data() + batch * width : passes.output(tape);
  result.y.assign(y, y + rows.total() * width);
  const PackedNetwork<float> packed(net, passes.parameters.data());
  for (std::vector<float>* out : {&result.inferred, &result.frozen}) {
    out->resize(static_cast<std::size_t>((rows.slots()) * width));
    f.y = out->data();
    infer(net, f, interrupt);
    out->resize(static_cast<std::size_t>(rows.slot(time + 1) * width));  // the outer slots are scratch
    out->erase(out->begin(), out->begin() + batch * width);
    f.packed = &packed;
  }
  result.gradients.resize(static_cast<std::size_t>(net.parameter_count));
  result.dx.resize(passes.x.size());
  backward(net, passes.backward_args(result.gradients.data(), result.dx.data()), tape, interrupt);
  for (Index t = 0; t < time; ++t) {  // padding
    std::fill(result.dx.begin() + (rows.base(t) + rows.active(t)) * net.input,
              result.dx.begin() + rows.base(t + 1) * net.input, 0.0f);
  }
  return result;
}

}  // namespace

int main(int count, char** arguments) {
  const bool quick = count > 1 && std::strcmp(arguments[1], "quick") == 0;
  struct Size {
    Index input, hidden, layers, time, batch;
    bool bidirectional, ragged;
    double dropout = 0;
    bool compact = false;
  };
  // By rows, by units, by directions, too few of either for the team, and by rows that change hands.
  const Size sizes[] = {{8, 64, 3, 20, 48, false, false},
                        {8, 64, 2, 20, 48, false, false, 0.3},
                        {8, 320, 1, 12, 3, false, false},
                        {8, 96, 2, 10, 20, true, false},
                        {4, 32, 1, 40, 5, true, false},
                        {8, 64, 2, 20, 48, false, true},
                        {8, 64, 1, 20, 60, true, true},
                        {8, 64, 3, 20, 48, false, false, 0.3, true},
                        {8, 320, 1, 12, 3, false, false, 0, true},
                        {8, 64, 2, 20, 60, true, true, 0, true},
                        {8, 64, 2, 20, 48, false, false, 0, true}};
  int failures = 0;
  for (const CellTraits& traits : kCellTraits) {
    for (const Size& size : sizes) {
      Options options;
      options.compact_tape = size.compact;
      const Recurrent net(traits.cell, {size.input, size.hidden, size.layers, size.bidirectional}, options);
      const Rows rows = rows_of(quick ? size.time / 2 : size.time, size.batch, size.ragged);
      set_num_threads(1);
      const Result expected = run(net, rows, size.dropout);
      for (const int threads : quick ? std::vector{3} : std::vector{2, 3, 4}) {
        set_num_threads(threads);
        std::vector<std::thread> callers;
        std::atomic<int> wrong{0};
        for (int i = 0; i < 2; ++i) {
          callers.emplace_back([&] {
            for (int repeat = 0; repeat < (quick ? 1 : 3); ++repeat)
              wrong += run(net, rows, size.dropout) == expected ? 0 : 1;
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

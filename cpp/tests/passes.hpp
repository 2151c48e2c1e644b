// The native tests' numbers, and the arguments of the passes that read them.
#pragma once

#include <vector>

#include "core/tape/tape.hpp"

namespace bptt::tests {

// Numbers between -0.25 and 0.25.
template <class T>
std::vector<T> noise(Index count, unsigned seed) {
  std::vector<T> values(static_cast<std::size_t>(count));
  for (T& v : values) {
    seed = seed * 1664525u + 1013904223u;
    v = static_cast<T>(static_cast<int>(seed >> 8) - (1 << 23)) * T{0x1p-25};
  }
  return values;
}

// A network with an input, an initial state and errors, and memory for the states that its passes return.
template <class T>
class Passes {
 public:
  Passes(const Recurrent& of, const Rows& over)
      : net(of), rows(over), parameters(noise<T>(net.parameter_count, 1)), x(noise<T>(rows.total() * net.input, 2)),
        dy(noise<T>(rows.total() * net.width(), 3)), h0_(noise<T>(runs() * rows.batch() * net.output, 4)),
        c0_(noise<T>(runs() * rows.batch() * net.hidden, 5)), h_(h0_.size()), c_(c0_.size()), dh0_(h_), dc0_(c_),
        dh_norm_(static_cast<std::size_t>(runs() * rows.time())), dc_norm_(dh_norm_) {}

  ForwardArgs<T> forward_args() {
    ForwardArgs<T> args{};
    args.parameters = parameters.data();
    args.x = x.data();
    args.h0 = h0_.data();
    args.c0 = of_cell(c0_);
    args.h = h_.data();
    args.c = of_cell(c_);
    args.rows = rows;
    return args;
  }

  BackwardArgs<T> backward_args(T* gradients, T* dx) {
    BackwardArgs<T> args{};
    args.parameters = parameters.data();
    args.gradients = gradients;
    args.dy = dy.data();
    args.dx = dx;
    args.dh0 = dh0_.data();
    args.dc0 = of_cell(dc0_);
    args.dh_norm = dh_norm_.data();
    args.dc_norm = of_cell(dc_norm_);
    args.steps = rows.time();
    return args;
  }

  // The output that a forward pass left in its tape.
  const T* output(const Tape<T>& tape) const { return tape.layers.back().h.data() + rows.batch() * net.width(); }

  const Recurrent net;
  const Rows rows;
  std::vector<T> parameters, x, dy;

 private:
  Index runs() const { return net.layers * net.directions; }
  template <class V>
  V* of_cell(std::vector<V>& values) const {
    return net.traits.has_cell_state ? values.data() : nullptr;
  }

  std::vector<T> h0_, c0_, h_, c_, dh0_, dc0_;
  std::vector<double> dh_norm_, dc_norm_;
};

}  // namespace bptt::tests

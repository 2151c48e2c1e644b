#pragma once

#include <memory>

#include "bindings/numpy.hpp"

namespace bptt::bindings {

// A stream of either type.
class AnyStream {
 public:
  virtual ~AnyStream() = default;
  virtual void step() = 0;  // input -> output
  virtual void step_skipping(const py::array& skip) = 0;  // (B,): rows that keep their state, with output 0
  // (T, B, I) -> (T, B, H); skip (T, B)
  virtual py::array run(const py::array& x, const std::optional<py::array>& skip) = 0;

  // Copies of h (L, B, P) and c (L, B, H), with None for c where the cell has none.
  virtual py::tuple state() = 0;
  virtual void set_state(const py::array& h, const std::optional<py::array>& c) = 0;
  virtual void reset() = 0;  // to zeros

  py::array input;   // (B, I)
  py::array output;  // (B, H)
};

std::unique_ptr<AnyStream> make_stream(const Recurrent& net, const py::array& parameters, Index batch);

}  // namespace bptt::bindings

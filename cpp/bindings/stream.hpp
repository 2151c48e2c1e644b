#pragma once

#include <memory>

#include "bindings/numpy.hpp"

namespace bptt::bindings {

// A stream of either type.
class AnyStream {
 public:
  virtual ~AnyStream() = default;
  virtual void step() = 0;                        // input -> output
  virtual py::array run(const py::array& x) = 0;  // (T, B, I) -> (T, B, H)

  py::array input;   // (B, I)
  py::array output;  // (B, H)
  py::array h;       // (L, B, H), the state itself
  py::object c = py::none();
};

std::unique_ptr<AnyStream> make_stream(const Recurrent& net, const py::array& parameters, Index batch);

}  // namespace bptt::bindings

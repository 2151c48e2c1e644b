// The tape of a forward pass, as a Python object.
#pragma once

#include <cstring>
#include <memory>
#include <mutex>
#include <variant>

#include "bindings/rows.hpp"
#include "core/tape/tape.hpp"

namespace bptt::bindings {

using AnyTape = std::variant<Tape<float>, Tape<double>>;

class BoundTape {
 public:
  BoundTape(AnyTape kept, std::shared_ptr<const Recurrent> maker) : tape(std::move(kept)), net(std::move(maker)) {}

  AnyTape tape;
  std::shared_ptr<const Recurrent> net;
  py::object x;              // keeps the input alive,
  py::object interventions;  // and these
  // The weights of the forward pass: a copy, or the caller's array if nobody changes it.
  const void* weights = nullptr;
  Block copied_weights;
  py::object parameters;

  void keep_weights(const py::array& array, bool unchanged) {
    weights = array.data();
    if (unchanged) {
      parameters = array;
      return;
    }
    const auto bytes = static_cast<std::size_t>(array.nbytes());
    copied_weights = Block(bytes);
    std::memcpy(copied_weights.data(), weights, bytes);
    weights = copied_weights.data();
  }

  // The same record of the forward pass for other backward passes, whose norms and errors are its own: none so far.
  std::unique_ptr<BoundTape> twin() const {
    auto other = std::make_unique<BoundTape>(tape, net);
    other->x = x;
    other->interventions = interventions;
    other->weights = weights;
    other->copied_weights = copied_weights;
    other->parameters = parameters;
    return other;
  }

  // The results of the last backward pass. The lock is for a Python without the GIL, where one thread may read them
  // while another thread's pass ends.
  void set_results(py::object dh_norm, py::object dc_norm, py::object errors) {
    const std::lock_guard guard(lock_);
    std::swap(dh_norm_, dh_norm);
    std::swap(dc_norm_, dc_norm);
    std::swap(errors_, errors);
  }
  py::object dh_norm() const {
    const std::lock_guard guard(lock_);
    return dh_norm_;
  }
  py::object dc_norm() const {
    const std::lock_guard guard(lock_);
    return dc_norm_;
  }
  // (L * D, T, B, P), or None.
  py::object errors() const {
    const std::lock_guard guard(lock_);
    return errors_;
  }

 private:
  mutable std::mutex lock_;
  py::object dh_norm_ = py::none();
  py::object dc_norm_ = py::none();
  py::object errors_ = py::none();
};

// (T, B), or (rows.total(),).
inline Shape rows_over_time(const Rows& rows) {
  return rows.ragged() ? Shape{rows.total()} : Shape{rows.time(), rows.batch()};
}

// (T, B, width), or (rows.total(), width).
inline Shape shape_over_time(const Rows& rows, Index width) {
  return rows.ragged() ? Shape{rows.total(), width} : Shape{rows.time(), rows.batch(), width};
}

}  // namespace bptt::bindings

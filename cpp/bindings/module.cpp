#include "bindings/numpy.hpp"

PYBIND11_MODULE(_core, m, pybind11::mod_gil_not_used()) {
  m.doc() = "The compiled core of bptt.";
  bptt::bindings::bind_stream(m);
  bptt::bindings::bind_tape(m);
  bptt::bindings::bind_recurrent(m);
  bptt::bindings::bind_step(m);
  bptt::bindings::bind_ragged(m);
  bptt::bindings::bind_layers(m);
  bptt::bindings::bind_blocks(m);
  bptt::bindings::bind_activations(m);
  bptt::bindings::bind_losses(m);
  bptt::bindings::bind_regularizers(m);
  bptt::bindings::bind_vectors(m);
  bptt::bindings::bind_runtime(m);
}

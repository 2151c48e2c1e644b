// The one header that knows NumPy, and the only place that includes pybind11: two translation units that saw
// different casters would break the one-definition rule.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#if defined(__GLIBCXX__) && !defined(_WIN32)
#include <cxxabi.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <exception>
#include <limits>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/recurrent.hpp"
#include "runtime/float_mode.hpp"
#include "runtime/interrupt.hpp"
#include "runtime/workspace.hpp"

namespace bptt::bindings {

namespace py = pybind11;

using Shape = std::vector<py::ssize_t>;

inline std::string describe(const Shape& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text += (i ? ", " : "") + (shape[i] < 0 ? std::string("any") : std::to_string(shape[i]));
  }
  return text + (shape.size() == 1 ? ",)" : ")");
}

inline Shape shape_of(const py::array& a) { return Shape(a.shape(), a.shape() + a.ndim()); }

// The data of an array that must be of this type, C-contiguous and of this shape (-1: any extent). The Python layers
// convert; this is the check that no mistake of theirs becomes a crash.
template <class T>
const T* data_of(const char* name, const py::array& a, const Shape& expected) {
  if (!py::isinstance<py::array_t<T>>(a) || !(a.flags() & py::array::c_style) ||
      reinterpret_cast<std::uintptr_t>(a.data()) % alignof(T) != 0) {
    throw py::type_error(std::string(name) + ": expected a C-contiguous, aligned array of " +
                         std::string(py::str(py::dtype::of<T>())) + ", got dtype " + std::string(py::str(a.dtype())));
  }
  bool fits = a.ndim() == static_cast<py::ssize_t>(expected.size());
  for (std::size_t i = 0; fits && i < expected.size(); ++i) {
    fits = expected[i] < 0 || a.shape(static_cast<py::ssize_t>(i)) == expected[i];
  }
  if (!fits) {
    throw std::invalid_argument(std::string(name) + ": expected shape " + describe(expected) + ", got " +
                                describe(shape_of(a)));
  }
  return static_cast<const T*>(a.data());
}

template <class T>
T* mutable_data_of(const char* name, py::array& a, const Shape& expected) {
  const T* data = data_of<T>(name, a, expected);
  if (!a.writeable()) throw std::invalid_argument(std::string(name) + ": expected a writable array");
  return const_cast<T*>(data);
}

template <class T>
const T* optional_data_of(const char* name, const std::optional<py::array>& a, const Shape& expected) {
  return a ? data_of<T>(name, *a, expected) : nullptr;
}

inline constexpr char kBlockName[] = "bptt.Block";

inline Shape contiguous_strides(const Shape& shape, py::ssize_t element) {
  Shape strides(shape.size(), element);
  for (std::size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

// An array over a block of the pool, which it keeps alive. Strides are in bytes.
inline py::array array_in(const Block& block, const py::dtype& dtype, const void* data, const Shape& shape,
                          const Shape& strides) {
  const py::capsule owner(new Block(block), kBlockName, [](PyObject* capsule) {
    delete static_cast<Block*>(PyCapsule_GetPointer(capsule, kBlockName));
  });
  return py::array(dtype, shape, strides, data, owner);
}

template <class T>
py::array array_over(const Block& block, const T* data, const Shape& shape, const Shape& element_strides = {},
                     bool writeable = true) {
  Shape strides = contiguous_strides(shape, sizeof(T));
  for (std::size_t i = 0; i < element_strides.size(); ++i) {
    strides[i] = element_strides[i] * static_cast<py::ssize_t>(sizeof(T));
  }
  py::array result = array_in(block, py::dtype::of<T>(), data, shape, strides);
  if (!writeable) result.attr("setflags")(py::arg("write") = false);
  return result;
}

template <class T>
struct NewArray {
  explicit NewArray(const Shape& shape) {
    Index count = 1;
    for (const auto extent : shape) {
      if (__builtin_mul_overflow(count, extent, &count) ||
          count > std::numeric_limits<Index>::max() / static_cast<Index>(sizeof(T))) {
        throw std::invalid_argument("an array of shape " + describe(shape) + " does not fit in memory");
      }
    }
    buffer = Buffer<T>(count);
    array = array_over(buffer.block(), buffer.data(), shape);
  }
  T* data() const { return buffer.data(); }

  Buffer<T> buffer;
  py::array array;
};

// Calls f with a value of the array's element type, float or double.
template <class F>
auto with_dtype(const char* name, const py::array& a, F f) {
  if (py::isinstance<py::array_t<float>>(a)) return f(float{});
  if (py::isinstance<py::array_t<double>>(a)) return f(double{});
  throw py::type_error(std::string(name) + ": expected float32 or float64, got dtype " +
                       std::string(py::str(a.dtype())));
}

// Held while a call adds to gradients: two at once would lose sums.
class Adding {
 public:
  explicit Adding(const void* gradients) : gradients_(gradients) {
    const std::lock_guard lock(mutex());
    if (!busy().insert(gradients).second) {
      throw std::runtime_error(
          "backward must add to one layer's gradients from one thread at a time; got a call while another call is "
          "adding to these gradients. Fix: wait for the other call, or give each thread its own layer.");
    }
  }
  ~Adding() {
    const std::lock_guard lock(mutex());
    busy().erase(gradients_);
  }
  Adding(const Adding&) = delete;
  Adding& operator=(const Adding&) = delete;

 private:
  static std::mutex& mutex() {
    static std::mutex instance;
    return instance;
  }
  static std::set<const void*>& busy() {
    static std::set<const void*> instance;
    return instance;
  }
  const void* gradients_;
};

// Runs f, which takes the GIL. While the interpreter ends, Python before 3.14 ends a daemon thread that asks for it, by
// unwinding its stack. Workers may still use that stack, and destructors must not throw: the thread sleeps instead, as
// Python does since.
template <class F>
auto taking_the_gil(F f) {
#if defined(__GLIBCXX__) && !defined(_WIN32)
  try {
    return f();
  } catch (abi::__forced_unwind&) {
    for (;;) ::pause();
  }
#else
  return f();
#endif
}

// Runs f without the GIL: every Python object it needs has become a pointer by then. Ctrl-C stops it and is raised.
template <class F>
void compute(F f) {
  thread_local std::optional<py::error_already_set> raised;
  Interrupt interrupt([] {
    return taking_the_gil([] {
      const KeepSubnormals mode;  // a signal handler is Python code of the user's
      const py::gil_scoped_acquire gil;
      if (PyErr_CheckSignals() == 0) return false;
      raised.emplace();
      return true;
    });
  });
  std::exception_ptr failed;
  PyThreadState* const state = PyEval_SaveThread();
  try {
    const FlushSubnormals mode;
    f(interrupt);
  } catch (...) {
    failed = std::current_exception();
  }
  taking_the_gil([&] { PyEval_RestoreThread(state); });
  if (failed) std::rethrow_exception(failed);
  if (interrupt.stopped()) {
    const py::error_already_set error = *raised;
    raised.reset();
    throw error;
  }
}

void bind_recurrent(py::module_& m);
void bind_step(py::module_& m);
void bind_ragged(py::module_& m);
void bind_layers(py::module_& m);
void bind_blocks(py::module_& m);
void bind_activations(py::module_& m);
void bind_losses(py::module_& m);
void bind_regularizers(py::module_& m);
void bind_vectors(py::module_& m);
void bind_runtime(py::module_& m);
void bind_stream(py::module_& m);
void bind_tape(py::module_& m);

}  // namespace bptt::bindings

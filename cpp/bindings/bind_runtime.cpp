// Instruction sets, threads, and how this build was made.
#include <algorithm>
#include <chrono>

#include "bindings/recurrent_options.hpp"
#include "runtime/isa.hpp"
#include "runtime/team.hpp"

namespace bptt::bindings {
namespace {

// Multiply-adds that one thread does a second, in GFLOP/s: the best of several short runs.
template <class T>
double measure_peak() {
  using Clock = std::chrono::steady_clock;
  constexpr Index rounds = 200000;
  const Kernels<T>& k = kernels<T>();
  double best = 0;
  compute([&](Interrupt& interrupt) {
    for (int i = 0; i < 20 && !interrupt.stopped(); ++i) {
      alignas(64) T lanes[64 / sizeof(T)];
      for (T& lane : lanes) lane = T{0.5};
      const auto start = Clock::now();
      const Index operations = k.multiply_add(rounds, lanes);
      const std::chrono::duration<double, std::nano> taken = Clock::now() - start;
      best = std::max(best, static_cast<double>(operations * rounds) / taken.count());
      interrupt.poll();
    }
  });
  return best;
}

// Nanoseconds that two threads need to meet at a barrier, the best of several rounds of many; 0 if there is only one.
// A measure of the distance between their cores.
double measure_barrier() {
  using Clock = std::chrono::steady_clock;
  constexpr int rounds = 20, meetings = 200;
  Barrier barrier(2);
  double best = 0;
  compute([&](Interrupt&) {
    run_team(std::min(2, get_num_threads()), [&](int index, int threads) {
      for (int round = 0; threads == 2 && round < rounds; ++round) {
        const auto start = Clock::now();
        for (int i = 0; i < meetings; ++i) barrier.wait();
        const std::chrono::duration<double, std::nano> taken = Clock::now() - start;
        if (index == 0 && (best == 0 || taken.count() < best * meetings)) best = taken.count() / meetings;
      }
    });
  });
  return best;
}

}  // namespace

void bind_runtime(py::module_& m) {
  m.def("set_num_threads", &set_num_threads, py::arg("n"));
  m.def("get_num_threads", &get_num_threads);
  m.def("suggest_threads", &suggest_threads, py::arg("n"));
  m.def("thread_rule", &thread_rule);
  m.def("available_isas", &available_isas);
  m.def("isa", &isa);
  m.def("isa_rule", &isa_rule);
  m.def("environment_complaints", [] {
    std::vector<std::string> complaints;
    for (std::string complaint : {threads_complaint(), isa_complaint()}) {
      if (!complaint.empty()) complaints.push_back(std::move(complaint));
    }
    return complaints;
  });
  m.def("use_isa", &use_isa, py::arg("name"));
  m.def(
      "instruction_of", [](const std::string& precision) { return instruction_of(precision_named(precision)); },
      py::arg("precision"));
  m.def("emulate_reduced_precision", &emulate_reduced_precision, py::arg("emulate"));
  m.def(
      "fma_peak",
      [](const std::string& dtype) {
        if (dtype == "float32") return measure_peak<float>();
        if (dtype == "float64") return measure_peak<double>();
        throw std::invalid_argument("dtype: expected 'float32' or 'float64', got '" + dtype + "'");
      },
      py::arg("dtype") = "float32");
  m.def("barrier_time", &measure_barrier);
  m.def("build_config", [] {
    py::dict config;
    config["compiler"] = BPTT_COMPILER;
    config["build_type"] = BPTT_BUILD_TYPE;
    config["system"] = BPTT_SYSTEM;
    config["cxx_standard"] = static_cast<long>(__cplusplus / 100 % 100);
    config["pybind11"] = PYBIND11_TOSTRING(PYBIND11_VERSION_MAJOR) "." PYBIND11_TOSTRING(PYBIND11_VERSION_MINOR);
#if defined(NDEBUG)
    config["assertions"] = false;
#else
    config["assertions"] = true;
#endif
    py::list built;
    built.append("generic");
#if defined(BPTT_BUILD_AVX2)
    built.append("avx2");
#endif
#if defined(BPTT_BUILD_AVX512)
    built.append("avx512");
#endif
    config["isas"] = built;
    return config;
  });
}

}  // namespace bptt::bindings

#include "runtime/isa.hpp"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

namespace bptt {

#define BPTT_DECLARE(name)                      \
  namespace name {                              \
  extern const Kernels<float> kernels_float32;  \
  extern const Kernels<double> kernels_float64; \
  }
BPTT_DECLARE(generic)
#if defined(BPTT_BUILD_AVX2)
BPTT_DECLARE(avx2)
#endif
#if defined(BPTT_BUILD_AVX512)
BPTT_DECLARE(avx512)
#endif
#undef BPTT_DECLARE

namespace {

struct Isa {
  std::string_view name;
  bool (*supported)();
  const Kernels<float>* float32;
  const Kernels<double>* float64;
};

// __builtin_cpu_supports asks the operating system too (XGETBV): a CPU feature whose registers the system does not
// save counts as absent.
const Isa kIsas[] = {
    {"generic", [] { return true; }, &generic::kernels_float32, &generic::kernels_float64},
#if defined(BPTT_BUILD_AVX2)
    {"avx2", [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }, &avx2::kernels_float32,
     &avx2::kernels_float64},
#endif
#if defined(BPTT_BUILD_AVX512)
    {"avx512",
     [] {
       return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
              __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
     },
     &avx512::kernels_float32, &avx512::kernels_float64},
#endif
};

enum class Rule { widest, environment, call };

struct Choice {
  const Isa* isa;
  Rule rule;
  std::string ignored;  // a value of BPTT_ISA that names nothing this machine can run
};

Choice choose() {
  const Isa* widest = &kIsas[0];
  for (const Isa& isa : kIsas) {
    if (isa.supported()) widest = &isa;
  }
  const char* wanted = std::getenv("BPTT_ISA");
  if (!wanted || !*wanted) return {widest, Rule::widest, {}};
  for (const Isa& isa : kIsas) {
    if (isa.name == wanted && isa.supported()) return {&isa, Rule::environment, {}};
  }
  return {widest, Rule::widest, wanted};
}

const Choice& initial() {
  static const Choice choice = choose();
  return choice;
}

std::string quoted_available() {
  std::string names;
  for (const Isa& isa : kIsas) {
    if (isa.supported()) names += (names.empty() ? "'" : ", '") + std::string(isa.name) + "'";
  }
  return names;
}

std::atomic<const Isa*> chosen{nullptr};

const Isa& current() {
  const Isa* isa = chosen.load(std::memory_order_acquire);
  return isa ? *isa : *initial().isa;
}

}  // namespace

template <>
const Kernels<float>& kernels<float>() {
  return *current().float32;
}
template <>
const Kernels<double>& kernels<double>() {
  return *current().float64;
}

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const Isa& isa : kIsas) {
    if (isa.supported()) names.emplace_back(isa.name);
  }
  return names;
}

std::string isa() { return std::string(current().name); }

std::string isa_rule() {
  if (chosen.load()) return "set by use_isa";
  const Choice& first = initial();
  if (first.rule == Rule::environment) return "set by BPTT_ISA";
  if (!first.ignored.empty()) {
    return "the widest this CPU and operating system support (BPTT_ISA='" + first.ignored +
           "' is not one of them and was ignored)";
  }
  return "the widest this CPU and operating system support";
}

std::string isa_complaint() {
  const std::string& ignored = initial().ignored;
  if (ignored.empty()) return {};
  return "BPTT_ISA must be an instruction set that this machine runs (" + quoted_available() + "); got '" + ignored +
         "', which bptt ignores. Fix: set another name, or unset BPTT_ISA.";
}

void use_isa(std::string_view name) {
  for (const Isa& isa : kIsas) {
    if (isa.supported() && isa.name == name) {
      chosen.store(&isa, std::memory_order_release);
      return;
    }
  }
  throw std::invalid_argument("name: expected an instruction set that this machine runs (" + quoted_available() +
                              "), got '" + std::string(name) + "'");
}

}  // namespace bptt

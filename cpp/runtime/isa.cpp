#include "runtime/isa.hpp"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#include "kernels/reduced/table.hpp"

#if defined(__x86_64__)
#include "runtime/cpu_features.hpp"
#endif

namespace bptt {

#define BPTT_DECLARE(name)                      \
  namespace name {                              \
  extern const Kernels<float> kernels_float32;  \
  extern const Kernels<double> kernels_float64; \
  extern const ReducedKernels kernels_bfloat16; \
  extern const ReducedKernels kernels_int8;     \
  }
BPTT_DECLARE(generic)
#if defined(BPTT_BUILD_AVX2)
BPTT_DECLARE(avx2)
namespace avx2 {
extern const ReducedKernels kernels_int8_dot;
}
#endif
#if defined(BPTT_BUILD_AVX512)
BPTT_DECLARE(avx512)
namespace avx512_bf16 {
extern const ReducedKernels kernels_bfloat16;
}
namespace avx512_vnni {
extern const ReducedKernels kernels_int8_dot;
}
#endif
#undef BPTT_DECLARE

namespace {

// Products of reduced precision by an instruction of their own.
struct Instruction {
  std::string_view name;
  bool (*supported)();
  const ReducedKernels* kernels;
};

// The products of one precision.
struct Products {
  const ReducedKernels* emulated;
  const Instruction* instruction;  // or null
};

struct Isa {
  std::string_view name;
  bool (*supported)();
  const Kernels<float>* float32;
  const Kernels<double>* float64;
  Products bfloat16;
  Products int8;

  const Products& products(Precision precision) const { return precision == Precision::int8 ? int8 : bfloat16; }
};

#if defined(BPTT_BUILD_AVX2)
const Instruction kMaddubs = {"vpmaddubsw", [] { return true; }, &avx2::kernels_int8_dot};
#endif
#if defined(BPTT_BUILD_AVX512)
const Instruction kDpbf16 = {"vdpbf16ps", [] { return cpu_supports(CpuFeature::avx512bf16); },
                             &avx512_bf16::kernels_bfloat16};
const Instruction kDpbusd = {"vpdpbusd", [] { return cpu_supports(CpuFeature::avx512vnni); },
                             &avx512_vnni::kernels_int8_dot};
#endif

const Isa kIsas[] = {
    {"generic",
     [] { return true; },
     &generic::kernels_float32,
     &generic::kernels_float64,
     {&generic::kernels_bfloat16, nullptr},
     {&generic::kernels_int8, nullptr}},
#if defined(BPTT_BUILD_AVX2)
    {"avx2",
     [] { return cpu_supports(CpuFeature::avx2, CpuFeature::fma); },
     &avx2::kernels_float32,
     &avx2::kernels_float64,
     {&avx2::kernels_bfloat16, nullptr},
     {&avx2::kernels_int8, &kMaddubs}},
#endif
#if defined(BPTT_BUILD_AVX512)
    {"avx512",
     [] {
       return cpu_supports(CpuFeature::avx512f, CpuFeature::avx512dq, CpuFeature::avx512bw, CpuFeature::avx512vl,
                           CpuFeature::fma);
     },
     &avx512::kernels_float32,
     &avx512::kernels_float64,
     {&avx512::kernels_bfloat16, &kDpbf16},
     {&avx512::kernels_int8, &kDpbusd}},
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
std::atomic<bool> emulates{false};

const Isa& current() {
  const Isa* isa = chosen.load(std::memory_order_acquire);
  return isa ? *isa : *initial().isa;
}

// The instruction that is in use, or null.
const Instruction* instruction(const Isa& isa, Precision precision) {
  const Instruction* own = precision == Precision::highest ? nullptr : isa.products(precision).instruction;
  return own && !emulates.load(std::memory_order_relaxed) && own->supported() ? own : nullptr;
}

// The table of float32 with products of reduced precision.
Kernels<float> with_products(const Kernels<float>& base, const ReducedKernels& reduced) {
  Kernels<float> k = base;
  k.packed_size = reduced.packed_size;
  k.pack = reduced.pack;
  k.product = reduced.product;
  k.transposed_product = reduced.transposed_product;
  k.transposed_scratch = reduced.transposed_scratch;
  k.small_steps = reduced.small_steps;
  k.reduced = &reduced;
  return k;
}

// Both tables of every instruction set in one precision: emulated, and by its instruction.
struct ReducedTables {
  explicit ReducedTables(Precision precision) {
    for (std::size_t i = 0; i < std::size(kIsas); ++i) {
      const Products& products = kIsas[i].products(precision);
      by_isa[i][0] = with_products(*kIsas[i].float32, *products.emulated);
      if (products.instruction) by_isa[i][1] = with_products(*kIsas[i].float32, *products.instruction->kernels);
    }
  }
  Kernels<float> by_isa[std::size(kIsas)][2];
};

}  // namespace

template <>
const Kernels<float>& kernels<float>(Precision precision) {
  const Isa& isa = current();
  if (precision == Precision::highest) return *isa.float32;
  static const ReducedTables tables[] = {ReducedTables(Precision::bfloat16), ReducedTables(Precision::int8)};
  return tables[precision == Precision::int8 ? 1 : 0].by_isa[&isa - kIsas][instruction(isa, precision) ? 1 : 0];
}
template <>
const Kernels<double>& kernels<double>(Precision precision) {
  if (precision != Precision::highest) throw std::invalid_argument("precision: float64 has the highest alone");
  return *current().float64;
}

std::string instruction_of(Precision precision) {
  const Instruction* own = instruction(current(), precision);
  return own ? std::string(own->name) : "emulated";
}

void emulate_reduced_precision(bool emulate) { emulates.store(emulate); }

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

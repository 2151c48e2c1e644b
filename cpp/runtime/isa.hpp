// Which instruction sets this build has, which this machine can run, and which is in use.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels/table.hpp"

namespace bptt {

template <class T>
const Kernels<T>& kernels();  // of the instruction set in use
template <class T>
const Kernels<T>& kernels(Precision precision);  // float64 has the highest precision alone

// The instruction that multiplies operands of this precision with the instruction set in use, or "emulated".
std::string instruction_of(Precision precision);
// Whether products of reduced precision are emulated on CPUs that have instructions for them, too: for tests.
void emulate_reduced_precision(bool emulate);

std::vector<std::string> available_isas();  // narrowest first
std::string isa();
std::string isa_rule();               // why it is in use, in words
std::string isa_complaint();          // what is wrong with BPTT_ISA; empty if nothing
void use_isa(std::string_view name);  // throws std::invalid_argument listing the names that would do

}  // namespace bptt

// Which instruction sets this build has, which this machine can run, and which is in use.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels/table.hpp"

namespace bptt {

template <class T>
const Kernels<T>& kernels();  // of the instruction set in use

std::vector<std::string> available_isas();  // narrowest first
std::string isa();
std::string isa_rule();               // why it is in use, in words
std::string isa_complaint();          // what is wrong with BPTT_ISA; empty if nothing
void use_isa(std::string_view name);  // throws std::invalid_argument listing the names that would do

}  // namespace bptt

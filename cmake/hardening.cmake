# Flags that make memory errors harder to exploit, for GCC and Clang on Linux. A distribution's own flags of the same
# kind come first in CXXFLAGS, and these replace them. tests/test_release.py reads the built module.
option(BPTT_HARDEN "Build with _FORTIFY_SOURCE, the stack protector, full RELRO and a stack that is not executable" ON)

if(NOT BPTT_HARDEN OR NOT CMAKE_SYSTEM_NAME STREQUAL "Linux" OR NOT CMAKE_CXX_COMPILER_ID MATCHES "^(GNU|Clang)$")
  return()
endif()
add_link_options(-Wl,-z,relro,-z,now -Wl,-z,noexecstack)
add_compile_options(-fstack-protector-strong)
# Sanitizers replace the functions that _FORTIFY_SOURCE checks, and it warns where nothing is optimized.
if(NOT BPTT_SANITIZE)
  set(level 3)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 12)
    set(level 2)
  endif()
  add_compile_options("$<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=${level}>")
endif()
include(CheckCXXCompilerFlag)
check_cxx_compiler_flag(-fstack-clash-protection BPTT_HAS_STACK_CLASH_PROTECTION)
if(BPTT_HAS_STACK_CLASH_PROTECTION)
  add_compile_options(-fstack-clash-protection)
  set(BPTT_KERNEL_HARDENING -fno-stack-clash-protection)
endif()
# Kernels are the code whose speed counts. Their callers have checked every size, and their frames hold only registers.
list(APPEND BPTT_KERNEL_HARDENING -fno-stack-protector)

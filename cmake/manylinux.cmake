# A module that runs on Linux systems older than the one it is built on: glibc 2.28 and the libstdc++ of GCC 8, which is
# what manylinux_2_28 means. The container of manylinux_2_28 needs none of this, as its libraries are that old.
# `python -m release.check_wheel` shows whether a symbol is too new.
#
# The linker takes a function from the first library that has it. These two stand for libm and libpthread while the module
# is linked. They have all functions of these libraries that the module calls, in their first version, and no code. They
# are not installed: programs load the glibc of their system.
option(BPTT_MANYLINUX "Build with g++-11 for glibc 2.28 and GCC 8, though the libraries here are newer" OFF)
if(NOT BPTT_MANYLINUX)
  return()
endif()

set(oldest_aarch64 GLIBC_2.17)
set(oldest_x86_64 GLIBC_2.2.5)
if(NOT DEFINED oldest_${CMAKE_SYSTEM_PROCESSOR})
  message(FATAL_ERROR "BPTT_MANYLINUX must be off on ${CMAKE_SYSTEM_PROCESSOR}. Build in a container of manylinux_2_28.")
endif()

function(add_old_library name file)
  set(source ${CMAKE_CURRENT_BINARY_DIR}/old_libraries/${name}.cpp)
  set(versions ${CMAKE_CURRENT_BINARY_DIR}/old_libraries/${name}.map)
  list(JOIN ARGN "; " symbols)
  file(WRITE ${versions} "${oldest_${CMAKE_SYSTEM_PROCESSOR}} { global: ${symbols}; local: *; };\n")
  file(WRITE ${source} "")
  foreach(symbol IN LISTS ARGN)
    file(APPEND ${source} "asm(\".globl ${symbol}; .type ${symbol}, %function; ${symbol}: .long 0\");\n")
  endforeach()
  add_library(${name} SHARED ${source})
  target_link_options(${name} PRIVATE -nodefaultlibs -Wl,--version-script=${versions} -Wl,-soname=${file})
  set_target_properties(${name} PROPERTIES NO_SONAME ON)
  target_link_libraries(bptt_core PUBLIC ${name})
endfunction()

add_old_library(bptt_old_libm libm.so.6 exp expf hypot log pow tanh tanhf)
add_old_library(bptt_old_libpthread libpthread.so.0 pthread_once pthread_sigmask)
target_sources(bptt_core PRIVATE cpp/manylinux/libstdcxx.cpp)
set(CMAKE_BUILD_WITH_INSTALL_RPATH ON) # no path to the old libraries

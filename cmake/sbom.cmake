# The parts of the bill of materials that depend on the build: sbom.json.in puts them after pybind11.
set(BPTT_LINKED_PARTS "")
set(BPTT_LINKED_REFERENCES "")
if(BPTT_STATIC_LIBSTDCXX)
  foreach(part libstdc++ libgcc)
    string(APPEND BPTT_LINKED_REFERENCES ", \"${part}\"")
    string(APPEND BPTT_LINKED_PARTS ",
    {
      \"type\": \"library\",
      \"bom-ref\": \"${part}\",
      \"name\": \"${part}\",
      \"version\": \"${CMAKE_CXX_COMPILER_VERSION}\",
      \"description\": \"Linked into bptt/_core\",
      \"licenses\": [{ \"expression\": \"GPL-3.0-or-later WITH GCC-exception-3.1\" }]
    }")
  endforeach()
endif()

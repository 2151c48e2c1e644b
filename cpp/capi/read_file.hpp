// A whole file in memory.
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#if defined(_WIN32)
#include <filesystem>
#endif

#include "capi/failure.hpp"

namespace bptt::capi {

inline constexpr std::int64_t kLargestFile = std::int64_t{1} << 32;

#if defined(_WIN32)
// Functions of narrow names would read them in the code page of the system, and `long` has 32 bits.
inline std::FILE* open_to_read(const char* path) {
  return _wfopen(std::filesystem::path(reinterpret_cast<const char8_t*>(path)).c_str(), L"rb");
}
inline std::int64_t position(std::FILE* file) { return _ftelli64(file); }
#else
inline std::FILE* open_to_read(const char* path) { return std::fopen(path, "rb"); }
inline std::int64_t position(std::FILE* file) { return std::ftell(file); }
#endif

inline std::string read_file(const char* path) {
  const auto cannot = [&](const std::string& what) { throw Failure(BPTT_CANNOT_READ, path + (": " + what)); };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(open_to_read(path), std::fclose);
  if (!file) cannot(std::strerror(errno));
  const bool sought = std::fseek(file.get(), 0, SEEK_END) == 0;
  const std::int64_t size = sought ? position(file.get()) : -1;
  if (size < 0 || size > kLargestFile) cannot("it is a folder or a pipe, or has more than 4 GiB");
  std::rewind(file.get());
  std::string content(static_cast<std::size_t>(size), '\0');
  if (std::fread(content.data(), 1, content.size(), file.get()) != content.size()) cannot("it cannot be read");
  return content;
}

}  // namespace bptt::capi

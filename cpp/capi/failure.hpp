// What the functions of the C API report: a status and its reason.
#pragma once

#include <stdexcept>
#include <string>

#include "capi/bptt.h"

namespace bptt::capi {

class Failure : public std::runtime_error {
 public:
  Failure(bptt_status status, const std::string& reason) : std::runtime_error(reason), status_(status) {}
  bptt_status status() const { return status_; }

 private:
  bptt_status status_;
};

[[noreturn]] inline void damaged(const std::string& reason) { throw Failure(BPTT_BAD_FILE, reason); }
[[noreturn]] inline void unsupported(const std::string& reason) { throw Failure(BPTT_UNSUPPORTED, reason); }

}  // namespace bptt::capi

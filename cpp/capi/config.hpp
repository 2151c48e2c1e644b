// The configuration of one layer in a model file: values by name, with checks. Unknown names are errors, because an
// option that this version does not know may change the results.
#pragma once

#include <limits>
#include <set>
#include <string>

#include "capi/failure.hpp"
#include "capi/json.hpp"
#include "kernels/table.hpp"

namespace bptt::capi {

class Config {
 public:
  Config(std::string kind, const Json& values) : kind_(std::move(kind)), values_(values) {
    if (values.kind != Json::Kind::object) damaged("has a " + kind_ + " without a configuration");
  }

  const std::string& kind() const { return kind_; }

  // The value; null if it is missing or null.
  const Json* find(const std::string& name) {
    read_.insert(name);
    const Json* value = values_.find(name);
    return value && value->kind != Json::Kind::null ? value : nullptr;
  }
  Index size(const std::string& name, Index fewest, Index most) {
    const Json* value = find(name);
    if (!value || !value->whole || value->number < static_cast<double>(fewest) ||
        value->number > static_cast<double>(most)) {
      wrong(name, "a size that fits the tensors of the file");
    }
    return static_cast<Index>(value->number);
  }
  bool flag(const std::string& name, bool missing) {
    const Json* value = find(name);
    if (!value) return missing;
    if (value->kind != Json::Kind::boolean) wrong(name, "true or false");
    return value->boolean;
  }
  // A number above 0; `missing` if there is none.
  double positive(const std::string& name, double missing = std::numeric_limits<double>::infinity()) {
    const Json* value = find(name);
    if (!value) return missing;
    if (value->kind != Json::Kind::number || !(value->number > 0)) wrong(name, "a number above 0");
    return value->number;
  }
  std::string text(const std::string& name, const std::string& missing) {
    const Json* value = find(name);
    if (!value) return missing;
    if (value->kind != Json::Kind::text) wrong(name, "a text");
    return value->text;
  }
  // These values change nothing at inference.
  template <class... Names>
  void ignore(Names... names) {
    (read_.insert(names), ...);
  }
  void finish() const {
    for (const std::string& name : values_.names) {
      if (read_.count(name) == 0) {
        unsupported("has a " + kind_ + " with an unknown option, '" + name + "'; install a newer version");
      }
    }
  }
  [[noreturn]] void wrong(const std::string& name, const std::string& expected) const {
    damaged("has a " + kind_ + " whose " + name + " is not " + expected);
  }

 private:
  std::string kind_;
  const Json& values_;
  std::set<std::string> read_;
};

}  // namespace bptt::capi

// JSON of RFC 8259, strictly: no comments, no trailing commas, no NaN, and no name twice. Limits on depth and number of
// values keep the memory small, whatever the text is.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace bptt::capi {

class Json {
 public:
  enum class Kind { null, boolean, number, text, list, object };

  // Throws Failure (BPTT_BAD_FILE).
  static Json parse(std::string_view text);

  Kind kind = Kind::null;
  bool boolean = false;
  bool whole = false;  // a number without fraction and exponent
  double number = 0;
  std::string text;
  std::vector<Json> list;  // or the values of an object
  std::vector<std::string> names;  // of an object

  // The value of a name; null if the object has no such name, or this is no object.
  const Json* find(std::string_view name) const;
};

}  // namespace bptt::capi

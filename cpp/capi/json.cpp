#include "capi/json.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <unordered_set>

#if !defined(__cpp_lib_to_chars)
#include <locale>
#include <sstream>
#endif

#include "capi/failure.hpp"

namespace bptt::capi {
namespace {

constexpr int kDeepest = 100;
constexpr std::size_t kMostValues = 500000;

// False if the number is out of range. The program's locale plays no part.
bool read_number(const std::string& text, double& number) {
#if defined(__cpp_lib_to_chars)
  return std::from_chars(text.data(), text.data() + text.size(), number).ec == std::errc{};
#else  // the <charconv> of libc++ reads no floating-point numbers before version 20, which Xcode 16 does not have
  std::istringstream stream(text);
  stream.imbue(std::locale::classic());
  stream >> number;
  return !stream.fail() || number != 0;  // a subnormal number sets the bit, too; infinite numbers are checked later
#endif
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Json whole() {
    Json value = any(0);
    space();
    if (at_ != text_.size()) fail("text after its end");
    return value;
  }

 private:
  [[noreturn]] void fail(const char* problem) const {
    damaged(std::string("is not valid JSON: ") + problem + " at byte " + std::to_string(at_));
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool take(char expected) {
    if (at_ >= text_.size() || text_[at_] != expected) return false;
    ++at_;
    return true;
  }
  void word(std::string_view expected) {
    if (text_.substr(at_, expected.size()) != expected) fail("an unknown word");
    at_ += expected.size();
  }
  void space() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) ++at_;
  }

  Json any(int depth) {
    if (depth > kDeepest) fail("too many levels");
    if (++values_ > kMostValues) fail("too many values");
    space();
    Json value;
    switch (peek()) {
      case '{':
        object(value, depth);
        break;
      case '[':
        list(value, depth);
        break;
      case '"':
        value.kind = Json::Kind::text;
        value.text = string();
        break;
      case 't':
      case 'f':
        value.kind = Json::Kind::boolean;
        value.boolean = peek() == 't';
        word(value.boolean ? "true" : "false");
        break;
      case 'n':
        word("null");
        break;
      default:
        number(value);
    }
    return value;
  }

  void object(Json& value, int depth) {
    value.kind = Json::Kind::object;
    ++at_;
    space();
    if (take('}')) return;
    std::unordered_set<std::string> names;
    do {
      space();
      if (peek() != '"') fail("no name");
      value.names.push_back(string());
      if (!names.insert(value.names.back()).second) fail("a name that occurs twice");
      space();
      if (!take(':')) fail("no colon");
      value.list.push_back(any(depth + 1));
      space();
    } while (take(','));
    if (!take('}')) fail("an open object");
  }

  void list(Json& value, int depth) {
    value.kind = Json::Kind::list;
    ++at_;
    space();
    if (take(']')) return;
    do {
      value.list.push_back(any(depth + 1));
      space();
    } while (take(','));
    if (!take(']')) fail("an open list");
  }

  std::size_t digits() {
    const std::size_t first = at_;
    while (peek() >= '0' && peek() <= '9') ++at_;
    if (at_ == first) fail("no digit");
    return at_ - first;
  }

  void number(Json& value) {
    const std::size_t first = at_;
    take('-');
    const bool zero = peek() == '0';
    if (digits() > 1 && zero) fail("a number that begins with 0");
    value.kind = Json::Kind::number;
    value.whole = true;
    if (take('.')) {
      value.whole = false;
      digits();
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      value.whole = false;
      if (!take('+')) take('-');
      digits();
    }
    const std::string copy(text_.substr(first, at_ - first));
    if (!read_number(copy, value.number) || !std::isfinite(value.number)) fail("a number out of range");
  }

  std::string string() {
    ++at_;
    std::string found;
    while (true) {
      if (at_ >= text_.size()) fail("an open string");
      const char c = text_[at_++];
      if (c == '"') return found;
      if (static_cast<unsigned char>(c) < 0x20) fail("a control character");
      if (c == '\\') {
        escape(found);
      } else {
        found += c;
      }
    }
  }

  void escape(std::string& found) {
    constexpr std::string_view kNames = "\"\\/bfnrt", kCharacters = "\"\\/\b\f\n\r\t";
    if (take('u')) {
      append(found, code_point());
      return;
    }
    const std::size_t place = at_ < text_.size() ? kNames.find(text_[at_]) : std::string_view::npos;
    if (place == std::string_view::npos) fail("an unknown escape");
    ++at_;
    found += kCharacters[place];
  }

  std::uint32_t four_digits() {
    std::uint32_t value = 0;
    if (at_ + 4 > text_.size()) fail("an open escape");
    const auto read = std::from_chars(text_.data() + at_, text_.data() + at_ + 4, value, 16);
    if (read.ptr != text_.data() + at_ + 4) fail("an unknown escape");
    at_ += 4;
    return value;
  }

  // Half of a pair that has no other half is kept, as Python does.
  std::uint32_t code_point() {
    const std::uint32_t high = four_digits();
    if (high < 0xD800 || high > 0xDBFF || text_.substr(at_, 2) != "\\u") return high;
    const std::size_t back = at_;
    at_ += 2;
    const std::uint32_t low = four_digits();
    if (low >= 0xDC00 && low <= 0xDFFF) return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
    at_ = back;
    return high;
  }

  static void append(std::string& found, std::uint32_t code) {
    const auto byte = [&](std::uint32_t bits) { found += static_cast<char>(static_cast<unsigned char>(bits)); };
    const auto rest = [&](int shift) { byte(0x80 | ((code >> shift) & 0x3F)); };
    if (code < 0x80) {
      byte(code);
    } else if (code < 0x800) {
      byte(0xC0 | (code >> 6));
      rest(0);
    } else if (code < 0x10000) {
      byte(0xE0 | (code >> 12));
      rest(6);
      rest(0);
    } else {
      byte(0xF0 | (code >> 18));
      rest(12);
      rest(6);
      rest(0);
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t values_ = 0;
};

}  // namespace

Json Json::parse(std::string_view text) { return Parser(text).whole(); }

const Json* Json::find(std::string_view name) const {
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) return &list[i];
  }
  return nullptr;
}

}  // namespace bptt::capi

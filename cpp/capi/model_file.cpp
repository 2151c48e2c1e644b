#include "capi/model_file.hpp"

#include <algorithm>
#include <limits>

#include "capi/failure.hpp"
#include "capi/sha256.hpp"

namespace bptt::capi {
namespace {

constexpr std::size_t kLongestHeader = std::size_t{16} << 20;
constexpr std::size_t kMostAxes = 8;
constexpr double kLargest = 9007199254740992.0;  // 2^53: every whole number up to here is exact

std::string_view header_of(std::string_view content) {
  if (content.size() < 8) damaged("is not a safetensors file, because it has fewer than 8 bytes");
  std::uint64_t length = 0;
  for (std::size_t i = 8; i-- > 0;) length = length << 8 | static_cast<unsigned char>(content[i]);
  if (length < 2 || length > kLongestHeader) damaged("is not a safetensors file that bptt.save wrote");
  if (length > content.size() - 8) damaged("is cut short inside its header");
  return content.substr(8, static_cast<std::size_t>(length));
}

Index count_of(const Json& value) {
  if (value.kind != Json::Kind::number || !value.whole || value.number < 0 || value.number > kLargest) {
    damaged("has a tensor whose shape or place is not a whole number");
  }
  return static_cast<Index>(value.number);
}

Tensor tensor_of(const Json& entry, std::string_view data) {
  const Json* type = entry.find("dtype");
  const Json* shape = entry.find("shape");
  const Json* place = entry.find("data_offsets");
  if (!type || !shape || !place || shape->kind != Json::Kind::list || place->kind != Json::Kind::list ||
      place->list.size() != 2 || shape->list.size() > kMostAxes || entry.names.size() != 3) {
    damaged("has a tensor without type, shape or place");
  }
  Tensor tensor;
  if (type->text == "I8") {
    tensor.item = 1;
  } else if (type->text == "F32" || type->text == "F64") {
    tensor.item = type->text == "F64" ? 8 : 4;
  } else {
    damaged("has a tensor that is neither int8 nor float32 nor float64");
  }
  tensor.size = 1;
  for (const Json& axis : shape->list) {
    const Index length = count_of(axis);
    if (length > 0 && tensor.size > static_cast<Index>(data.size()) / length) damaged("has a tensor that is too large");
    tensor.size *= length;
    tensor.shape.push_back(length);
  }
  const Index begin = count_of(place->list[0]), end = count_of(place->list[1]);
  if (begin > end || end > static_cast<Index>(data.size()) || end - begin != tensor.size * tensor.item) {
    damaged("is cut short, or has a tensor whose place does not fit its shape");
  }
  tensor.bytes = data.substr(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
  return tensor;
}

void check_places(const std::map<std::string, Tensor>& tensors, std::string_view data) {
  std::vector<std::string_view> places;
  for (const auto& [name, tensor] : tensors) places.push_back(tensor.bytes);
  std::sort(places.begin(), places.end(),
            [](auto a, auto b) { return a.data() != b.data() ? a.data() < b.data() : a.size() < b.size(); });
  const char* at = data.data();
  for (const std::string_view place : places) {
    if (!place.empty() && place.data() != at) damaged("has tensors that overlap or leave gaps");
    at += place.size();
  }
  if (at != data.data() + data.size()) damaged("has bytes that belong to no tensor");
}

// As Python prints a shape.
std::string shape_text(const std::vector<Index>& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

void check_sum(const Json& metadata, const std::string& about, const std::map<std::string, Tensor>& tensors) {
  Sha256 sum;
  sum.update(about);
  for (const auto& [name, tensor] : tensors) {
    const char* type = tensor.item == 1 ? " int8 " : tensor.item == 4 ? " float32 " : " float64 ";
    sum.update("\n" + name + type + shape_text(tensor.shape) + "\n");
    sum.update(tensor.bytes);
  }
  const Json* expected = metadata.find("sha256");
  if (!expected || expected->text != sum.digest()) {
    damaged("has changed since it was written, because its checksum is wrong");
  }
}

}  // namespace

ModelFile parse_model_file(std::string_view content) {
  const std::string_view header_text = header_of(content);
  const std::string_view data = content.substr(8 + header_text.size());
  const Json header = Json::parse(header_text);
  const Json* metadata = header.find("__metadata__");
  const Json* text = metadata ? metadata->find("bptt") : nullptr;
  if (!text || text->kind != Json::Kind::text) {
    damaged("is not a model of bptt, because its metadata do not describe a model");
  }
  ModelFile file;
  for (std::size_t i = 0; i < header.names.size(); ++i) {
    if (header.names[i] != "__metadata__") file.tensors.emplace(header.names[i], tensor_of(header.list[i], data));
  }
  check_places(file.tensors, data);
  check_sum(*metadata, text->text, file.tensors);
  const Json about = Json::parse(text->text);
  const Json* format = about.find("format");
  if (!format || !format->whole || format->number != 1) {
    unsupported("has a format that this version does not know; install a newer version");
  }
  const Json* model = about.find("model");
  if (!model) damaged("does not describe a model");
  file.model = *model;
  if (const Json* precision = about.find("precision")) file.precision = precision->text;
  std::erase_if(file.tensors, [](const auto& entry) {
    return entry.first.starts_with("optimizer.") || entry.first.starts_with("training.");
  });
  for (const auto& [name, tensor] : file.tensors) file.elements += tensor.size;
  return file;
}

}  // namespace bptt::capi

#include "capi/model.hpp"

#include <cmath>
#include <cstring>

#include "capi/model_file.hpp"
#include "capi/recurrent_config.hpp"

namespace bptt::capi {
namespace {

constexpr int kDeepest = 32;
constexpr std::size_t kMostLayers = 1000;

struct Entry {
  const Json* description;
  std::string prefix;  // of its parameters
};

class Builder {
 public:
  explicit Builder(ModelFile& file) : file_(file) {}

  std::shared_ptr<const Model> build() {
    std::vector<Entry> entries;
    flatten({&file_.model, ""}, 0, entries);
    for (const Entry& entry : entries) add(entry);
    if (model_->inputs == 0) unsupported("has no layer with a number of inputs");
    if (!file_.tensors.empty()) damaged("has a parameter that no layer has, '" + file_.tensors.begin()->first + "'");
    model_->outputs = width_;
    return model_;
  }

 private:
  static const Json& part(const Json& description, const char* name, Json::Kind kind) {
    const Json* value = description.find(name);
    if (!value || value->kind != kind) damaged("does not describe a model");
    return *value;
  }

  void flatten(const Entry& entry, int depth, std::vector<Entry>& entries) {
    const std::string& kind = part(*entry.description, "kind", Json::Kind::text).text;
    if (kind != "Sequential") {
      entries.push_back(entry);
      if (entries.size() > kMostLayers) damaged("has more than 1000 layers");
      return;
    }
    if (depth > kDeepest) damaged("has too many models inside models");
    const Json& config = part(*entry.description, "config", Json::Kind::object);
    const Json& layers = part(config, "layers", Json::Kind::list);
    for (std::size_t i = 0; i < layers.list.size(); ++i) {
      flatten({&layers.list[i], entry.prefix + std::to_string(i) + "."}, depth + 1, entries);
    }
  }

  // The parameter with this shape, as float32. Each is taken once.
  Floats take(const std::string& name, const std::vector<Index>& shape) {
    const auto found = file_.tensors.find(name);
    if (found == file_.tensors.end() || found->second.shape != shape) {
      damaged("has no parameter '" + name + "' of the right shape");
    }
    const Tensor& tensor = found->second;
    Floats values(static_cast<std::size_t>(tensor.size));
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = number_of(tensor, i);
      if (!std::isfinite(values[i])) damaged("has a number in '" + name + "' that is not finite in float32");
    }
    const bool scaled = tensor.item == 1;
    file_.tensors.erase(found);
    if (scaled) scale(values, shape, take("int8_scales." + name, {shape.front()}));
    return values;
  }

  static float number_of(const Tensor& tensor, std::size_t i) {
    const char* const at = tensor.bytes.data() + static_cast<std::size_t>(tensor.item) * i;
    if (tensor.item == 1) return static_cast<signed char>(*at);
    if (tensor.item == 4) return load<float>(at);
    return static_cast<float>(load<double>(at));
  }

  template <class T>
  static T load(const char* at) {
    T value;
    std::memcpy(&value, at, sizeof(T));
    return value;
  }

  // Rows of int8 numbers become multiples of their scales.
  static void scale(Floats& values, const std::vector<Index>& shape, const Floats& scales) {
    if (shape.size() != 2) damaged("has int8 numbers that are not a matrix");
    const auto width = static_cast<std::size_t>(shape[1]);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] *= scales[i / width];
  }

  // Notes that the next layer reads this many numbers.
  void reads(Index inputs) {
    if (width_ != 0 && width_ != inputs) damaged("has layers whose sizes do not fit");
    if (model_->inputs == 0) model_->inputs = inputs;
    width_ = inputs;
    for (const Elementwise kind : waiting_) model_->layers.push_back(activation_layer(inputs, kind));
    waiting_.clear();
  }

  void push(std::unique_ptr<Layer> layer) {
    width_ = layer->outputs;
    model_->layers.push_back(std::move(layer));
  }

  void add(const Entry& entry) {
    Config config(part(*entry.description, "kind", Json::Kind::text).text,
                  part(*entry.description, "config", Json::Kind::object));
    config.ignore("dtype");
    const std::string& kind = config.kind();
    if (is_recurrent(kind)) {
      add_recurrent(config, entry.prefix);
    } else if (kind == "Linear") {
      add_linear(config, entry.prefix);
    } else if (kind == "Embedding") {
      add_embedding(config, entry.prefix);
    } else if (kind == "TiedLinear") {
      add_tied(config, entry.prefix);
    } else if (kind == "LayerNorm") {
      add_layer_norm(config, entry.prefix);
    } else if (kind == "Dropout" || kind == "Last") {
      config.ignore("p", "batch_first");
    } else {
      add_function(kind);
    }
    config.finish();
  }

  // The precision of a frozen model holds for all layers.
  Precision precision_in(Config& config) const {
    const std::string own = config.text("precision", "highest");
    return precision_named(file_.precision.empty() ? own : file_.precision);
  }

  void add_recurrent(Config& config, const std::string& prefix) {
    Recurrent net = recurrent_of(config, file_.elements, precision_in(config));
    if (net.parameter_count > file_.elements) damaged("has a layer that is larger than the file");
    Floats parameters(static_cast<std::size_t>(net.parameter_count));
    for (const Parameter& parameter : net.parameters) {
      const Floats values = take(prefix + parameter.name, parameter.shape);
      std::copy(values.begin(), values.end(), parameters.begin() + parameter.offset);
    }
    reads(net.input);
    push(recurrent_layer(std::move(net), std::move(parameters)));
  }

  void add_linear(Config& config, const std::string& prefix) {
    const Index inputs = config.size("in_features", 1, file_.elements);
    const Index outputs = config.size("out_features", 1, file_.elements);
    const bool bias = config.flag("bias", true);
    Floats weight = take(prefix + "weight", {outputs, inputs});
    reads(inputs);
    Floats offset = bias ? take(prefix + "bias", {outputs}) : Floats();
    push(linear_layer(inputs, outputs, std::move(weight), std::move(offset), precision_in(config)));
  }

  void add_embedding(Config& config, const std::string& prefix) {
    if (model_->inputs != 0 || !waiting_.empty()) damaged("has an Embedding that is not the first layer");
    model_->rows = config.size("num_embeddings", 1, file_.elements);
    model_->width = width_ = config.size("embedding_dim", 1, file_.elements);
    model_->inputs = 1;
    model_->table = take(prefix + "weight", {model_->rows, width_});
    config.ignore("padding_idx", "sparse");
  }

  void add_tied(Config& config, const std::string& prefix) {
    const Index outputs = config.size("num_embeddings", 1, file_.elements);
    const Index inputs = config.size("embedding_dim", 1, file_.elements);
    if (outputs != model_->rows || inputs != model_->width) damaged("has a TiedLinear without its Embedding");
    const bool bias = config.flag("bias", true);
    config.ignore("embedding");
    reads(inputs);
    Floats offset = bias ? take(prefix + "bias", {outputs}) : Floats();
    push(linear_layer(inputs, outputs, model_->table, std::move(offset), precision_in(config)));
  }

  void add_layer_norm(Config& config, const std::string& prefix) {
    const Index width = config.size("normalized_shape", 1, Index{1} << 31);
    const double epsilon = config.positive("eps", 1e-5);
    const bool affine = config.flag("elementwise_affine", true), bias = config.flag("bias", true) && affine;
    if (!affine && width_ == 0) unsupported("begins with a LayerNorm without weights");
    reads(width);
    Floats gain = affine ? take(prefix + "weight", {width}) : Floats(static_cast<std::size_t>(width), 1.0f);
    Floats offset = bias ? take(prefix + "bias", {width}) : Floats();
    push(layer_norm_layer(width, epsilon, std::move(gain), std::move(offset)));
  }

  // A function of the numbers, of which there may be any number.
  void add_function(const std::string& kind) {
    constexpr std::pair<const char*, Elementwise> kKinds[] = {{"Tanh", Elementwise::tanh},
                                                              {"ReLU", Elementwise::relu},
                                                              {"Sigmoid", Elementwise::sigmoid},
                                                              {"GELU", Elementwise::gelu},
                                                              {"SiLU", Elementwise::silu}};
    for (const auto& [name, function] : kKinds) {
      if (kind != name) continue;
      if (width_ == 0) {
        waiting_.push_back(function);
      } else {
        push(activation_layer(width_, function));
      }
      return;
    }
    if (kind == "Softmax" && width_ != 0) {
      push(softmax_layer(width_));
      return;
    }
    unsupported("has a layer that cannot run one step at a time, or that this version does not know: '" + kind + "'");
  }

  ModelFile& file_;
  std::shared_ptr<Model> model_ = std::make_shared<Model>();
  Index width_ = 0;                   // of the numbers that the next layer reads; 0: not known yet
  std::vector<Elementwise> waiting_;  // functions in front of the first layer with a size
};

}  // namespace

std::shared_ptr<const Model> model_of(std::string_view content) {
  ModelFile file = parse_model_file(content);
  return Builder(file).build();
}

}  // namespace bptt::capi

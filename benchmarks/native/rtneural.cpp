// RTNeural's layers of sizes known when compiling, with one input, for benchmarks/small_models.py. Compiled with
// -DRTNEURAL_USE_EIGEN=1 or -DRTNEURAL_USE_XSIMD=1.
#include <RTNeural/RTNeural.h>

#include <cstring>
#include <vector>

namespace {

using Matrix = std::vector<std::vector<float>>;

// y (steps, H) of x (steps).
template <class Layer>
void run(Layer& layer, const float* x, float* y, long steps) {
  constexpr int H = Layer::out_size;
  layer.reset();
  for (long t = 0; t < steps; ++t) {
#if RTNEURAL_USE_EIGEN
    Eigen::Matrix<float, 1, 1> in;
    in(0) = x[t];
    layer.forward(in);
    std::memcpy(y + t * H, layer.outs.data(), H * sizeof(float));
#else
    xsimd::simd_type<float> in[1] = {xsimd::simd_type<float>(x[t])};
    layer.forward(in);
    std::memcpy(y + t * H, &layer.outs[0], H * sizeof(float));
#endif
  }
}

// w (gates * H, columns) as columns of gates, in another order of gates.
Matrix transposed(const float* w, int columns, const std::vector<int>& order, int H) {
  Matrix result(columns, std::vector<float>(order.size() * H));
  for (std::size_t gate = 0; gate < order.size(); ++gate) {
    for (int unit = 0; unit < H; ++unit) {
      for (int k = 0; k < columns; ++k) result[k][gate * H + unit] = w[(order[gate] * H + unit) * columns + k];
    }
  }
  return result;
}

template <int H>
void* new_lstm(const float* w, const float* u, const float* bias_w, const float* bias_u) {
  auto* layer = new RTNeural::LSTMLayerT<float, 1, H>;
  layer->setWVals(transposed(w, 1, {0, 1, 2, 3}, H));
  layer->setUVals(transposed(u, H, {0, 1, 2, 3}, H));
  std::vector<float> bias(bias_w, bias_w + 4 * H);
  for (int i = 0; i < 4 * H; ++i) bias[i] += bias_u[i];
  layer->setBVals(bias);
  return layer;
}

template <int H>
void* new_gru(const float* w, const float* u, const float* bias_w, const float* bias_u) {
  auto* layer = new RTNeural::GRULayerT<float, 1, H>;
  layer->setWVals(transposed(w, 1, {1, 0, 2}, H));
  layer->setUVals(transposed(u, H, {1, 0, 2}, H));
  Matrix bias;
  for (const float* from : {bias_w, bias_u}) bias.push_back(transposed(from, 1, {1, 0, 2}, H)[0]);
  layer->setBVals(bias);
  return layer;
}

}  // namespace

#define SIZE(H)                                                                                   \
  extern "C" void* lstm_new_##H(const float* a, const float* b, const float* c, const float* d) { \
    return new_lstm<H>(a, b, c, d);                                                               \
  }                                                                                               \
  extern "C" void* gru_new_##H(const float* a, const float* b, const float* c, const float* d) {  \
    return new_gru<H>(a, b, c, d);                                                                \
  }                                                                                               \
  extern "C" void lstm_run_##H(void* layer, const float* x, float* y, long steps) {               \
    run(*static_cast<RTNeural::LSTMLayerT<float, 1, H>*>(layer), x, y, steps);                    \
  }                                                                                               \
  extern "C" void gru_run_##H(void* layer, const float* x, float* y, long steps) {                \
    run(*static_cast<RTNeural::GRULayerT<float, 1, H>*>(layer), x, y, steps);                     \
  }
SIZE(8)
SIZE(16)
SIZE(24)
SIZE(32)
SIZE(64)

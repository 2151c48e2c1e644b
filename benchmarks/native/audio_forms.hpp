// Recurrent networks for audio plug-ins in the form of RTNeural (Chowdhury 2021): sizes known at compile time, one
// matrix for each gate, vectors of xsimd or Eigen. This is a new program of that form, for benchmarks/c_header.py.
#pragma once

#include <algorithm>
#include <numeric>
#include <vector>

// The parameters of one model: a recurrent layer of `gates` blocks with one input, and a linear output. Layouts are
// those of bptt: weights (gates * units, inputs).
struct Parameters {
  const float* ih;
  const float* hh;
  const float* bias_ih;
  const float* bias_hh;
  const float* out;
  float out_bias;
};

#ifdef FORM_XSIMD
#include <xsimd/xsimd.hpp>

namespace form_xsimd {
using V = xsimd::batch<float>;
constexpr int width = static_cast<int>(V::size);

template <int H>
struct Gate {
  static constexpr int vectors = (H + width - 1) / width;
  V input[vectors], bias[vectors], hidden_bias[vectors], recurrent[H][vectors];

  void load(const Parameters& p, int block, bool sum_biases) {
    std::vector<float> buffer(vectors * width, 0.0f);
    const auto fill = [&](V* target, auto value) {
      for (int k = 0; k < H; ++k) buffer[k] = value(block * H + k);
      for (int v = 0; v < vectors; ++v) target[v] = V::load_unaligned(buffer.data() + v * width);
    };
    fill(input, [&](int row) { return p.ih[row]; });
    fill(bias, [&](int row) { return p.bias_ih[row] + (sum_biases ? p.bias_hh[row] : 0.0f); });
    fill(hidden_bias, [&](int row) { return p.bias_hh[row]; });
    for (int j = 0; j < H; ++j) fill(recurrent[j], [&](int row) { return p.hh[row * H + j]; });
  }

  void product(const V (&h)[vectors], V (&sum)[vectors]) const {
    alignas(64) float scalars[width];
    for (int v = 0; v < vectors; ++v) sum[v] = V(0.0f);
    for (int from = 0; from < vectors; ++from) {
      h[from].store_aligned(scalars);
      for (int v = 0; v < vectors; ++v) {
        for (int j = 0; j < std::min(width, H - from * width); ++j)
          sum[v] += scalars[j] * recurrent[from * width + j][v];
      }
    }
  }
};

inline V sigmoid(V x) { return 1.0f / (1.0f + xsimd::exp(-x)); }

template <int H>
float dense(const V (&h)[Gate<H>::vectors], const V (&weight)[Gate<H>::vectors], float bias) {
  V sum = h[0] * weight[0];
  for (int v = 1; v < Gate<H>::vectors; ++v) sum += h[v] * weight[v];
  alignas(64) float parts[width];
  sum.store_aligned(parts);
  return std::accumulate(parts, parts + width, bias);
}

template <int H>
struct Model {
  static constexpr int vectors = Gate<H>::vectors;
  V h[vectors], weight[vectors];
  float bias = 0;

  void load_output(const Parameters& p) {
    std::vector<float> buffer(vectors * width, 0.0f);
    std::copy(p.out, p.out + H, buffer.begin());
    for (int v = 0; v < vectors; ++v) weight[v] = V::load_unaligned(buffer.data() + v * width);
    for (V& value : h) value = V(0.0f);
    bias = p.out_bias;
  }
};

template <int H>
struct Lstm : Model<H> {
  static constexpr int vectors = Gate<H>::vectors;
  Gate<H> i, f, g, o;
  V c[vectors];

  void load(const Parameters& p) {
    Gate<H>* gates[] = {&i, &f, &g, &o};
    for (int block = 0; block < 4; ++block) gates[block]->load(p, block, true);
    for (V& value : c) value = V(0.0f);
    this->load_output(p);
  }
  float step(float x) {
    V a_i[vectors], a_f[vectors], a_g[vectors], a_o[vectors];
    f.product(this->h, a_f);
    for (int v = 0; v < vectors; ++v) a_f[v] = sigmoid(xsimd::fma(f.input[v], V(x), a_f[v] + f.bias[v]));
    i.product(this->h, a_i);
    for (int v = 0; v < vectors; ++v) a_i[v] = sigmoid(xsimd::fma(i.input[v], V(x), a_i[v] + i.bias[v]));
    o.product(this->h, a_o);
    for (int v = 0; v < vectors; ++v) a_o[v] = sigmoid(xsimd::fma(o.input[v], V(x), a_o[v] + o.bias[v]));
    g.product(this->h, a_g);
    for (int v = 0; v < vectors; ++v) {
      c[v] = xsimd::fma(a_i[v], xsimd::tanh(xsimd::fma(g.input[v], V(x), a_g[v] + g.bias[v])), a_f[v] * c[v]);
      this->h[v] = a_o[v] * xsimd::tanh(c[v]);
    }
    return dense<H>(this->h, this->weight, this->bias);
  }
};

template <int H>
struct Gru : Model<H> {
  static constexpr int vectors = Gate<H>::vectors;
  Gate<H> r, z, n;

  void load(const Parameters& p) {
    r.load(p, 0, true);
    z.load(p, 1, true);
    n.load(p, 2, false);
    this->load_output(p);
  }
  float step(float x) {
    V a_r[vectors], a_z[vectors], a_n[vectors];
    z.product(this->h, a_z);
    for (int v = 0; v < vectors; ++v) a_z[v] = sigmoid(xsimd::fma(z.input[v], V(x), a_z[v] + z.bias[v]));
    r.product(this->h, a_r);
    for (int v = 0; v < vectors; ++v) a_r[v] = sigmoid(xsimd::fma(r.input[v], V(x), a_r[v] + r.bias[v]));
    n.product(this->h, a_n);
    for (int v = 0; v < vectors; ++v) {
      const V inner = xsimd::fma(n.input[v], V(x), n.bias[v]);
      const V candidate = xsimd::tanh(xsimd::fma(a_r[v], a_n[v] + n.hidden_bias[v], inner));
      this->h[v] = xsimd::fma(V(1.0f) - a_z[v], candidate, a_z[v] * this->h[v]);
    }
    return dense<H>(this->h, this->weight, this->bias);
  }
};
}  // namespace form_xsimd
#endif

#ifdef FORM_EIGEN
#include <Eigen/Dense>

namespace form_eigen {
template <int H>
struct Gate {
  Eigen::Matrix<float, H, H> recurrent;
  Eigen::Matrix<float, H, 1> input, bias, hidden_bias;

  void load(const Parameters& p, int block, bool sum_biases) {
    for (int k = 0; k < H; ++k) {
      const int row = block * H + k;
      input[k] = p.ih[row];
      bias[k] = p.bias_ih[row] + (sum_biases ? p.bias_hh[row] : 0.0f);
      hidden_bias[k] = p.bias_hh[row];
      for (int j = 0; j < H; ++j) recurrent(k, j) = p.hh[row * H + j];
    }
  }
  void sum(const Eigen::Matrix<float, H, 1>& h, float x, Eigen::Matrix<float, H, 1>& a) const {
    a.noalias() = bias;
    a.noalias() += recurrent * h;
    a.noalias() += input * x;
  }
};

template <class A>
auto sigmoid(const A& a) {
  return (1.0f / ((-a.array()).exp() + 1.0f)).matrix();
}

template <int H>
struct Model {
  Eigen::Matrix<float, H, 1> h, weight;
  float bias = 0;

  void load_output(const Parameters& p) {
    for (int k = 0; k < H; ++k) weight[k] = p.out[k];
    h.setZero();
    bias = p.out_bias;
  }
};

template <int H>
struct Lstm : Model<H> {
  Gate<H> i, f, g, o;
  Eigen::Matrix<float, H, 1> a_i, a_f, a_g, a_o, c;

  void load(const Parameters& p) {
    Gate<H>* gates[] = {&i, &f, &g, &o};
    for (int block = 0; block < 4; ++block) gates[block]->load(p, block, true);
    c.setZero();
    this->load_output(p);
  }
  float step(float x) {
    f.sum(this->h, x, a_f);
    i.sum(this->h, x, a_i);
    o.sum(this->h, x, a_o);
    g.sum(this->h, x, a_g);
    a_f = sigmoid(a_f);
    a_i = sigmoid(a_i);
    a_o = sigmoid(a_o);
    a_g = a_g.array().tanh();
    c = a_f.cwiseProduct(c) + a_i.cwiseProduct(a_g);
    this->h = c.array().tanh();
    this->h = a_o.cwiseProduct(this->h);
    return this->weight.dot(this->h) + this->bias;
  }
};

template <int H>
struct Gru : Model<H> {
  Gate<H> r, z, n;
  Eigen::Matrix<float, H, 1> a_r, a_z, a_n;

  void load(const Parameters& p) {
    r.load(p, 0, true);
    z.load(p, 1, true);
    n.load(p, 2, false);
    this->load_output(p);
  }
  float step(float x) {
    z.sum(this->h, x, a_z);
    r.sum(this->h, x, a_r);
    a_z = sigmoid(a_z);
    a_r = sigmoid(a_r);
    a_n.noalias() = n.hidden_bias;
    a_n.noalias() += n.recurrent * this->h;
    a_n = (a_r.cwiseProduct(a_n) + n.input * x + n.bias).array().tanh();
    this->h = (1.0f - a_z.array()) * a_n.array() + a_z.array() * this->h.array();
    return this->weight.dot(this->h) + this->bias;
  }
};
}  // namespace form_eigen
#endif

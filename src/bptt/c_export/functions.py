"""The functions of a header, in C."""

from __future__ import annotations

from collections.abc import Iterable

from bptt.c_export.source import LANES, Source, literal
from bptt.layers.activations import Choice

ZERO_ONE = ("sigmoid", "tanh", "expm1", "exp")
"""Functions with two forms: "inline" and of the C library."""

_SETUP = {
    "bits": """\
static inline uint32_t P_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}
""",
    "float": """\
static inline float P_float(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}
""",
    "limit": """\
/* x between -limit and limit, the bits of a positive number. Integers, because compilers turn comparisons
   of floats into jumps, which cannot be vectorised. */
static inline float P_limit(float x, uint32_t limit) {
  const uint32_t bits = P_bits(x), size = bits & 0x7fffffffu;
  return P_float((size < limit ? size : limit) | (bits & 0x80000000u));
}
""",
    "keepnan": """\
/* y, or NaN if x is NaN. A choice between two results would be a jump, too. */
static inline float P_keepnan(float y, float x) {
  const uint32_t nan = (P_bits(x) & 0x7fffffffu) > 0x7f800000u ? 0x7fc00000u : 0u;
  return P_float(P_bits(y) | nan);
}
""",
    "reduce": """\
/* e^y = 2^n (1 + p) for |y| <= 88.3. Returns p; *power is 2^n. */
static inline float P_reduce(float y, float *power) {
  const float t = y * 1.44269504f;
  const int n = (int)(t + P_float(0x3f000000u | (P_bits(t) & 0x80000000u)));
  const float m = (float)n;
  const float r = (y - m * 0.693359375f) + m * 2.12194440e-4f;
  const float square = r * r;
  const float low = 0.50000000619f + r * 0.166665430399f;
  const float high = 0.0416662821748f + r * 0.00836657752643f;
  *power = P_float((uint32_t)(n + 127) << 23);
  return r + square * (low + square * (high + square * 0.00139464389956f));
}
""",
    "dot": f"""\
/* The sum of a[k] b[k]. */
static inline float P_dot(const float *a, const float *b, int n) {{
  float sums[{LANES}] = {{0.0f}};
  int k = 0;
  for (; k + {LANES} <= n; k += {LANES}) {{
    for (int l = 0; l < {LANES}; ++l) {{
      sums[l] += a[k + l] * b[k + l];
    }}
  }}
  for (; k < n; ++k) {{
    sums[k % {LANES}] += a[k] * b[k];
  }}
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}}
""",
    "sum": f"""\
/* The sum of v[k]. */
static inline float P_sum(const float *v, int n) {{
  float sums[{LANES}] = {{0.0f}};
  int k = 0;
  for (; k + {LANES} <= n; k += {LANES}) {{
    for (int l = 0; l < {LANES}; ++l) {{
      sums[l] += v[k + l];
    }}
  }}
  for (; k < n; ++k) {{
    sums[k % {LANES}] += v[k];
  }}
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}}
""",
    "normalize": """\
/* v = (v - mean) / sqrt(variance + eps). The squares of large values would overflow, so v is divided by
   its largest value first. */
static inline void P_normalize(float *v, int n, float eps) {
  uint32_t largest = 0;
  for (int k = 0; k < n; ++k) {
    const uint32_t size = P_bits(v[k]) & 0x7fffffffu;
    largest = size > largest ? size : largest;
  }
  const float unit = P_float(largest) > 1.0e15f ? P_float(largest) : 1.0f;
  const float factor = 1.0f / unit;
  for (int k = 0; k < n; ++k) {
    v[k] *= factor;
  }
  const float mean = P_sum(v, n) / (float)n;
  for (int k = 0; k < n; ++k) {
    v[k] -= mean;
  }
  const float scale = 1.0f / sqrtf(P_dot(v, v, n) / (float)n + eps * factor * factor);
  for (int k = 0; k < n; ++k) {
    v[k] *= scale;
  }
}
""",
    "clip": """\
static inline float P_clip(float x, float limit) { return x > limit ? limit : x < -limit ? -limit : x; }
""",
    "relu": """\
static inline float P_relu(float x) { return x < 0.0f ? 0.0f : x; }
""",
    "affine": """\
static inline float P_affine(float x, float alpha, float beta) { return alpha * x + beta; }
""",
    "leakyrelu": """\
static inline float P_leakyrelu(float x, float alpha) { return x < 0.0f ? alpha * x : x; }
""",
    "thresholdedrelu": """\
static inline float P_thresholdedrelu(float x, float alpha) { return x < alpha ? 0.0f : x; }
""",
    "scaledtanh": """\
static inline float P_scaledtanh(float x, float alpha, float beta) { return alpha * P_tanh(beta * x); }
""",
    "hardsigmoid": """\
static inline float P_hardsigmoid(float x, float alpha, float beta) {
  const float y = alpha * x + beta;
  return y < 0.0f ? 0.0f : y > 1.0f ? 1.0f : y;
}
""",
    "elu": """\
static inline float P_elu(float x, float alpha) { return x < 0.0f ? alpha * P_expm1(x) : x; }
""",
    "softsign": """\
static inline float P_softsign(float x) { return x / (1.0f + (x < 0.0f ? -x : x)); }
""",
    "softplus": """\
static inline float P_softplus(float x) {
  return (x > 0.0f ? x : 0.0f) + log1pf(expf(x > 0.0f ? -x : x));
}
""",
    "gelu": """\
static inline float P_gelu(float x) { return 0.5f * x * erfcf(-0.707106781f * x); }
""",
    "silu": """\
static inline float P_silu(float x) { return x * P_sigmoid(x); }
""",
    "softmax": """\
static inline void P_softmax(const float *x, float *y, int n) {
  float largest = x[0];
  for (int k = 1; k < n; ++k) {
    largest = x[k] > largest ? x[k] : largest;
  }
  for (int k = 0; k < n; ++k) {
    y[k] = P_exp(x[k] - largest);
  }
  const float factor = 1.0f / P_sum(y, n);
  for (int k = 0; k < n; ++k) {
    y[k] *= factor;
  }
}
""",
}

_INLINE = {
    "sigmoid": """\
static inline float P_sigmoid(float x) {
  float power;
  const float p = P_reduce(-P_limit(x, 0x42b0999au), &power);
  return P_keepnan(1.0f / (1.0f + (power + power * p)), x);
}
""",
    "tanh": """\
/* (e^2a - 1) / (e^2a + 1) for a = |x|. */
static inline float P_tanh(float x) {
  const uint32_t sign = P_bits(x) & 0x80000000u;
  float power;
  const float p = P_reduce(2.0f * P_float(P_bits(P_limit(x, 0x4111999au)) ^ sign), &power);
  const float m = power * p + (power - 1.0f);
  return P_keepnan(P_float(P_bits(m / (2.0f + m)) | sign), x);
}
""",
    "expm1": """\
static inline float P_expm1(float x) {
  float power;
  const float p = P_reduce(P_limit(x, 0x42ae0000u), &power);
  return P_keepnan(power * p + (power - 1.0f), x);
}
""",
    "exp": """\
static inline float P_exp(float x) {
  float power;
  const float p = P_reduce(P_limit(x, 0x42ae0000u), &power);
  return P_keepnan(power + power * p, x);
}
""",
}

_LIBRARY = {
    "sigmoid": """\
static inline float P_sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }
""",
    "tanh": """\
static inline float P_tanh(float x) { return tanhf(x); }
""",
    "expm1": """\
static inline float P_expm1(float x) { return expm1f(x); }
""",
    "exp": """\
static inline float P_exp(float x) { return expf(x); }
""",
}

_ORDER = (
    *("bits", "float", "limit", "keepnan", "reduce", "sigmoid", "tanh", "expm1", "exp", "dot", "sum"),
    *("normalize", "softmax", "clip", "relu", "affine", "leakyrelu", "thresholdedrelu", "scaledtanh"),
    *("hardsigmoid", "elu", "softsign", "softplus", "gelu", "silu"),
)
"""The order of definitions: a function comes after the functions that it calls."""

_ARGUMENTS = {
    "affine": 2,
    "leaky_relu": 1,
    "thresholded_relu": 1,
    "scaled_tanh": 2,
    "hard_sigmoid": 2,
    "elu": 1,
}


def activation(out: Source, choice: Choice, argument: str, limit: float | None = None) -> str:
    """Return the C expression of an activation, and note the functions that it needs."""
    name, *parameters = choice
    if limit is not None:
        argument = out.call("clip", argument, literal(limit))
    if name == "linear":
        return f"({argument})" if " " in argument else argument
    values = map(literal, parameters[: _ARGUMENTS.get(name, 0)])
    return out.call(name.replace("_", ""), argument, *values)


def definitions(needed: Iterable[str], name: str, math: str) -> str:
    """Return the C definitions of these functions, and of those that they call."""
    texts = _SETUP | (_INLINE if math == "inline" else _LIBRARY)
    found: set[str] = set()
    waiting = list(needed)
    while waiting:
        function = waiting.pop()
        if function not in found:
            found.add(function)
            waiting += [other for other in _ORDER if f"P_{other}(" in texts[function]]
    return "\n".join(texts[each] for each in _ORDER if each in found).replace("P_", f"{name}_")

// The type with the widest range: long double. On Windows with the ABI of Visual C++ and on macOS for Arm, long double
// is a double; there, the type is a double and a separate exponent. It may be slow, because only rare values need it.
#pragma once

#include "kernels/vec.hpp"

namespace bptt::BPTT_ISA {

#if __LDBL_MAX_EXP__ > __DBL_MAX_EXP__
using Widest = long double;
BPTT_INLINE Widest square_root(Widest x) { return __builtin_sqrtl(x); }
#else
// digits * 2^exponent. digits: from 0.5 to 1, or 0, infinite or NaN with the exponent 0.
class Widest {
 public:
  Widest() = default;
  Widest(double x) : Widest(x, 0) {}
  explicit Widest(Index x) : Widest(static_cast<double>(x)) {}
  explicit operator double() const { return __builtin_ldexp(digits_, exponent_); }
  explicit operator float() const { return static_cast<float>(static_cast<double>(*this)); }

  Widest operator-() const { return {-digits_, exponent_}; }
  friend Widest operator*(Widest a, Widest b) { return {a.digits_ * b.digits_, a.exponent_ + b.exponent_}; }
  friend Widest operator/(Widest a, Widest b) { return {a.digits_ / b.digits_, a.exponent_ - b.exponent_}; }
  friend Widest operator+(Widest a, Widest b) {
    if (a.digits_ == 0) return b;
    if (b.digits_ == 0) return a;
    if (a.exponent_ < b.exponent_) return b + a;
    return {a.digits_ + __builtin_ldexp(b.digits_, b.exponent_ - a.exponent_), a.exponent_};
  }
  friend Widest operator-(Widest a, Widest b) { return a + -b; }
  Widest& operator+=(Widest other) { return *this = *this + other; }

  friend bool operator==(Widest a, Widest b) { return (a - b).digits_ == 0; }
  friend bool operator<(Widest a, Widest b) { return (a - b).digits_ < 0; }
  friend bool operator>(Widest a, Widest b) { return (a - b).digits_ > 0; }
  friend bool operator<=(Widest a, Widest b) { return (a - b).digits_ <= 0; }
  friend bool operator>=(Widest a, Widest b) { return (a - b).digits_ >= 0; }

  friend Widest square_root(Widest x) {
    const int odd = x.exponent_ & 1;
    return {__builtin_sqrt(odd ? 2 * x.digits_ : x.digits_), (x.exponent_ - odd) / 2};
  }

 private:
  Widest(double value, int exponent) {
    const bool scales = value != 0 && value - value == 0;
    int own = 0;
    digits_ = scales ? __builtin_frexp(value, &own) : value;
    exponent_ = scales ? exponent + own : 0;
  }

  double digits_ = 0;
  int exponent_ = 0;
};
#endif

}  // namespace bptt::BPTT_ISA

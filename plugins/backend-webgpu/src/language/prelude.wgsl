// Functions that generated kernels call. Unused ones cost nothing: the compiler drops them.

// Bits of values that WGSL constants must not be. A variable keeps the compiler from folding them.
var<private> infinityBits: u32 = 0x7f800000u;
var<private> nanBits: u32 = 0x7fc00000u;
fn infinity() -> f32 { return bitcast<f32>(infinityBits); }
fn nan() -> f32 { return bitcast<f32>(nanBits); }
fn isNan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }
fn isInfinite(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) == 0x7f800000u; }

// 0, which no compiler knows: kernels set it from a builtin. Some compilers do algebra on floats: d / c + rest / c becomes (d + rest) / c, and the rest is lost.
var<private> runtimeZero: u32;
fn opaque(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) ^ runtimeZero); }

// ---- f32 ----
fn maximumF32(a: f32, b: f32) -> f32 { return select(select(max(a, b), b, isNan(b)), a, isNan(a)); }
fn minimumF32(a: f32, b: f32) -> f32 { return select(select(min(a, b), b, isNan(b)), a, isNan(a)); }

// Devices divide with an error of some units in the last place, and as they like where infinities, zeros or very large divisors are. One Newton step with the
// exact remainder (products of halves of 12 bits are exact, Dekker 1971) rounds as IEEE 754 does; codes that lie between two integers depend on it.
fn divideF32(a: f32, b: f32) -> f32 {
  let sign = (bitcast<u32>(a) ^ bitcast<u32>(b)) & 0x80000000u;
  if (isNan(a) || isNan(b)) { return nan(); }
  if (b == 0.0 || isInfinite(a)) { return select(bitcast<f32>(sign | infinityBits), nan(), a == 0.0 || (isInfinite(a) && isInfinite(b))); }
  if (a == 0.0 || isInfinite(b)) { return bitcast<f32>(sign); }
  // Halving both by a power of two keeps the quotient and leaves the range in which reciprocals vanish.
  let shrink = select(1.0, 0.00390625, abs(b) > 1e36);
  let c = b * shrink;
  let d = a * shrink;
  let quotient = opaque(d / c);
  let q1 = bitcast<f32>(bitcast<u32>(quotient) & 0xfffff000u);
  let c1 = bitcast<f32>(bitcast<u32>(c) & 0xfffff000u);
  let q2 = opaque(quotient - q1);
  let c2 = opaque(c - c1);
  let rest = opaque(opaque(opaque(d - opaque(q1 * c1)) - opaque(q1 * c2)) - opaque(q2 * c1)) - opaque(q2 * c2);
  let refined = quotient + opaque(rest / c);
  return select(refined, quotient, isNan(refined) || isInfinite(refined) || abs(quotient) < 1e-30);
}

// Devices may treat NaN as they like in built-in functions.
fn expF32(x: f32) -> f32 { return select(exp(x), x, isNan(x)); }
fn logF32(x: f32) -> f32 {
  if (isNan(x) || x < 0.0) { return nan(); }
  if (x == 0.0) { return -infinity(); }
  return select(log(x), x, isInfinite(x));
}
fn sqrtF32(x: f32) -> f32 { return select(sqrt(x), nan(), x < 0.0); }

// x − q·π/2 in [−π/4, π/4] for |x| up to about 10⁵, as rotary angles are; built-in sines are only good near 0. π/2 in four parts whose products with q are
// exact, the last one small (Cody and Waite 1980, chapter 8).
fn reduced(x: f32, q: f32) -> f32 { return (((x - q * 1.5) - q * 0.0703125) - q * 0.0004825592041015625) - q * 1.267590794995499e-06; }
fn quarterSine(r: f32) -> f32 {
  let s = r * r;
  return r + r * s * (-0.16666654611 + s * (8.3321608736e-3 + s * -1.9515295891e-4));
}
fn quarterCosine(r: f32) -> f32 {
  let s = r * r;
  return 1.0 - 0.5 * s + s * s * (4.166664568298827e-2 + s * (-1.388731625493765e-3 + s * 2.443315711809948e-5));
}
fn sineOfTurn(x: f32, turn: i32) -> f32 {
  if (isNan(x) || isInfinite(x)) { return nan(); }
  let q = round(x * 0.63661977);
  let r = reduced(x, q);
  let quadrant = (i32(q) + turn) & 3;
  let value = select(quarterSine(r), quarterCosine(r), (quadrant & 1) == 1);
  return select(value, -value, quadrant >= 2);
}
fn sinF32(x: f32) -> f32 { return sineOfTurn(x, 0); }
fn cosF32(x: f32) -> f32 { return sineOfTurn(x, 1); }

// By e^−|x|, which never overflows.
fn sigmoidF32(x: f32) -> f32 {
  if (isNan(x)) { return x; }
  let e = exp(-abs(x));
  return select(1.0 / (1.0 + e), e / (1.0 + e), x < 0.0);
}

// Odd, and within rounding of ±1 from 10 on; a short series near 0, where 1 − e⁻²ˣ cancels.
fn tanhF32(x: f32) -> f32 {
  let a = abs(x);
  if (isNan(x)) { return x; }
  if (a < 0.25) {
    let s = x * x;
    return x * (1.0 + s * (-0.33333334 + s * (0.13333334 + s * (-0.05396825 + s * (0.021869488 + s * -0.008863236)))));
  }
  let e = exp(-2.0 * min(a, 20.0));
  return sign(x) * ((1.0 - e) / (1.0 + e));
}

// The power series below 1.5, where it converges fast; 1 − erfc above, by the continued fraction of erfc (Abramowitz and Stegun, 7.1.14).
fn erfF32(x: f32) -> f32 {
  if (isNan(x)) { return x; }
  let a = abs(x);
  if (a >= 4.0) { return sign(x); }
  let s = a * a;
  if (a < 1.5) {
    var term = a;
    var sum = a;
    for (var n = 1; n < 24; n++) {
      term *= -s / f32(n);
      sum += term / f32(2 * n + 1);
    }
    return sign(x) * 1.1283792 * sum;
  }
  var fraction = a;
  for (var n = 40; n > 0; n--) { fraction = a + 0.5 * f32(n) / fraction; }
  return sign(x) * (1.0 - 0.5641896 * exp(-s) / fraction);
}

// C's pow: 1^y = x^0 = 1; negative bases have integer exponents or none.
fn powerF32(x: f32, y: f32) -> f32 {
  if (x == 1.0 || y == 0.0) { return 1.0; }
  if (isNan(x) || isNan(y)) { return nan(); }
  let whole = y == floor(y);
  let odd = whole && abs(y) < 16777216.0 && (i32(abs(y)) & 1) == 1;
  if (x == 0.0) {
    let zero = select(0.0, x, odd);
    if (y > 0.0) { return zero; }
    return select(infinity(), select(infinity(), -infinity(), (bitcast<u32>(x) >> 31u) == 1u), odd);
  }
  if (isInfinite(y)) {
    if (x == -1.0) { return 1.0; }
    return select(0.0, infinity(), (abs(x) > 1.0) == (y > 0.0));
  }
  if (isInfinite(x)) {
    if (y < 0.0) { return 0.0; }
    return select(infinity(), x, odd);
  }
  if (x < 0.0 && !whole) { return nan(); }
  // Small whole exponents by multiplication: exact where the result is, and closer than exp2(y · log2 x).
  if (whole && abs(y) <= 64.0) {
    var result = 1.0;
    var factor = x;
    for (var n = u32(abs(y)); n > 0u; n >>= 1u) {
      if ((n & 1u) == 1u) { result *= factor; }
      factor *= factor;
    }
    return select(result, 1.0 / result, y < 0.0);
  }
  if (y == 0.5) { return sqrt(x); }
  if (y == -0.5) { return 1.0 / sqrt(x); }
  let magnitude = pow(abs(x), y);
  return select(magnitude, -magnitude, x < 0.0 && odd);
}

fn remainderF32(x: f32, y: f32) -> f32 {
  if (isNan(x) || isNan(y) || isInfinite(x) || y == 0.0) { return nan(); }
  if (isInfinite(y)) { return x; }
  return x - y * trunc(x / y);
}

fn signF32(x: f32) -> f32 { return select(sign(x), x, isNan(x)); }

// ---- i32, u32 ----
fn divideI32(a: i32, b: i32) -> i32 { return select(a / select(b, 1, b == 0), 0, b == 0); }
fn remainderI32(a: i32, b: i32) -> i32 { return select(a % select(b, 1, b == 0), 0, b == 0); }
fn divideU32(a: u32, b: u32) -> u32 { return select(a / select(b, 1u, b == 0u), 0u, b == 0u); }
fn remainderU32(a: u32, b: u32) -> u32 { return select(a % select(b, 1u, b == 0u), 0u, b == 0u); }
fn powerI32(x: i32, y: i32) -> i32 {
  if (y < 0) { return select(select(0, select(-1, 1, (y & 1) == 0), x == -1), 1, x == 1); }
  var result = 1;
  var factor = x;
  for (var n = y; n > 0; n >>= 1u) {
    if ((n & 1) == 1) { result *= factor; }
    factor *= factor;
  }
  return result;
}
fn powerU32(x: u32, y: u32) -> u32 {
  var result = 1u;
  var factor = x;
  for (var n = y; n > 0u; n >>= 1u) {
    if ((n & 1u) == 1u) { result *= factor; }
    factor *= factor;
  }
  return result;
}

// ---- conversions from f32: truncate, saturate, NaN to 0 ----
fn i32FromF32(x: f32) -> i32 {
  if (isNan(x)) { return 0; }
  if (x >= 2147483648.0) { return 2147483647; }
  if (x < -2147483648.0) { return -2147483647 - 1; }
  return i32(x);
}
fn u32FromF32(x: f32) -> u32 {
  if (isNan(x)) { return 0u; }
  // Negative values wrap, as in the host's arrays.
  if (x < 0.0) { return bitcast<u32>(i32FromF32(x)); }
  if (x >= 4294967296.0) { return 0xffffffffu; }
  return u32(x);
}

// ---- 16-bit floats ----
fn f32FromHalf(bits: u32) -> f32 {
  let sign = (bits & 0x8000u) << 16u;
  let exponent = (bits >> 10u) & 31u;
  let fraction = bits & 1023u;
  if (exponent == 31u) { return bitcast<f32>(sign | infinityBits | (fraction << 13u)); }
  if (exponent == 0u) { return bitcast<f32>(bitcast<u32>(f32(fraction) * 5.9604645e-8) | sign); }
  return bitcast<f32>(sign | ((exponent + 112u) << 23u) | (fraction << 13u));
}
// Rounds half to even. Built from bits, because how pack2x16float rounds is left to the device.
fn halfFromF32(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  let sign = (bits >> 16u) & 0x8000u;
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return sign | 0x7e00u; }
  if (magnitude >= 0x477ff000u) { return sign | 0x7c00u; }
  if (magnitude < 0x38800000u) {
    // Below 2⁻¹⁴: multiples of 2⁻²⁴, counted by adding 0.5, whose last bit weighs just that.
    return sign | (bitcast<u32>(bitcast<f32>(magnitude) + 0.5) - 0x3f000000u);
  }
  return sign | ((magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13u) & 1u)) >> 13u);
}
fn f32FromBrain(bits: u32) -> f32 { return bitcast<f32>(bits << 16u); }
fn brainFromF32(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  if (isNan(x)) { return (bits >> 16u) | 0x40u; }
  return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}

// ---- 64-bit integers as pairs of words, low first ----
fn wideFromI32(x: i32) -> vec2u { return vec2u(bitcast<u32>(x), bitcast<u32>(x >> 31u)); }
fn wideFromU32(x: u32) -> vec2u { return vec2u(x, 0u); }
fn wideAdd(a: vec2u, b: vec2u) -> vec2u {
  let low = a.x + b.x;
  return vec2u(low, a.y + b.y + select(0u, 1u, low < a.x));
}
fn wideNegate(a: vec2u) -> vec2u { return wideAdd(~a, vec2u(1u, 0u)); }
fn wideSubtract(a: vec2u, b: vec2u) -> vec2u { return wideAdd(a, wideNegate(b)); }
fn wideMultiplyWords(a: u32, b: u32) -> vec2u {
  let al = a & 0xffffu; let ah = a >> 16u;
  let bl = b & 0xffffu; let bh = b >> 16u;
  let ll = al * bl;
  let middle = ah * bl + (ll >> 16u);
  let other = al * bh + (middle & 0xffffu);
  return vec2u((other << 16u) | (ll & 0xffffu), ah * bh + (middle >> 16u) + (other >> 16u));
}
fn wideMultiply(a: vec2u, b: vec2u) -> vec2u {
  let product = wideMultiplyWords(a.x, b.x);
  return vec2u(product.x, product.y + a.x * b.y + a.y * b.x);
}
fn wideIsNegative(a: vec2u) -> bool { return (a.y >> 31u) == 1u; }
fn wideEqual(a: vec2u, b: vec2u) -> bool { return a.x == b.x && a.y == b.y; }
fn wideLessU(a: vec2u, b: vec2u) -> bool { return select(a.y < b.y, a.x < b.x, a.y == b.y); }
fn wideLessI(a: vec2u, b: vec2u) -> bool { return wideLessU(a ^ vec2u(0u, 0x80000000u), b ^ vec2u(0u, 0x80000000u)); }
fn wideShiftLeft(a: vec2u, count: u32) -> vec2u {
  if (count == 0u) { return a; }
  if (count >= 32u) { return vec2u(0u, select(a.x << (count - 32u), 0u, count >= 64u)); }
  return vec2u(a.x << count, (a.y << count) | (a.x >> (32u - count)));
}
// Long division, bit by bit: quotient, then remainder.
fn wideDivideU(a: vec2u, b: vec2u) -> array<vec2u, 2> {
  var quotient = vec2u();
  var rest = vec2u();
  if (b.x == 0u && b.y == 0u) { return array<vec2u, 2>(vec2u(), vec2u()); }
  for (var bit = 63; bit >= 0; bit--) {
    let word = select(a.x, a.y, bit >= 32);
    rest = wideAdd(wideShiftLeft(rest, 1u), vec2u((word >> (u32(bit) & 31u)) & 1u, 0u));
    if (!wideLessU(rest, b)) {
      rest = wideSubtract(rest, b);
      quotient = quotient | wideShiftLeft(vec2u(1u, 0u), u32(bit));
    }
  }
  return array<vec2u, 2>(quotient, rest);
}
fn wideAbsolute(a: vec2u) -> vec2u { return select(a, wideNegate(a), wideIsNegative(a)); }
fn wideDivideI(a: vec2u, b: vec2u) -> vec2u {
  let quotient = wideDivideU(wideAbsolute(a), wideAbsolute(b))[0];
  return select(quotient, wideNegate(quotient), wideIsNegative(a) != wideIsNegative(b));
}
fn wideRemainderI(a: vec2u, b: vec2u) -> vec2u {
  let rest = wideDivideU(wideAbsolute(a), wideAbsolute(b))[1];
  return select(rest, wideNegate(rest), wideIsNegative(a));
}
fn wideQuotientU(a: vec2u, b: vec2u) -> vec2u { return wideDivideU(a, b)[0]; }
fn wideRemainderU(a: vec2u, b: vec2u) -> vec2u { return wideDivideU(a, b)[1]; }
fn widePower(x: vec2u, y: vec2u) -> vec2u {
  var result = vec2u(1u, 0u);
  var factor = x;
  for (var n = y.x; n > 0u; n >>= 1u) {
    if ((n & 1u) == 1u) { result = wideMultiply(result, factor); }
    factor = wideMultiply(factor, factor);
  }
  return result;
}
fn widePowerI(x: vec2u, y: vec2u) -> vec2u {
  if (!wideIsNegative(y)) { return widePower(x, y); }
  let one = vec2u(1u, 0u);
  let minusOne = vec2u(0xffffffffu, 0xffffffffu);
  return select(select(vec2u(), select(minusOne, one, (y.x & 1u) == 0u), wideEqual(x, minusOne)), one, wideEqual(x, one));
}
fn wideSign(a: vec2u) -> vec2u {
  return select(select(vec2u(1u, 0u), vec2u(), a.x == 0u && a.y == 0u), vec2u(0xffffffffu, 0xffffffffu), wideIsNegative(a));
}
// The upper word's rounding error and the lower word are added last, so that the sum is rounded once for values that float32 holds.
fn f32FromWideU(a: vec2u) -> f32 {
  if (a.y == 0u) { return f32(a.x); }
  // Keep 32 significant bits, the last one sticky, then let one conversion round.
  let shift = 32u - countLeadingZeros(a.y);
  let kept = (a.y << (32u - shift)) | select(a.x >> shift, 0u, shift == 32u);
  let top = select(kept, a.y, shift == 32u);
  let lost = select(a.x & ((1u << shift) - 1u), a.x, shift == 32u);
  return f32(top | select(0u, 1u, lost != 0u)) * exp2(f32(shift));
}
fn f32FromWideI(a: vec2u) -> f32 {
  let magnitude = f32FromWideU(wideAbsolute(a));
  return select(magnitude, -magnitude, wideIsNegative(a));
}
fn wideFromF32(x: f32) -> vec2u {
  if (isNan(x)) { return vec2u(); }
  let magnitude = min(trunc(abs(x)), 18446742974197923840.0);
  let high = floor(magnitude / 4294967296.0);
  let value = vec2u(u32(magnitude - high * 4294967296.0), u32(high));
  return select(value, wideNegate(value), x < 0.0);
}

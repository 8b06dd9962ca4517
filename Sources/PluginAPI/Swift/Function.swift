// What the tape can compute element by element: a function, and beside it its derivative. At a tie or at the edge of a clamp the
// derivative is that of the first operand, so that `min(ratio * A, clamp(ratio, low, high) * A)` passes on the ratio's derivative up to
// and including the clip, as the losses in `Plugins/` do.

/// A function of one number; `a` and `b` are constants of the operation.
protocol Function {
  static func value(_ x: Double, _ a: Double, _ b: Double) -> Double
  /// The derivative at `x`, where the value is `y`.
  static func slope(_ x: Double, _ y: Double, _ a: Double, _ b: Double) -> Double
}

/// A function of two numbers.
protocol Combination {
  static func value(_ x: Double, _ y: Double) -> Double
  static func slopeX(_ x: Double, _ y: Double) -> Double
  static func slopeY(_ x: Double, _ y: Double) -> Double
}

enum Affine: Function {
  static func value(_ x: Double, _ a: Double, _ b: Double) -> Double { a * x + b }
  static func slope(_ x: Double, _ y: Double, _ a: Double, _ b: Double) -> Double { a }
}

enum Part: Function {
  static func value(_ x: Double, _ a: Double, _ b: Double) -> Double { x / a }
  static func slope(_ x: Double, _ y: Double, _ a: Double, _ b: Double) -> Double { 1 / a }
}

enum Inverse: Function {
  static func value(_ x: Double, _ a: Double, _ b: Double) -> Double { a / x }
  static func slope(_ x: Double, _ y: Double, _ a: Double, _ b: Double) -> Double { -y / x }
}

enum Exponential: Function {
  static func value(_ x: Double, _ a: Double, _ b: Double) -> Double { exp(x) }
  static func slope(_ x: Double, _ y: Double, _ a: Double, _ b: Double) -> Double { y }
}

enum Logarithm: Function {
  static func value(_ x: Double, _ a: Double, _ b: Double) -> Double { log(x) }
  static func slope(_ x: Double, _ y: Double, _ a: Double, _ b: Double) -> Double { 1 / x }
}

enum Root: Function {
  static func value(_ x: Double, _ a: Double, _ b: Double) -> Double { sqrt(x) }
  static func slope(_ x: Double, _ y: Double, _ a: Double, _ b: Double) -> Double { 0.5 / y }
}

enum Square: Function {
  static func value(_ x: Double, _ a: Double, _ b: Double) -> Double { x * x }
  static func slope(_ x: Double, _ y: Double, _ a: Double, _ b: Double) -> Double { 2 * x }
}

enum Power: Function {
  static func value(_ x: Double, _ a: Double, _ b: Double) -> Double { pow(x, a) }
  static func slope(_ x: Double, _ y: Double, _ a: Double, _ b: Double) -> Double { a == 0 ? 0 : a * pow(x, a - 1) }
}

enum HyperbolicTangent: Function {
  static func value(_ x: Double, _ a: Double, _ b: Double) -> Double { tanh(x) }
  static func slope(_ x: Double, _ y: Double, _ a: Double, _ b: Double) -> Double { 1 - y * y }
}

/// |x|, with derivative 0 at 0.
enum Magnitude: Function {
  static func value(_ x: Double, _ a: Double, _ b: Double) -> Double { x.magnitude }
  static func slope(_ x: Double, _ y: Double, _ a: Double, _ b: Double) -> Double { x > 0 ? 1 : x < 0 ? -1 : 0 }
}

/// x held within a...b: derivative 1 on the edges too, 0 beyond them.
enum Clamp: Function {
  static func value(_ x: Double, _ a: Double, _ b: Double) -> Double { x < a ? a : x > b ? b : x }
  static func slope(_ x: Double, _ y: Double, _ a: Double, _ b: Double) -> Double { x < a || x > b ? 0 : 1 }
}

enum Addition: Combination {
  static func value(_ x: Double, _ y: Double) -> Double { x + y }
  static func slopeX(_ x: Double, _ y: Double) -> Double { 1 }
  static func slopeY(_ x: Double, _ y: Double) -> Double { 1 }
}

enum Subtraction: Combination {
  static func value(_ x: Double, _ y: Double) -> Double { x - y }
  static func slopeX(_ x: Double, _ y: Double) -> Double { 1 }
  static func slopeY(_ x: Double, _ y: Double) -> Double { -1 }
}

enum Multiplication: Combination {
  static func value(_ x: Double, _ y: Double) -> Double { x * y }
  static func slopeX(_ x: Double, _ y: Double) -> Double { y }
  static func slopeY(_ x: Double, _ y: Double) -> Double { x }
}

enum Division: Combination {
  static func value(_ x: Double, _ y: Double) -> Double { x / y }
  static func slopeX(_ x: Double, _ y: Double) -> Double { 1 / y }
  static func slopeY(_ x: Double, _ y: Double) -> Double { -(x / y) / y }
}

/// The smaller one; at a tie the first. What is no number stays none.
enum Minimum: Combination {
  static func value(_ x: Double, _ y: Double) -> Double { takesY(x, y) ? y : x }
  static func slopeX(_ x: Double, _ y: Double) -> Double { takesY(x, y) ? 0 : 1 }
  static func slopeY(_ x: Double, _ y: Double) -> Double { takesY(x, y) ? 1 : 0 }
  private static func takesY(_ x: Double, _ y: Double) -> Bool { y < x || y != y }
}

/// The larger one; at a tie the first. What is no number stays none.
enum Maximum: Combination {
  static func value(_ x: Double, _ y: Double) -> Double { takesY(x, y) ? y : x }
  static func slopeX(_ x: Double, _ y: Double) -> Double { takesY(x, y) ? 0 : 1 }
  static func slopeY(_ x: Double, _ y: Double) -> Double { takesY(x, y) ? 1 : 0 }
  private static func takesY(_ x: Double, _ y: Double) -> Bool { y > x || y != y }
}

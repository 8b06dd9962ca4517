public func exp<Shape>(_ x: Tensor<Shape>) -> Tensor<Shape> { x.mapped(.exponential) }
/// The natural logarithm.
public func log<Shape>(_ x: Tensor<Shape>) -> Tensor<Shape> { x.mapped(.logarithm) }
public func sqrt<Shape>(_ x: Tensor<Shape>) -> Tensor<Shape> { x.mapped(.root) }
public func square<Shape>(_ x: Tensor<Shape>) -> Tensor<Shape> { x.mapped(.square) }
public func pow<Shape>(_ x: Tensor<Shape>, _ exponent: Double) -> Tensor<Shape> { x.mapped(.power, exponent) }
public func tanh<Shape>(_ x: Tensor<Shape>) -> Tensor<Shape> { x.mapped(.hyperbolicTangent) }
/// |x|, with derivative 0 at 0.
public func abs<Shape>(_ x: Tensor<Shape>) -> Tensor<Shape> { x.mapped(.magnitude) }

/// A log-ratio held within ±20, so that its `exp` stays finite; beyond, its derivative is zero.
public func clamp<Shape>(_ logRatio: Tensor<Shape>) -> Tensor<Shape> { clamp(logRatio, -20, 20) }

/// x held within low...high: derivative 1 there, edges included, and 0 beyond.
public func clamp<Shape>(_ x: Tensor<Shape>, _ low: Double, _ high: Double) -> Tensor<Shape> {
  if !(low <= high) { x.tape.fail(.internalError("clamp: the lower bound is not below the upper one")) }
  return x.mapped(.clamp, low, high)
}

/// The smaller one, which has the derivative; at a tie that is the first.
public func min<Shape>(_ x: Tensor<Shape>, _ y: Tensor<Shape>) -> Tensor<Shape> {
  Tensor(x.tape, x.tape.binary(.minimum, x.index, y.tape, y.index))
}

/// The larger one, which has the derivative; at a tie that is the first.
public func max<Shape>(_ x: Tensor<Shape>, _ y: Tensor<Shape>) -> Tensor<Shape> {
  Tensor(x.tape, x.tape.binary(.maximum, x.index, y.tape, y.index))
}

public func min<Shape>(_ x: Tensor<Shape>, _ y: Double) -> Tensor<Shape> { x.mapped(.clamp, -.infinity, y) }
public func max<Shape>(_ x: Tensor<Shape>, _ y: Double) -> Tensor<Shape> { x.mapped(.clamp, y, .infinity) }

/// The same numbers, held fixed: no derivative is taken of them. Where they reach the loss, `stoppedGradients` has to name the inputs
/// they are computed from.
public func stopGradient<Shape>(_ x: Tensor<Shape>) -> Tensor<Shape> { Tensor(x.tape, x.tape.stopped(x.index)) }

extension Tensor {
  fileprivate func mapped(_ operation: Operation, _ a: Double = 0, _ b: Double = 0) -> Self {
    Self(tape, tape.unary(operation, index, a, b))
  }
}

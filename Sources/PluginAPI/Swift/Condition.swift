/// Whether something holds, element by element: from a comparison of tensors, `ratio .> 1.2`. Which way a comparison goes has no
/// derivative; what is chosen by it has.
public struct Condition<Shape: TensorShape> {
  /// 1 where it holds, otherwise 0.
  public let numbers: Tensor<Shape>

  public static func .& (x: Self, y: Self) -> Self { x.numbers.compared(.and, y.numbers) }
  public static func .| (x: Self, y: Self) -> Self { x.numbers.compared(.or, y.numbers) }
  public static prefix func .! (x: Self) -> Self {
    Self(numbers: Tensor(x.numbers.tape, x.numbers.tape.complement(x.numbers.index)))
  }
}

extension Tensor {
  fileprivate func compared(_ comparison: Comparison, _ other: Self) -> Condition<Shape> {
    Condition(numbers: Self(tape, tape.comparison(comparison, index, other.tape, other.index)))
  }

  fileprivate func filled(_ value: Double) -> Self { Self(tape, tape.spread(value, like: index)) }

  public static func .< (x: Self, y: Self) -> Condition<Shape> { x.compared(.less, y) }
  public static func .<= (x: Self, y: Self) -> Condition<Shape> { x.compared(.lessOrEqual, y) }
  public static func .> (x: Self, y: Self) -> Condition<Shape> { y.compared(.less, x) }
  public static func .>= (x: Self, y: Self) -> Condition<Shape> { y.compared(.lessOrEqual, x) }
  public static func .== (x: Self, y: Self) -> Condition<Shape> { x.compared(.equal, y) }

  public static func .< (x: Self, y: Double) -> Condition<Shape> { x .< x.filled(y) }
  public static func .<= (x: Self, y: Double) -> Condition<Shape> { x .<= x.filled(y) }
  public static func .> (x: Self, y: Double) -> Condition<Shape> { x .> x.filled(y) }
  public static func .>= (x: Self, y: Double) -> Condition<Shape> { x .>= x.filled(y) }
  public static func .== (x: Self, y: Double) -> Condition<Shape> { x .== x.filled(y) }
}

/// `x` where the condition holds, elsewhere `y`. What is not chosen passes no derivative on, even if it is no finite number.
public func choose<Shape>(_ condition: Condition<Shape>, _ x: Tensor<Shape>, else y: Tensor<Shape>) -> Tensor<Shape> {
  let chooser = condition.numbers
  return Tensor(chooser.tape, chooser.tape.choice(chooser.index, x.tape, x.index, y.tape, y.index))
}

public func choose<Shape>(_ condition: Condition<Shape>, _ x: Tensor<Shape>, else y: Double) -> Tensor<Shape> {
  choose(condition, x, else: x.filled(y))
}

public func choose<Shape>(_ condition: Condition<Shape>, _ x: Double, else y: Tensor<Shape>) -> Tensor<Shape> {
  choose(condition, y.filled(x), else: y)
}

public func choose<Shape>(_ condition: Condition<Shape>, _ x: Double, else y: Double) -> Tensor<Shape> {
  choose(condition, condition.numbers.filled(x), else: y)
}

extension ClipStatistics {
  /// Reports where a clip held, over tokens or over sequences; to be called once in a loss.
  ///
  /// - Parameter inside: where the log-ratio was within ±20.
  public static func record<Shape>(
    low: Condition<Shape>, high: Condition<Shape>, inside: Condition<Shape>, on tape: Tape
  ) {
    tape.record(lowShare, low)
    tape.record(highShare, high)
    tape.record(clamped, .!inside)
  }
}

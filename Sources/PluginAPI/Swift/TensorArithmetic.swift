extension Tensor {
  private func unary(_ operation: Operation, _ a: Double = 0, _ b: Double = 0) -> Self {
    Self(tape, tape.unary(operation, index, a, b))
  }

  private func binary(_ operation: Operation, _ other: Self) -> Self {
    Self(tape, tape.binary(operation, index, other.tape, other.index))
  }

  public static func + (x: Self, y: Self) -> Self { x.binary(.addition, y) }
  public static func - (x: Self, y: Self) -> Self { x.binary(.subtraction, y) }
  public static func * (x: Self, y: Self) -> Self { x.binary(.multiplication, y) }
  public static func / (x: Self, y: Self) -> Self { x.binary(.division, y) }

  public static func + (x: Self, y: Double) -> Self { x.unary(.affine, 1, y) }
  public static func - (x: Self, y: Double) -> Self { x.unary(.affine, 1, -y) }
  public static func * (x: Self, y: Double) -> Self { x.unary(.affine, y) }
  public static func / (x: Self, y: Double) -> Self { x.unary(.part, y) }

  public static func + (x: Double, y: Self) -> Self { y.unary(.affine, 1, x) }
  public static func - (x: Double, y: Self) -> Self { y.unary(.affine, -1, x) }
  public static func * (x: Double, y: Self) -> Self { y.unary(.affine, x) }
  public static func / (x: Double, y: Self) -> Self { y.unary(.inverse, x) }

  public static prefix func - (x: Self) -> Self { x.unary(.affine, -1) }

  public static func += (x: inout Self, y: Self) { x = x + y }
  public static func -= (x: inout Self, y: Self) { x = x - y }
}

extension Tensor where Shape: ArrayShape {
  private func spread(_ scalar: Scalar) -> Self { Self(tape, tape.spread(scalar.tape, scalar.index, like: index)) }

  public static func + (x: Self, y: Scalar) -> Self { x + x.spread(y) }
  public static func - (x: Self, y: Scalar) -> Self { x - x.spread(y) }
  public static func * (x: Self, y: Scalar) -> Self { x * x.spread(y) }
  public static func / (x: Self, y: Scalar) -> Self { x / x.spread(y) }

  public static func + (x: Scalar, y: Self) -> Self { y.spread(x) + y }
  public static func - (x: Scalar, y: Self) -> Self { y.spread(x) - y }
  public static func * (x: Scalar, y: Self) -> Self { y.spread(x) * y }
  public static func / (x: Scalar, y: Self) -> Self { y.spread(x) / y }
}

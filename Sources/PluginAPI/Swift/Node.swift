/// One operation with its values.
struct Node {
  let operation: Operation
  var x = 0, y = 0, condition = 0
  var a = 0.0, b = 0.0
  var map = Map.all
  /// Which one the numbers are segments of; -1 where they are none.
  var segmentation = -1
  /// The inputs that it has a derivative by, and those of which a part was stopped.
  var follows: StoppedGradients = []
  var stops: StoppedGradients = []
  let value: Numbers
  var derivative: Numbers?

  init(_ operation: Operation, _ value: Numbers) { (self.operation, self.value) = (operation, value) }
}

enum Pass { case forward, backward }

/// Which of many numbers belong to which of fewer: all to one, tokens to their sequence, sequences to their segment.
enum Map {
  case all, sequences
  case segments(Int)
}

enum Comparison { case less, lessOrEqual, equal, and, or }

enum Operation {
  case constant
  case affine, part, inverse, exponential, logarithm, root, square, power, hyperbolicTangent, magnitude, clamp
  case addition, subtraction, multiplication, division, minimum, maximum
  case choice, sum, spread

  /// As the author wrote it.
  var name: StaticString {
    switch self {
    case .constant: "an input or a constant"
    case .affine: "+, - or * with a number"
    case .part, .inverse, .division: "/"
    case .exponential: "exp"
    case .logarithm: "log"
    case .root: "sqrt"
    case .square: "square"
    case .power: "pow"
    case .hyperbolicTangent: "tanh"
    case .magnitude: "abs"
    case .clamp: "clamp"
    case .addition: "+"
    case .subtraction: "-"
    case .multiplication: "*"
    case .minimum: "min"
    case .maximum: "max"
    case .choice: "choose"
    case .sum: "a sum"
    case .spread: "a spread"
    }
  }
}

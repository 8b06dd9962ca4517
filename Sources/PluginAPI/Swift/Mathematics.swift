internal import CPluginAPI

@inline(__always) public func exp(_ x: Double) -> Double { nr_exp(x) }
@inline(__always) public func log(_ x: Double) -> Double { nr_log(x) }
@inline(__always) public func pow(_ x: Double, _ y: Double) -> Double { nr_pow(x, y) }
@inline(__always) public func tanh(_ x: Double) -> Double { nr_tanh(x) }
@inline(__always) public func sqrt(_ x: Double) -> Double { x.squareRoot() }

/// A log-ratio held within ±20, so that its `exp` stays finite, and whether it was there already: beyond, its derivative
/// is zero.
@inline(__always) public func clamp(_ logRatio: Double) -> (value: Double, inside: Bool) {
  (min(max(logRatio, -20), 20), logRatio >= -20 && logRatio <= 20)
}

/// Mean and standard deviation of some numbers.
public struct Moments {
  public let mean: Double
  /// With one degree of freedom removed; exactly 0 for one number and for equal ones.
  public let deviation: Double

  /// The numbers `value(element)`; of no elements both moments are 0.
  public init<Elements: Collection>(of elements: Elements, _ value: (Elements.Element) -> Double) {
    guard let first = elements.first.map(value) else {
      (mean, deviation) = (0, 0)
      return
    }
    if elements.allSatisfy({ value($0) == first }) {
      (mean, deviation) = (first, 0)
      return
    }
    let count = Double(elements.count)
    let mean = elements.reduce(0.0) { $0 + value($1) } / count
    let squares = elements.reduce(0.0) { $0 + (value($1) - mean) * (value($1) - mean) }
    (self.mean, deviation) = (mean, sqrt(squares / (count - 1)))
  }

  /// `(x - mean) / (deviation + epsilon)`, and 0 where the numbers do not differ.
  public func standardized(_ x: Double, _ epsilon: Double) -> Double {
    deviation > 0 ? (x - mean) / (deviation + epsilon) : 0
  }
}

/// The interval a number must lie in. Both ends are there for every option: no number from outside is without a limit.
struct Bounds<Number: Comparable & Sendable>: Sendable {
  let lower: Number
  let upper: Number
  /// Whether the lower end itself is outside.
  var isOpenBelow = false

  func contains(_ value: Number) -> Bool { (isOpenBelow ? value > lower : value >= lower) && value <= upper }

  /// ` from 0 to 1`, ` above 0 and at most 1`: what follows "a number" in a message.
  func clause(_ text: (Number) -> String) -> String {
    isOpenBelow ? " above \(text(lower)) and at most \(text(upper))" : " from \(text(lower)) to \(text(upper))"
  }
}

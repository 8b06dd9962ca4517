/// The interval a number must lie in; an absent end is unbounded.
struct Bounds<Number: Comparable & Sendable>: Sendable {
  var lower: Number?
  var upper: Number?
  /// Whether the lower end itself is outside.
  var isOpenBelow = false

  func contains(_ value: Number) -> Bool {
    if let lower, isOpenBelow ? value <= lower : value < lower { return false }
    if let upper, value > upper { return false }
    return true
  }

  /// ` of at least 1`, ` from 0 to 1`, ` above 0`: what follows "a number" in a message.
  func clause(_ text: (Number) -> String) -> String {
    switch (lower, upper) {
    case (nil, nil): ""
    case (let lower?, nil): isOpenBelow ? " above \(text(lower))" : " of at least \(text(lower))"
    case (nil, let upper?): " of at most \(text(upper))"
    case (let lower?, let upper?):
      isOpenBelow ? " above \(text(lower)) and at most \(text(upper))" : " from \(text(lower)) to \(text(upper))"
    }
  }
}

/// A condition on several options at once.
package enum OptionRule: Sendable {
  case exactlyOne([String])
  case atMostOne([String])

  var names: [String] {
    switch self {
    case .exactlyOne(let names), .atMostOne(let names): names
    }
  }
}

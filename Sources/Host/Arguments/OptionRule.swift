/// A condition on several options at once.
package enum OptionRule: Sendable {
  case exactlyOne([String])
  case atMostOne([String])
  /// Options that would be given in vain where the condition holds, and are refused there: an option never does nothing without a
  /// word. What a configuration file says counts only where it is not the default, so that a file of all settings of a run serves
  /// again.
  case inVain([String], Condition, because: String)

  /// What the other option is.
  package enum Condition: Sendable {
    case given(String)
    case missing(String)
    /// It has this value, given or by default. An option that has its default beside it asks for nothing, and passes.
    case value(String, ArgumentValue)

    var name: String {
      switch self {
      case .given(let name), .missing(let name), .value(let name, _): name
      }
    }
  }

  var names: [String] {
    switch self {
    case .exactlyOne(let names), .atMostOne(let names): names
    case .inVain(let names, let condition, _): names + [condition.name]
    }
  }
}

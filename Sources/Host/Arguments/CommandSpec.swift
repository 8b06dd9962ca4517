import Support

/// The declaration of one command: what it is called, what it is for, what it takes.
package struct CommandSpec: Sendable {
  package let name: String
  package let summary: String
  package let discussion: String
  package let examples: [String]
  package let options: [OptionSpec]
  package let rules: [OptionRule]

  package init(
    name: String, summary: String, discussion: String = "", examples: [String] = [], options: [OptionSpec],
    rules: [OptionRule] = []
  ) {
    self.name = name
    self.summary = summary
    self.discussion = discussion
    self.examples = examples
    self.options = options
    self.rules = rules
  }

  var positionals: [OptionSpec] { options.filter(\.isPositional) }

  func option(_ name: String) -> OptionSpec? { options.first { $0.name == name } }
}

extension CommandSpec {
  /// What is wrong with the declaration itself; empty in a program whose tests pass.
  package var problems: [String] {
    var problems: [String] = []
    func complain(_ option: OptionSpec, _ what: String) { problems.append("\(name): \(option.label): \(what)") }
    if name.isEmpty || summary.isEmpty { problems.append("\(name): needs a name and a summary") }

    var seen: Set<String> = ["help"]
    var mayFollow = true
    for option in options {
      if !seen.insert(option.name).inserted { complain(option, "is declared twice or reserved") }
      if !Self.isKebabCase(option.name) { complain(option, "a name is lower-case words joined by -") }
      if option.help.isEmpty { complain(option, "needs help") }
      if case .optional(let value?) = option.occurrence, option.kind.value(ofDefault: value) == nil {
        complain(option, "the default \"\(value.text)\" is not \(option.kind.expectation)")
      }
      if case .choice(let names) = option.kind.form, names.isEmpty { complain(option, "has no choices") }
      if option.isPositional {
        if option.kind.isFlag { complain(option, "a flag has no position") }
        if !mayFollow { complain(option, "stands behind a repeated argument") }
        if option.isRepeated { mayFollow = false }
      }
    }
    for rule in rules {
      for other in rule.names where option(other) == nil {
        problems.append("\(name): a rule names --\(other), unknown")
      }
    }
    return problems
  }

  /// A parse result with a legal value for every option, required or not: a test hands it to the code that reads the
  /// command's options, and a misspelt name there comes out as an internal error.
  package func sample() -> ParsedArguments {
    var settings: [String: ParsedArguments.Setting] = [:]
    for option in options {
      settings[option.name] = .init(values: [option.defaultValue ?? option.kind.sample], source: .commandLine)
    }
    return ParsedArguments(command: name, spec: self, settings: settings)
  }

  private static func isKebabCase(_ name: String) -> Bool {
    !name.isEmpty && name.first != "-" && name.last != "-"
      && name.utf8.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2D }
  }
}

import Support

/// Reads the words after a command's name by the command's declaration.
struct ArgumentParser {
  let spec: CommandSpec
  /// The command as the user types it, `nano-reasoner plugin check`.
  let invocation: String
  /// The command without the program's name, `plugin check`.
  let command: String

  /// Whether the words ask for help, which then wins over whatever is wrong with the rest.
  static func asksForHelp(_ words: [String]) -> Bool {
    words.prefix { $0 != "--" }.contains { $0 == "--help" || $0 == "-h" }
  }

  /// The values by precedence: command line, configuration file, default.
  func parse(_ words: [String]) throws(Failure) -> ParsedArguments {
    let typed = try commandLine(words)
    var configured: [String: [ArgumentValue]] = [:]
    if let option = spec.options.first(where: \.kind.isConfiguration), let path = typed[option.name]?.first?.text {
      configured = try ConfigurationFile(path: path, spec: spec).values()
    }
    try checkRules(typed, configured)

    var settings: [String: ParsedArguments.Setting] = [:]
    for option in spec.options {
      if let values = merged(option, typed[option.name], configured[option.name]) {
        settings[option.name] = .init(values: values, source: typed[option.name] == nil ? .configuration : .commandLine)
      } else if let value = option.defaultValue {
        settings[option.name] = .init(values: [value], source: .default)
      }
    }
    let missing = spec.options.filter { (settings[$0.name]?.values.count ?? 0) < $0.minimum }
    if !missing.isEmpty {
      throw .usage("missing \(Self.sentence(missing.map(\.form), "and")); \(invocation) --help tells more")
    }
    try checkEffect(settings)
    return ParsedArguments(command: command, spec: spec, settings: settings)
  }

  private func commandLine(_ words: [String]) throws(Failure) -> [String: [ArgumentValue]] {
    var values: [String: [ArgumentValue]] = [:]
    var places = spec.positionals[...]
    var optionsEnded = false
    var index = 0
    while index < words.count {
      let word = words[index]
      index += 1
      if !optionsEnded, word == "--" {
        optionsEnded = true
      } else if !optionsEnded, Self.looksLikeOption(word) {
        let (option, attached) = try option(of: word)
        var text = attached
        if text == nil, option.kind.isFlag { text = "true" }
        if text == nil, index < words.count, !Self.beginsOption(words[index]) {
          text = words[index]
          index += 1
        }
        guard let text else {
          let hint = hint(words[index...].first, option)
          throw .usage("--\(option.name): expected \(option.kind.expectation), found nothing\(hint)")
        }
        try add(text, to: option, &values)
      } else {
        guard let option = places.first else {
          throw .usage("unexpected argument \"\(word)\"; \(invocation) --help tells more")
        }
        try add(word, to: option, &values)
        if !option.isRepeated { places.removeFirst() }
      }
    }
    return values
  }

  private func option(of word: String) throws(Failure) -> (OptionSpec, attached: String?) {
    let mark = word.firstIndex(of: "=")
    let name = String(word[..<(mark ?? word.endIndex)])
    if name.hasPrefix("--"), let option = spec.option(String(name.dropFirst(2))), !option.isPositional {
      return (option, mark.map { String(word[word.index(after: $0)...]) })
    }
    let bare = String(name.drop { $0 == "-" }.map { $0 == "_" ? "-" : Character($0.lowercased()) })
    let known = spec.options.filter { !$0.isPositional }.map(\.name)
    let nearest = FieldNames.option(bare, among: known) ?? NearestName.find(bare, among: known + ["help"])
    guard let option = (nearest ?? FieldNames.nearestOption(bare, among: known)) else {
      throw .usage("unknown option \(name); \(invocation) --help lists the options")
    }
    let isAssigned = spec.option(option)?.kind.isAssignment == true && option != bare
    let form = isAssigned ? " \(String(bare.map { $0 == "-" ? "_" : $0 }))=VALUE" : ""
    throw .usage("unknown option \(name); did you mean --\(option)\(form)?")
  }

  private func add(_ text: String, to option: OptionSpec, _ values: inout [String: [ArgumentValue]]) throws(Failure) {
    guard let value = option.kind.value(of: text) else {
      throw .usage("\(option.label): expected \(option.kind.expectation), found \"\(text)\"")
    }
    let earlier = values[option.name] ?? []
    if !option.isRepeated, let first = earlier.first {
      throw .usage("\(option.label) is given twice, \"\(first.text)\" and \"\(value.text)\"; it takes one value")
    }
    if case .assignment(let assignment) = value, earlier.contains(where: { $0.key == assignment.key }) {
      throw .usage("\(option.label) gives \"\(assignment.key)\" twice")
    }
    values[option.name] = earlier + [value]
  }

  /// Command line over configuration; of `key=value` options, key by key.
  private func merged(
    _ option: OptionSpec, _ typed: [ArgumentValue]?, _ configured: [ArgumentValue]?
  ) -> [ArgumentValue]? {
    guard option.kind.isAssignment, let typed, let configured else { return typed ?? configured }
    let keys = typed.map(\.key)
    return configured.filter { !keys.contains($0.key) } + typed
  }

  /// Refuses options that would do nothing.
  private func checkEffect(_ settings: [String: ParsedArguments.Setting]) throws(Failure) {
    func isGiven(_ name: String) -> Bool {
      guard let setting = settings[name] else { return false }
      return setting.source != .default && isSet(setting.values)
    }
    for case .inVain(let names, let condition, let reason) in spec.rules {
      guard let other = spec.option(condition.name) else { continue }
      let holds: Bool
      let place: String
      switch condition {
      case .given(let name): (holds, place) = (isGiven(name), "beside \(other.label)")
      case .missing(let name): (holds, place) = (!isGiven(name), "without \(other.form)")
      case .value(let name, let value):
        let value = other.kind.value(ofDefault: value) ?? value
        (holds, place) = (settings[name]?.values == [value], "with \(other.label) \(value.text)")
      }
      guard holds else { continue }
      for name in names where isGiven(name) {
        guard let option = spec.option(name), let setting = settings[name] else { continue }
        let isDefault = option.defaultValue.map { setting.values == [$0] } ?? false
        if isDefault, setting.source == .configuration { continue }
        if isDefault, case .value = condition { continue }
        throw .usage("\(option.label) does nothing \(place): \(reason)")
      }
    }
  }

  private func checkRules(
    _ typed: [String: [ArgumentValue]], _ configured: [String: [ArgumentValue]]
  ) throws(Failure) {
    for rule in spec.rules {
      if case .inVain = rule { continue }
      let options = rule.names.compactMap(spec.option)
      let given = options.filter { isSet(typed[$0.name]) || isSet(configured[$0.name]) }
      if given.count > 1 {
        throw .usage("\(Self.sentence(given.map(\.label), "and")) exclude each other; give one of them")
      }
      if case .exactlyOne = rule, given.isEmpty {
        throw .usage("missing \(Self.sentence(options.map(\.form), "or")); \(invocation) --help tells more")
      }
    }
  }

  /// Whether a value stands there that says more than a flag turned off.
  private func isSet(_ values: [ArgumentValue]?) -> Bool { values != nil && values != [.flag(false)] }

  private func hint(_ next: String?, _ option: OptionSpec) -> String {
    guard let next else { return "" }
    return " before \(next); a value that begins with -- is given as --\(option.name)=VALUE"
  }

  /// `-x`, but neither `-` nor a negative number.
  private static func looksLikeOption(_ word: String) -> Bool {
    guard word.count > 1, word.hasPrefix("-") else { return false }
    return Double(word) == nil
  }

  /// Whether a word can only be the next option, not a value: it begins with two dashes.
  private static func beginsOption(_ word: String) -> Bool { word.hasPrefix("--") }

  static func sentence(_ parts: [String], _ conjunction: String) -> String {
    guard parts.count > 1 else { return parts.joined() }
    return parts.dropLast().joined(separator: ", ") + " \(conjunction) " + parts[parts.count - 1]
  }
}

extension ArgumentValue {
  fileprivate var key: String? { if case .assignment(let assignment) = self { assignment.key } else { nil } }
}

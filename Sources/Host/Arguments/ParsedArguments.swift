import Support

/// The checked values of a command's options.
///
/// A reader that asks for a name the command did not declare, or with another type, gets an internal error: a mistake of
/// the program, which `CommandSpec.sample()` lets a test find.
package struct ParsedArguments: Sendable {
  package enum Source: String, Sendable {
    case commandLine = "command line"
    case configuration = "configuration file"
    case `default` = "default"
  }

  struct Setting: Sendable {
    var values: [ArgumentValue]
    var source: Source
  }

  /// The command's full name, such as `plugin check`.
  package let command: String
  let spec: CommandSpec
  let settings: [String: Setting]

  /// Whether the command has the option at all, for code that serves several commands.
  package func declares(_ name: String) -> Bool { spec.option(name) != nil }

  /// Where the value comes from; nil where there is none.
  package func source(_ name: String) throws(Failure) -> Source? {
    _ = try option(name)
    return settings[name]?.source
  }

  /// Whether the user gave the option, on the command line or in a configuration file.
  package func isGiven(_ name: String) throws(Failure) -> Bool {
    guard let source = try source(name) else { return false }
    return source != .default
  }

  /// Whether the user asks for the value: what a configuration file gives counts where it is not the default, so that the settings of
  /// a run, defaults and all, serve as one.
  package func isMeant(_ name: String) throws(Failure) -> Bool {
    guard let setting = settings[name], try isGiven(name) else { return false }
    return setting.source == .commandLine || setting.values != [spec.option(name)?.defaultValue].compactMap { $0 }
  }

  /// The options the user gave, on the command line or in a configuration file.
  package var given: [String] {
    spec.options.map(\.name).filter { name in settings[name].map { $0.source != .default } ?? false }
  }

  package func integer(_ name: String) throws(Failure) -> Int { try present(optionalInteger(name), name) }
  package func number(_ name: String) throws(Failure) -> Double { try present(optionalNumber(name), name) }
  /// The value of a text, path, choice or checked option.
  package func text(_ name: String) throws(Failure) -> String { try present(optionalText(name), name) }

  /// Nil where the option was not given and has no default; so for the other `optional…` readers.
  package func optionalInteger(_ name: String) throws(Failure) -> Int? {
    guard let value = try single(name) else { return nil }
    guard case .integer(let integer) = value else { throw misread(name, as: "a whole number") }
    return integer
  }

  package func optionalNumber(_ name: String) throws(Failure) -> Double? {
    guard let value = try single(name) else { return nil }
    guard case .number(let number) = value else { throw misread(name, as: "a number") }
    return number
  }

  package func optionalText(_ name: String) throws(Failure) -> String? {
    guard let value = try single(name) else { return nil }
    guard case .text(let text) = value else { throw misread(name, as: "text") }
    return text
  }

  package func flag(_ name: String) throws(Failure) -> Bool {
    guard case .flag(let value)? = try single(name) else { throw misread(name, as: "a flag") }
    return value
  }

  /// The case of an enumeration whose raw values are the option's choices.
  package func choice<Choice: RawRepresentable<String>>(_ name: String) throws(Failure) -> Choice {
    guard let choice = Choice(rawValue: try text(name)) else { throw misread(name, as: "\(Choice.self)") }
    return choice
  }

  /// All values of a list or repeated text option; empty where there is none.
  package func list(_ name: String) throws(Failure) -> [String] {
    let option = try option(name)
    var texts: [String] = []
    for value in settings[name]?.values ?? [] {
      switch value {
      case .list(let names): texts += names
      case .text(let text) where option.isRepeated: texts.append(text)
      default: throw misread(name, as: "a list")
      }
    }
    return texts
  }

  /// All `key=value` pairs of an option, in order, each key once.
  package func assignments(_ name: String) throws(Failure) -> [Assignment] {
    _ = try option(name)
    var assignments: [Assignment] = []
    for value in settings[name]?.values ?? [] {
      guard case .assignment(let assignment) = value else { throw misread(name, as: "key=value pairs") }
      assignments.append(assignment)
    }
    return assignments
  }

  /// Every option with its effective value, null where it has none; a file of it serves as `--config` again. The name of
  /// a configuration file is left out, as its values are already here.
  package var json: JSON {
    var object = JSON.Object()
    for option in spec.options where !option.kind.isConfiguration {
      let values = settings[option.name]?.values ?? []
      if option.kind.isAssignment {
        var pairs = JSON.Object()
        for case .assignment(let assignment) in values { pairs[assignment.key] = .string(assignment.value) }
        object[option.name] = .object(pairs)
      } else if option.isRepeated {
        object[option.name] = .array(values.map(\.json))
      } else {
        object[option.name] = values.first?.json ?? .null
      }
    }
    return .object(object)
  }
}

extension ParsedArguments {
  private func option(_ name: String) throws(Failure) -> OptionSpec {
    guard let option = spec.option(name) else {
      throw .internalError("\(command): the program asks for an option '\(name)' that the command does not declare")
    }
    return option
  }

  private func single(_ name: String) throws(Failure) -> ArgumentValue? {
    if try option(name).isRepeated { throw misread(name, as: "a single value") }
    return settings[name]?.values.first
  }

  private func present<Value>(_ value: Value?, _ name: String) throws(Failure) -> Value {
    guard let value else {
      throw .internalError("\(command): the program takes for granted the option '\(name)', which may be absent")
    }
    return value
  }

  private func misread(_ name: String, as type: String) -> Failure {
    .internalError("\(command): the program reads the option '\(name)' as \(type), which it is not")
  }
}

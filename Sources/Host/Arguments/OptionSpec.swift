import Support

/// The declaration of one option, flag or positional argument.
package struct OptionSpec: Sendable {
  enum Occurrence: Sendable, Equatable {
    case required
    /// At most once; nil where it is not given and has no default.
    case optional(default: ArgumentValue?)
    /// Any number of times from `minimum` on.
    case repeated(minimum: Int)
  }

  package let name: String
  let kind: ValueKind
  let occurrence: Occurrence
  let help: String
  let group: OptionGroup
  let placeholder: String
  let isPositional: Bool

  private init(
    _ name: String, _ kind: ValueKind, _ occurrence: Occurrence, _ help: String, _ group: OptionGroup?,
    _ placeholder: String?, isPositional: Bool = false
  ) {
    self.name = name
    self.kind = kind
    self.occurrence = occurrence
    self.help = help
    self.group = group ?? (isPositional ? .arguments : .other)
    self.placeholder = placeholder ?? (isPositional ? name.uppercased() : kind.placeholder)
    self.isPositional = isPositional
  }

  /// `--name value`, without which the command does not run.
  package static func required(
    _ name: String, _ kind: ValueKind, _ help: String, group: OptionGroup? = nil, placeholder: String? = nil
  ) -> OptionSpec {
    OptionSpec(name, kind, .required, help, group, placeholder)
  }

  /// `--name value`, which may be left out.
  package static func value(
    _ name: String, _ kind: ValueKind, default value: ArgumentValue? = nil, _ help: String, group: OptionGroup? = nil,
    placeholder: String? = nil
  ) -> OptionSpec {
    OptionSpec(name, kind, .optional(default: value), help, group, placeholder)
  }

  /// `--name`, off unless given; `--name=false` takes back what a configuration file says.
  package static func flag(_ name: String, _ help: String, group: OptionGroup? = nil) -> OptionSpec {
    OptionSpec(name, .flag, .optional(default: .flag(false)), help, group, nil)
  }

  /// `--name value`, as often as there are values.
  package static func repeated(
    _ name: String, _ kind: ValueKind, _ help: String, group: OptionGroup? = nil, placeholder: String? = nil
  ) -> OptionSpec {
    OptionSpec(name, kind, .repeated(minimum: 0), help, group, placeholder)
  }

  /// An argument by position, without which the command does not run.
  package static func positional(
    _ name: String, _ kind: ValueKind, _ help: String, placeholder: String? = nil
  ) -> OptionSpec {
    OptionSpec(name, kind, .required, help, nil, placeholder, isPositional: true)
  }

  /// An argument by position that may be left out.
  package static func optionalPositional(
    _ name: String, _ kind: ValueKind, default value: ArgumentValue? = nil, _ help: String, placeholder: String? = nil
  ) -> OptionSpec {
    OptionSpec(name, kind, .optional(default: value), help, nil, placeholder, isPositional: true)
  }

  /// The last arguments, at least `minimum` of them.
  package static func positionals(
    _ name: String, _ kind: ValueKind, minimum: Int = 1, _ help: String, placeholder: String? = nil
  ) -> OptionSpec {
    OptionSpec(name, kind, .repeated(minimum: minimum), help, nil, placeholder, isPositional: true)
  }

  /// `--config FILE.json`: a file whose keys are the command's option names; the command line wins over it.
  package static let config = value(
    "config", .configuration, "read options from a JSON file; what stands on the command line wins", group: .other)
}

extension OptionSpec {
  /// The same, which may be left out.
  package var optional: OptionSpec {
    occurrence == .required ? OptionSpec(name, kind, .optional(default: nil), help, group, placeholder, isPositional: isPositional) : self
  }

  var isRepeated: Bool { if case .repeated = occurrence { true } else { false } }

  var minimum: Int {
    switch occurrence {
    case .required: 1
    case .optional: 0
    case .repeated(let minimum): minimum
    }
  }

  var defaultValue: ArgumentValue? {
    if case .optional(let value?) = occurrence { kind.value(ofDefault: value) } else { nil }
  }

  /// How a message calls it: `--limit` or `NAME`.
  var label: String { isPositional ? placeholder : "--\(name)" }

  /// `--limit N`: how usage and help show it.
  var form: String {
    isPositional ? placeholder : kind.isFlag ? label : "\(label) \(placeholder)"
  }
}

import Support

/// Help as text of at most ``width`` columns, made from the declarations.
enum HelpText {
  static let width = 100
  private static let longestForm = 34

  /// The help of one command.
  static func command(_ spec: CommandSpec, invocation: String) -> String {
    var lines = wrap(spec.summary)
    lines += [""] + usage(spec, invocation: invocation)
    if !spec.discussion.isEmpty {
      for paragraph in spec.discussion.split(separator: "\n") { lines += [""] + wrap(String(paragraph)) }
    }
    var groups: [(title: String, rows: [(String, String)])] = []
    func add(_ form: String, _ help: String, to group: OptionGroup) {
      let index = groups.firstIndex { $0.title == group.title }
      if let index { groups[index].rows.append((form, help)) } else { groups.append((group.title, [(form, help)])) }
    }
    let ordered = spec.positionals + spec.options.filter { !$0.isPositional && $0.group != .other }
    for option in ordered + spec.options.filter({ !$0.isPositional && $0.group == .other }) {
      add(option.form, description(option), to: option.group)
    }
    add("-h, --help", "show this help", to: .other)
    let column = self.column(groups.flatMap { $0.rows.map(\.0) })
    for group in groups { lines += ["", "\(group.title):"] + table(group.rows, column: column) }
    if !spec.examples.isEmpty {
      lines += ["", spec.examples.count == 1 ? "Example:" : "Examples:"] + spec.examples.map { "  \($0)" }
    }
    return lines.joined(separator: "\n") + "\n"
  }

  /// The help of the program or of a group of commands: the commands and what each is for.
  static func commands(_ summary: String, invocation: String, _ commands: [(name: String, summary: String)]) -> String {
    var lines = wrap(summary)
    lines += ["", "Usage: \(invocation) COMMAND [options]", "", "Commands:"]
    lines += table(commands.map { ($0.name, $0.summary) }, column: column(commands.map(\.name)))
    lines += ["", "\(invocation) COMMAND --help tells what a command takes."]
    return lines.joined(separator: "\n") + "\n"
  }

  private static func usage(_ spec: CommandSpec, invocation: String) -> [String] {
    var parts: [String] = []
    var ruled: Set<String> = []
    for case .exactlyOne(let names) in spec.rules {
      let options = names.compactMap(spec.option)
      parts.append("(" + options.map(\.form).joined(separator: " | ") + ")")
      ruled.formUnion(names)
    }
    let required = spec.options.filter { !$0.isPositional && $0.occurrence == .required && !ruled.contains($0.name) }
    parts = required.map(\.form) + parts + ["[options]"]
    for option in spec.positionals where !ruled.contains(option.name) {
      let form = option.form + (option.isRepeated ? "..." : "")
      parts.append(option.minimum == 0 ? "[\(form)]" : form)
    }
    let head = "Usage: \(invocation)"
    return fill(parts, head: head, indent: String(repeating: " ", count: min(head.count + 1, 24)))
  }

  private static func description(_ option: OptionSpec) -> String {
    let note: String? =
      switch option.occurrence {
      case .required: option.isPositional ? nil : "required"
      case .optional: option.kind.isFlag ? nil : option.defaultValue.map { "default: \($0.text)" }
      case .repeated: option.isPositional ? nil : "may be repeated"
      }
    return option.help + (note.map { " (\($0))" } ?? "")
  }

  private static func column(_ forms: [String]) -> Int {
    2 + min(longestForm, forms.map(\.count).max() ?? 0) + 2
  }

  private static func table(_ rows: [(String, String)], column: Int) -> [String] {
    var lines: [String] = []
    for (form, help) in rows {
      let texts = wrap(help, width: width - column)
      let indent = String(repeating: " ", count: column)
      var head = "  \(form)"
      if head.count + 2 > column {
        lines.append(head)
        head = indent
      }
      lines.append(head + indent.dropFirst(head.count) + (texts.first ?? ""))
      lines += texts.dropFirst().map { indent + $0 }
    }
    return lines
  }

  private static func wrap(_ text: String, width: Int = Self.width) -> [String] {
    var lines: [String] = []
    for word in text.split(separator: " ") {
      if let last = lines.last, last.count + 1 + word.count <= width {
        lines[lines.count - 1] = "\(last) \(word)"
      } else {
        lines.append(String(word))
      }
    }
    return lines
  }

  /// Parts that must not be broken, behind a head and under an indent.
  private static func fill(_ parts: [String], head: String, indent: String) -> [String] {
    var lines = [head]
    for part in parts {
      let last = lines[lines.count - 1]
      if last.count + 1 + part.count <= width {
        lines[lines.count - 1] = "\(last) \(part)"
      } else {
        lines.append(indent + part)
      }
    }
    return lines
  }
}

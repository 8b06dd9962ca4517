import Support

/// A command of the program: its declaration and the code behind it, or a group of commands such as `plugin`.
package struct Command: Sendable {
  package typealias Body = @Sendable (ParsedArguments) throws(Failure) -> Void

  enum Content: Sendable {
    case single(CommandSpec, Body)
    case group([Command])
  }

  package let name: String
  package let summary: String
  let content: Content

  package init(_ spec: CommandSpec, run body: @escaping Body) {
    name = spec.name
    summary = spec.summary
    content = .single(spec, body)
  }

  /// Commands under a common first word: `plugin list`, `plugin check`.
  package static func group(_ name: String, _ summary: String, _ commands: [Command]) -> Command {
    Command(name: name, summary: summary, content: .group(commands))
  }

  private init(name: String, summary: String, content: Content) {
    self.name = name
    self.summary = summary
    self.content = content
  }

  /// All declarations below, for tests that walk them.
  package var specs: [CommandSpec] {
    switch content {
    case .single(let spec, _): [spec]
    case .group(let commands): commands.flatMap(\.specs)
    }
  }
}

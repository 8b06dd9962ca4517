import Support

/// The program as the command line sees it: finds the command, reads its arguments, runs it, reports its failure.
package struct Program: Sendable {
  /// What a command line asks for.
  package enum Request: Sendable {
    case show(String)
    case run(ParsedArguments, Command.Body)
  }

  package let name: String
  package let version: String
  package let summary: String
  package let commands: [Command]

  package init(name: String, version: String, summary: String, commands: [Command]) {
    self.name = name
    self.version = version
    self.summary = summary
    self.commands = commands
  }

  package var specs: [CommandSpec] { commands.flatMap(\.specs) }

  /// What is wrong with the declarations; empty in a program whose tests pass.
  package var problems: [String] { specs.flatMap(\.problems) + Self.duplicates(commands) }

  /// Runs the words after the program's name; help goes to standard output, a failure as one line to standard error.
  package func main(_ words: [String]) -> ExitCode {
    do throws(Failure) {
      if words.isEmpty {
        say(help)
        return .usage
      }
      switch try request(words) {
      case .show(let text): try AtomicFile.write(Array(text.utf8), descriptor: STDOUT_FILENO, name: AtomicFile.standardOutput)
      case .run(let arguments, let body): try body(arguments)
      }
      return .success
    } catch {
      // Whoever read standard output has seen enough: `inspect RUN | head`.
      if error != .readerGone { say("\(name): \(OneLine.text(error.message))\n") }
      return error.code
    }
  }

  package var help: String {
    HelpText.commands(summary, invocation: name, commands.map { ($0.name, $0.summary) })
  }

  /// Reads a command line without running anything.
  package func request(_ words: [String]) throws(Failure) -> Request {
    if words == ["--version"] || words == ["version"] { return .show("\(name) \(version)\n") }
    if words.first == "help" { return try request(words.dropFirst() + ["--help"]) }
    return try request(words[...], commands, path: [name], help: help)
  }

  private func request(
    _ words: ArraySlice<String>, _ commands: [Command], path: [String], help: String
  ) throws(Failure) -> Request {
    let invocation = path.joined(separator: " ")
    guard let word = words.first else {
      throw .usage("\(invocation): expected one of \(ArgumentParser.sentence(commands.map(\.name), "and"))")
    }
    if word == "--help" || word == "-h" { return .show(help) }
    if word.hasPrefix("-") { throw .usage("expected a command, found \(word); options stand behind the command") }
    guard let command = commands.first(where: { $0.name == word }) else {
      let nearest = NearestName.find(word, among: commands.map(\.name))
      let advice = (nearest ?? FieldNames.command(word, among: commands.map(\.name))).map { "did you mean \($0)?" }
        ?? "\(invocation) --help lists the commands"
      throw .usage("unknown command \((path.dropFirst() + [word]).joined(separator: " ")); \(advice)")
    }
    let path = path + [command.name]
    let rest = words.dropFirst()
    switch command.content {
    case .group(let commands):
      let help = HelpText.commands(
        command.summary, invocation: path.joined(separator: " "), commands.map { ($0.name, $0.summary) })
      return try request(rest, commands, path: path, help: help)
    case .single(let spec, let body):
      let invocation = path.joined(separator: " ")
      if ArgumentParser.asksForHelp(Array(rest)) { return .show(HelpText.command(spec, invocation: invocation)) }
      let parser = ArgumentParser(
        spec: spec, invocation: invocation, command: path.dropFirst().joined(separator: " "))
      do throws(Failure) {
        return .run(try parser.parse(Array(rest)), body)
      } catch {
        throw Failure(error.code, "\(parser.command): \(error.message)")
      }
    }
  }

  private static func duplicates(_ commands: [Command]) -> [String] {
    var seen: Set<String> = []
    var problems: [String] = []
    for command in commands {
      if !seen.insert(command.name).inserted { problems.append("\(command.name): is declared twice") }
      if case .group(let inner) = command.content { problems += duplicates(inner) }
    }
    return problems
  }

  /// Says something on standard error; where that is closed there is nobody to tell.
  private func say(_ text: String) {
    try? AtomicFile.write(Array(text.utf8), descriptor: STDERR_FILENO, name: "standard error")
  }
}

import Support
import Tokenization

/// What `--reward` asks for: the parts of a run's reward, and who grades its answers.
package struct RewardPlan: Sendable {
  package let entries: [RewardEntry]
  /// What one question to a function or a program may take, in seconds.
  package var seconds = Self.usualSeconds
  package static let usualSeconds = 30.0

  /// The boxed answer alone.
  package init() { entries = [RewardEntry(.answer(.numeric))] }

  /// - Parameter texts: the values of the option; none is the boxed answer.
  package init(_ texts: [String]) throws(Failure) {
    var entries: [RewardEntry] = []
    for text in texts { entries += try RewardEntry.read(text) }
    if entries.isEmpty { entries = [RewardEntry(.answer(.numeric))] }
    for (index, entry) in entries.enumerated() where entries[..<index].contains(where: { $0.source == entry.source }) {
      throw .usage("--reward \(entry.text): is given twice; give it once, with the sum of the weights")
    }
    self.entries = entries
  }

  private var graders: [Verifier.Mode] { entries.compactMap { if case .answer(let mode) = $0.source { mode } else { nil } } }

  /// Who says which completions are correct, also where that is not rewarded: the first grader, or the rules of this program.
  package var grader: Verifier.Mode { graders.first ?? .numeric }

  /// The reward of one answer, 1 or 0, and nothing beside it.
  package var isAnswerAlone: Bool { entries.count == 1 && !graders.isEmpty && entries[0].weight == 1 }

  /// Whether functions or programs are told of the rows of the data.
  package var readsColumns: Bool {
    entries.contains { if case .python = $0.source { true } else if case .command = $0.source { true } else { false } }
  }

  /// What the run says of it.
  package var summary: String { OneLine.text(entries.map(\.summary).joined(separator: " + ")) }

  /// What of a run's identity it is. A single answer is what it always was.
  package func identity() throws(Failure) -> JSON.Object {
    if isAnswerAlone { return ["reward": .string(grader.rawValue)] }
    var identity: JSON.Object = ["reward": .array(entries.map { .string($0.text) })]
    var digests = JSON.Object()
    for entry in entries {
      if case .python(let path, _) = entry.source { digests[path] = .string(try Self.digest(of: path)) }
      // Of a command what can be seen: its program, where that is a file.
      if case .command(let line) = entry.source, let word = line.split(separator: " ").first.map(String.init), word.contains("/"),
        Files.exists(word), !Files.isDirectory(word)
      {
        digests[word] = .string(try SHA256.hex(file: word))
      }
    }
    if digests.count > 0 { identity["reward_sha256"] = .object(digests) }
    return identity
  }

  private static func digest(of path: String) throws(Failure) -> String {
    guard Files.exists(path), !Files.isDirectory(path) else { throw .missingInput("--reward \(path): no such file") }
    return try SHA256.hex(file: path)
  }

  /// The names of the parts: the run's answer is `correct` and nothing else is, of equal names the later ones are numbered.
  package var names: [String] {
    var names: [String] = []
    for entry in entries {
      if case .answer(let mode) = entry.source, mode == grader {
        names.append(Self.answer)
        continue
      }
      var (name, number) = (entry.name, 1)
      while names.contains(name) || name == Self.answer {
        number += 1
        name = "\(entry.name)-\(number)"
      }
      names.append(name)
    }
    return names
  }

  private static let answer = "correct"

  /// The reward of some questions; functions and programs are begun, and what is missing is said.
  ///
  /// - Parameters:
  ///   - form: of the prompts.
  ///   - limit: the longest completion, in tokens.
  package func reward(for set: PromptSet, form: PromptForm, limit: Int) throws(Failure) -> any RewardFunction {
    let golds = set.examples.map { $0.answer ?? "" }
    let verifier = try Verifier(ready: grader)
    if isAnswerAlone { return BoxedReward(golds: golds, verifier: verifier) }
    let rows = readsColumns ? RewardRows(set.examples) : RewardRows([])
    var parts: [WeightedReward.Part] = []
    for (name, entry) in zip(names, entries) {
      let score: (any RewardPart)?
      switch entry.source {
      case .answer(let mode): score = mode == grader ? nil : GradedPart(golds: golds, verifier: try Verifier(ready: mode))
      case .format: score = FormatPart(promptOpensThinking: form.opensThinking)
      case .length(let target): score = LengthPart(target: target, limit: limit)
      case .overlong(let buffer):
        if let buffer, buffer > limit { throw .usage("--reward \(entry.text): the buffer is longer than the longest completion, --max-new-tokens \(limit)") }
        score = OverlongPart(limit: limit, buffer: buffer ?? max(1, limit / 5))
      case .python(let path, let function):
        let dialect = PythonDialect(path: path, function: function, sha256: try Self.digest(of: path), columns: rows.names)
        score = try RewardProgram(name, dialect, rows: rows, seconds: seconds)
      case .command(let line): score = try RewardProgram(name, CommandDialect(line: line), rows: rows, seconds: seconds)
      }
      parts.append(WeightedReward.Part(name: name, weight: entry.weight, score: score))
    }
    return WeightedReward(entries.map(\.text).joined(separator: " "), parts, golds: golds, verifier: verifier)
  }
}

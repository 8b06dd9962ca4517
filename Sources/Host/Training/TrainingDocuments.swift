import Support
import Tasks
import Tokenization

/// How examples become training sequences.
package struct TrainingDocuments: Sendable {
  package enum LossOn: String, Sendable, CaseIterable {
    case all, completion
  }

  package var template = ChatTemplate()
  package var lossOn = LossOn.all
  /// Longer sequences are cut.
  package var maxLength = 2048

  package init() {}

  /// What the assistant writes after `<think>` for a worked example: reasoning, `</think>`, the boxed answer.
  package static func completion(solution: String?, answer: String) -> String {
    let reasoning = (solution ?? "").isEmpty ? "" : solution! + "\n"
    return "\(reasoning)\(ChatTemplate.thinkingEnd)\n\\boxed{\(answer)}"
  }

  /// What the assistant writes for an example; nil where there is nothing to learn.
  ///
  /// A solution that closes its own thinking is taken as it is written: the prompt has opened `<think>`, so one in front goes, and
  /// `</think>` and the boxed answer are never doubled. In a turn that somebody wrote without thinking, `</think>` comes before the
  /// line with the box; a completion of this program is left to the letter.
  package static func completion(_ example: Example) -> String? {
    var solution = example.solution
    if let solution, case .sample = example.origin { return solution }
    if var written = solution {
      let trimmed = String(written.reversed().drop { $0.isWhitespace }.reversed())
      if trimmed.hasSuffix(ChatTemplate.end) { written = String(trimmed.dropLast(ChatTemplate.end.count)) }
      let start = written.drop { $0.isWhitespace }
      if start.hasPrefix(ChatTemplate.thinking) {
        written = String(start.dropFirst(ChatTemplate.thinking.count))
        if written.hasPrefix("\n") { written.removeFirst() }
      }
      if let close = written.range(of: ChatTemplate.thinkingEnd) {
        let hasBox = AnswerExtraction.hasBoxed(String(written[close.upperBound...]))
        guard !hasBox, let answer = example.answer else { return written }
        return "\(written)\(written.hasSuffix("\n") ? "" : "\n")\\boxed{\(answer)}"
      }
      if example.origin == .turn, let place = AnswerExtraction.startOfBoxedLine(written) {
        let bytes = Array(written.utf8)
        return String(decoding: bytes[..<place] + Array("\(ChatTemplate.thinkingEnd)\n".utf8) + bytes[place...], as: UTF8.self)
      }
      solution = written
    }
    if let answer = example.answer { return completion(solution: solution, answer: answer) }
    return solution
  }

  /// A raw text is taken as it is; a question with an answer becomes a dialogue.
  package func sequence(_ example: Example, _ tokenizer: Tokenizer) -> TrainingSequence? {
    if let text = example.text { return cut(TrainingSequence(tokens: tokenizer.encode(text))) }
    guard let completion = Self.completion(example) else { return nil }
    let prompt = tokenizer.encode(example.prompt(template))
    let rest = tokenizer.encode(template.completion(marked: completion, isEnded: example.origin != .sample(isTruncated: true)))
    return cut(TrainingSequence(tokens: prompt + rest, lossStart: lossOn == .all ? 1 : prompt.count))
  }

  private func cut(_ sequence: TrainingSequence) -> TrainingSequence {
    guard sequence.tokens.count > maxLength else { return sequence }
    return TrainingSequence(tokens: Array(sequence.tokens.prefix(maxLength)), lossStart: sequence.lossStart, isCut: true)
  }

  /// What cutting to `maxLength` and the choice of tokens that are learned left of the examples.
  package struct Report: Sendable, Equatable {
    /// Lines (or numbers) of sequences that were longer and were cut.
    package var cut: [Int] = []
    /// Lines of sequences without a token to learn.
    package var empty: [Int] = []
    /// Lines whose solution boxes another answer than their gold one.
    package var differing: [Int] = []

    package init() {}
  }

  /// All examples in order. One that has nothing to learn from is an error that names it.
  package func sequences(
    _ examples: [Example], _ tokenizer: Tokenizer, name: String, progress: (Int, Int) -> Void = { _, _ in }
  ) throws(Failure) -> [TrainingSequence] {
    var report = Report()
    return try sequences(examples, tokenizer, name: name, report: &report, progress: progress)
  }

  package func sequences(
    _ examples: [Example], _ tokenizer: Tokenizer, name: String, report: inout Report,
    progress: (Int, Int) -> Void = { _, _ in }
  ) throws(Failure) -> [TrainingSequence] {
    var sequences: [TrainingSequence] = []
    for (number, example) in examples.enumerated() {
      progress(number + 1, examples.count)
      guard let sequence = sequence(example, tokenizer) else {
        throw .badData("\(name): \(example.place(or: number + 1)) has a question but neither an answer nor a solution to learn")
      }
      let place = example.source.line ?? number + 1
      if sequence.isCut { report.cut.append(place) }
      if sequence.predictedCount == 0 { report.empty.append(place) }
      if let answer = example.answer, let boxed = example.solution.flatMap({ AnswerExtraction.boxed(in: $0) }),
        !AnswerEquality.numeric(boxed, answer)
      {
        report.differing.append(place)
      }
      sequences.append(sequence)
    }
    guard sequences.contains(where: { $0.predictedCount > 0 }) else {
      throw .badData(
        "\(name): no sequence has a token to learn\(report.cut.isEmpty ? "; there is nothing to predict in sequences of one token" : ": \(report.cut.count) were cut to \(maxLength) tokens (--max-length), which their prompts fill")")
    }
    return sequences
  }
}

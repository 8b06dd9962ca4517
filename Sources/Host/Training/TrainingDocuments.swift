import Support
import Tasks
import Tokenization

/// How examples become training sequences.
package struct TrainingDocuments: Sendable {
  package enum LossOn: String, Sendable, CaseIterable {
    case all, completion
  }

  package var form = PromptForm.qwen
  package var lossOn = LossOn.all
  /// Longer sequences are cut.
  package var maxLength = 2048

  package init() {}

  /// What the assistant writes after `<think>` for a worked example: reasoning, `</think>`, the boxed answer.
  package static func completion(solution: String?, answer: String) -> String {
    let reasoning = (solution ?? "").isEmpty ? "" : solution! + "\n"
    return "\(reasoning)\(PromptForm.thinkingEnd)\n\\boxed{\(answer)}"
  }

  /// What the assistant writes for an example; nil where there is nothing to learn.
  ///
  /// A solution that closes its own thinking is taken as it is written: the prompt has opened `<think>`, so one in front goes, and
  /// `</think>` and the boxed answer are never doubled. In a turn that somebody wrote without thinking, `</think>` comes before the
  /// line with the box; a completion of this program is left to the letter.
  ///
  /// In a form whose prompt does not open `<think>` the completion does, where it thinks; a turn that somebody wrote stays as it is
  /// there, unless the row's answer is to be added.
  package func completion(_ example: Example) -> String? {
    if form.opensThinking { return thoughtOut(example) }
    if example.origin == .turn, let solution = example.solution {
      let written = withoutEnd(solution)
      let answering = written.range(of: PromptForm.thinkingEnd).map { String(written[$0.upperBound...]) } ?? written
      if example.answer == nil || AnswerExtraction.hasBoxed(answering) { return written }
    }
    guard let completion = thoughtOut(example) else { return nil }
    if case .sample = example.origin { return completion }
    return completion.range(of: PromptForm.thinkingEnd) == nil ? completion : "\(PromptForm.thinking)\n\(completion)"
  }

  /// A turn without the token that ends it, which the form writes.
  private func withoutEnd(_ written: String) -> String {
    var trimmed = written[...]
    while trimmed.last?.isWhitespace == true { trimmed.removeLast() }
    return trimmed.hasSuffix(form.end) ? String(trimmed.dropLast(form.end.count)) : written
  }

  /// What comes after an opened `<think>`.
  private func thoughtOut(_ example: Example) -> String? {
    var solution = example.solution
    if let solution, case .sample = example.origin { return solution }
    if let given = solution {
      var written = withoutEnd(given)
      let start = written.drop { $0.isWhitespace }
      if start.hasPrefix(PromptForm.thinking) {
        written = String(start.dropFirst(PromptForm.thinking.count))
        if written.hasPrefix("\n") { written.removeFirst() }
      }
      if let close = written.range(of: PromptForm.thinkingEnd) {
        let hasBox = AnswerExtraction.hasBoxed(String(written[close.upperBound...]))
        guard !hasBox, let answer = example.answer else { return written }
        return "\(written)\(written.hasSuffix("\n") ? "" : "\n")\\boxed{\(answer)}"
      }
      if example.origin == .turn, let place = AnswerExtraction.startOfBoxedLine(written) {
        let bytes = Array(written.utf8)
        return String(decoding: bytes[..<place] + Array("\(PromptForm.thinkingEnd)\n".utf8) + bytes[place...], as: UTF8.self)
      }
      solution = written
    }
    if let answer = example.answer { return Self.completion(solution: solution, answer: answer) }
    return solution
  }

  /// A raw text is taken as it is; a question with an answer becomes a dialogue.
  package func sequence(_ example: Example, _ tokenizer: Tokenizer) -> TrainingSequence? {
    if let text = example.text { return cut(TrainingSequence(tokens: tokenizer.encode(text))) }
    guard let completion = completion(example) else { return nil }
    let prompt = tokenizer.encode(example.prompt(form))
    let rest = tokenizer.encode(form.completion(marked: completion, isEnded: example.origin != .sample(isTruncated: true)))
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
      sequences.append(try sequence(example, tokenizer, name: name, number: number + 1, report: &report))
    }
    try requireTokens(sequences.contains { $0.predictedCount > 0 }, name: name, report)
    return sequences
  }

  /// The sequences of a data set, each made when its row is read, with what reading it tells.
  ///
  /// - Parameter progress: called with the number of rows that have been read.
  package func sequences(
    of source: DataSource, limit: Int?, keys: ExampleFile.Keys, _ tokenizer: Tokenizer, report: inout Report, progress: (Int) -> Void = { _ in },
    reading: (Int, Int) -> Void = { _, _ in }
  ) throws(Failure) -> (SequenceStore, ExampleFile.Summary) {
    var store = SequenceStore()
    let summary = try ExampleFile.forEach(in: source, limit: limit, keys: keys, for: .learning, progress: reading) { example throws(Failure) in
      progress(store.count + 1)
      try store.append(try sequence(example, tokenizer, name: source.name, number: store.count + 1, report: &report))
    }
    try requireTokens(store.predictedCount > 0, name: source.name, report)
    return (store, summary)
  }

  private func sequence(
    _ example: Example, _ tokenizer: Tokenizer, name: String, number: Int, report: inout Report
  ) throws(Failure) -> TrainingSequence {
    guard let sequence = sequence(example, tokenizer) else {
      throw .badData("\(name): \(example.place(or: number)) has a question but neither an answer nor a solution to learn")
    }
    let place = example.source.line ?? number
    if sequence.isCut { report.cut.append(place) }
    if sequence.predictedCount == 0 { report.empty.append(place) }
    if let answer = example.answer, let boxed = example.solution.flatMap({ AnswerExtraction.boxed(in: $0) }),
      !AnswerEquality.numeric(boxed, answer)
    {
      report.differing.append(place)
    }
    return sequence
  }

  private func requireTokens(_ hasSome: Bool, name: String, _ report: Report) throws(Failure) {
    if hasSome { return }
    throw .badData(
      "\(name): no sequence has a token to learn\(report.cut.isEmpty ? "; there is nothing to predict in sequences of one token" : ": \(report.cut.count) were cut to \(maxLength) tokens (--max-length), which their prompts fill")")
  }
}

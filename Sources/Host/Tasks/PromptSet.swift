import Support
import Tokenization

/// The questions of a file as a model is given them: each tokenised once, and measured against the model's context.
package struct PromptSet: Sendable {
  /// What errors call the file.
  package let name: String
  package private(set) var examples: [Example]
  package private(set) var tokens: [[Int32]]
  /// Where each stands in its file, counted from 1 where no line is known.
  private var numbers: [Int]

  package var count: Int { examples.count }
  package var longest: Int { tokens.map(\.count).max() ?? 0 }

  /// - Parameter purpose: what a question without a question or an answer is no use for.
  package init(
    _ examples: [Example], tokenizer: Tokenizer, form: PromptForm, name: String,
    purpose: String = "evaluation", progress: (Int, Int) -> Void = { _, _ in }
  ) throws(Failure) {
    self.name = name
    self.examples = examples
    numbers = Array(1...max(1, examples.count))
    tokens = []
    tokens.reserveCapacity(examples.count)
    for (number, example) in examples.enumerated() {
      let missing = example.question.isEmpty ? "question" : example.answer == nil ? "answer" : nil
      if let missing {
        throw .badData("\(name): \(example.place(or: number + 1)): \(purpose) needs a question and an answer, found no \(missing)")
      }
      progress(number + 1, examples.count)
      tokens.append(tokenizer.encode(example.prompt(form)))
    }
  }

  /// Refuses prompts that fill a context, by the rows they stand in.
  ///
  /// - Parameter advice: what else can be done about them.
  package func requireRoom(context: Int, advice: String = "") throws(Failure) {
    let rows = tokens.indices.filter { tokens[$0].count >= context }
    guard let first = rows.first else { return }
    let what = rows.count == 1 ? "the prompt has \(tokens[first].count) tokens" : "\(rows.count) prompts have \(rows.map { tokens[$0].count }.max() ?? 0) tokens at most"
    throw .badData(
      "\(name): \(places(rows)): \(what) and the model's context \(context) (max_position_embeddings), which leaves no room for a completion; shorten \(rows.count == 1 ? "it" : "them")\(advice)")
  }

  /// Takes out the prompts that fill a context; says where they stand, nil where there are none.
  package mutating func removeOverlong(context: Int) -> (count: Int, places: String)? {
    let rows = tokens.indices.filter { tokens[$0].count >= context }
    if rows.isEmpty { return nil }
    let removed = (rows.count, places(rows))
    let kept = tokens.indices.filter { tokens[$0].count < context }
    (examples, tokens, numbers) = (kept.map { examples[$0] }, kept.map { tokens[$0] }, kept.map { numbers[$0] })
    return removed
  }

  /// What to say where prompts leave less room than a completion may take; nil where all leave enough.
  package func shortage(of maxNewTokens: Int, context: Int) -> String? {
    let rows = tokens.indices.filter { tokens[$0].count + maxNewTokens > context }
    if rows.isEmpty { return nil }
    return "--max-new-tokens \(maxNewTokens): \(rows.count) prompt\(rows.count == 1 ? " leaves" : "s leave") less room than that in the context of \(context) tokens (\(name): \(places(rows))); their completions end there as truncated"
  }

  private func places(_ rows: [Int]) -> String {
    Example.places(rows.map { (examples[$0], numbers[$0]) })
  }
}

extension Example {
  /// Where it stands in its file: `line 3`, or `record 3` of an array; `example 3` where no file is known.
  package func place(or number: Int) -> String { "\(source.unit ?? "example") \(source.line ?? number)" }

  /// The places of several of one file, for a message: the first few and how many more.
  package static func places(_ examples: [(example: Example, number: Int)]) -> String {
    places(examples.map { $0.example.source.line ?? $0.number }, unit: examples.first?.example.source.unit ?? "example")
  }

  package static func places(_ numbers: [Int], unit: String = "line") -> String {
    let shown = numbers.prefix(5).map { "\($0)" }.joined(separator: ", ")
    return "\(unit)\(numbers.count == 1 ? "" : "s") \(shown)\(numbers.count > 5 ? " and \(numbers.count - 5) more" : "")"
  }
}

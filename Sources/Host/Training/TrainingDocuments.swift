import Foundations
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

  /// A raw text is taken as it is; a question with an answer becomes a dialogue.
  package func sequence(_ example: Example, _ tokenizer: Tokenizer) -> TrainingSequence? {
    if let text = example.text { return cut(TrainingSequence(tokens: tokenizer.encode(text))) }
    let completion: String
    if let answer = example.answer {
      completion = Self.completion(solution: example.solution, answer: answer)
    } else if let solution = example.solution {
      completion = solution
    } else {
      return nil
    }
    let prompt = tokenizer.encode(template.prompt(question: example.question))
    let rest = tokenizer.encode(completion + ChatTemplate.end)
    return cut(TrainingSequence(tokens: prompt + rest, lossStart: lossOn == .all ? 1 : prompt.count))
  }

  private func cut(_ sequence: TrainingSequence) -> TrainingSequence {
    guard sequence.tokens.count > maxLength else { return sequence }
    return TrainingSequence(tokens: Array(sequence.tokens.prefix(maxLength)), lossStart: sequence.lossStart)
  }

  /// All examples in order. One that has nothing to learn from is an error that names it.
  package func sequences(
    _ examples: [Example], _ tokenizer: Tokenizer, name: String, progress: (Int, Int) -> Void = { _, _ in }
  ) throws(Failure) -> [TrainingSequence] {
    var sequences: [TrainingSequence] = []
    for (number, example) in examples.enumerated() {
      progress(number + 1, examples.count)
      guard let sequence = sequence(example, tokenizer) else {
        throw .badData("\(name): example \(number + 1) has a question but neither an answer nor a solution to learn")
      }
      sequences.append(sequence)
    }
    guard sequences.contains(where: { $0.predictedCount > 0 }) else {
      throw .badData("\(name): holds no sequence of two tokens or more; there is nothing to predict")
    }
    return sequences
  }
}

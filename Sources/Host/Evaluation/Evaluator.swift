import Compute
import Foundations
import Rollouts
import Tasks
import Tokenization
import Transformer

/// One judged completion of an evaluation.
package struct JudgedCompletion: Sendable {
  package let example: Int
  package let sample: Int
  package let text: String
  package let verdict: Verdict
  package let hasFormat: Bool
  package let tokenCount: Int
  package let isTruncated: Bool
}

/// Pass@1 of a model on a set of problems.
package struct EvaluationResult: Sendable {
  package let problems: Int
  package let samples: Int
  /// The share of completions that are right, with its 95 % Wilson interval over completions.
  package let accuracy: Statistics.Interval
  /// The unbiased estimate of pass@k for k = samples (Chen et al., arXiv 2107.03374); equals accuracy for one sample.
  package let passAtSamples: Double
  /// The share of completions in the form asked for: thinking closed, then a box.
  package let format: Double
  package let truncated: Double
  package let meanLength: Double
  package let seconds: Double
  package let tokensPerSecond: Double
  package let completions: [JudgedCompletion]

  package var json: JSON {
    [
      "problems": .integer(problems), "samples": .integer(samples), "pass_at_1": .number(accuracy.estimate),
      "pass_at_1_low": .number(accuracy.lower), "pass_at_1_high": .number(accuracy.upper),
      "pass_at_\(samples)": .number(samples > 1 ? passAtSamples : accuracy.estimate), "format": .number(format),
      "truncated": .number(truncated), "mean_length": .number(meanLength), "seconds": .number(seconds),
      "tokens_per_second": .number(tokensPerSecond),
    ]
  }
}

/// Asks a model every question of a set and judges its answers.
package struct Evaluator {
  private let engine: GenerationEngine
  private let tokenizer: Tokenizer
  private let template: ChatTemplate
  private let verifier: Verifier

  package init(_ model: Transformer, tokenizer: Tokenizer, template: ChatTemplate = ChatTemplate(), verifier: Verifier = Verifier()) {
    engine = GenerationEngine(model)
    self.tokenizer = tokenizer
    self.template = template
    self.verifier = verifier
  }

  /// - Parameter samples: completions per problem; one for greedy decoding.
  package func evaluate(
    _ examples: [Example], _ settings: GenerationSettings, samples: Int = 1,
    progress: (GenerationProgress) -> Bool = { _ in true }
  ) throws(Failure) -> EvaluationResult {
    let watch = Stopwatch()
    var requests: [GenerationRequest] = []
    for (index, example) in examples.enumerated() {
      guard !example.question.isEmpty, example.answer != nil else {
        throw .badData("problem \(index + 1) of the data has no question with an answer; evaluation needs both")
      }
      requests.append(
        GenerationRequest(
          prompt: tokenizer.encode(template.prompt(question: example.question)), samples: samples, stream: UInt64(index)))
    }
    let results = try engine.generate(requests, settings, progress: progress)
    var judged: [JudgedCompletion] = []
    var passes = 0.0
    for (index, example) in examples.enumerated() {
      var right = 0
      for (sample, completion) in results[index].enumerated() {
        let text = try tokenizer.text(of: completion.tokens)
        let verdict = verifier.verdict(on: text, gold: example.answer ?? "")
        if verdict.isCorrect { right += 1 }
        judged.append(
          JudgedCompletion(
            example: index, sample: sample, text: text, verdict: verdict,
            hasFormat: AnswerExtraction.hasFormat(text), tokenCount: completion.tokens.count,
            isTruncated: completion.isTruncated))
      }
      passes += Statistics.passAtK(correct: right, samples: samples, k: samples) ?? 0
    }
    let count = Double(max(1, judged.count))
    let tokens = judged.reduce(0) { $0 + $1.tokenCount }
    let seconds = watch.seconds
    return EvaluationResult(
      problems: examples.count, samples: samples,
      accuracy: Statistics.wilson(successes: judged.count(where: \.verdict.isCorrect), trials: judged.count),
      passAtSamples: passes / Double(max(1, examples.count)),
      format: Double(judged.count(where: \.hasFormat)) / count,
      truncated: Double(judged.count(where: \.isTruncated)) / count, meanLength: Double(tokens) / count,
      seconds: seconds, tokensPerSecond: Double(tokens) / max(1e-9, seconds), completions: judged)
  }
}

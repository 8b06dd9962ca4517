import Compute
import Rollouts
import Support
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
  /// The share of completions that are right, with its 95 % interval over problems: ``Statistics/clusteredShare(_:trialsEach:confidence:)``.
  package let accuracy: Statistics.Interval
  /// pass@k and maj@k for k of 1, 2, 4 … and all samples.
  package let curve: SampleCurve
  /// The share of completions in the form asked for: thinking closed, then a box.
  package let format: Double
  package let truncated: Double
  package let meanLength: Double
  package let seconds: Double
  package let tokensPerSecond: Double
  package let completions: [JudgedCompletion]

  package var json: JSON {
    var object = JSON.Object()
    object["problems"] = .integer(problems)
    object["samples"] = .integer(samples)
    func add(_ name: String, _ interval: Statistics.Interval) {
      object[name] = .number(interval.estimate)
      object["\(name)_low"] = .number(interval.lower)
      object["\(name)_high"] = .number(interval.upper)
    }
    add("pass_at_1", accuracy)
    for point in curve.points where point.k > 1 {
      add("pass_at_\(point.k)", point.pass)
      add("maj_at_\(point.k)", point.majority)
    }
    object["format"] = .number(format)
    object["truncated"] = .number(truncated)
    object["mean_length"] = .number(meanLength)
    object["seconds"] = .number(seconds)
    object["tokens_per_second"] = .number(tokensPerSecond)
    return .object(object)
  }
}

/// Asks a policy every question of a set and judges its answers.
package struct Evaluator {
  private let policy: PolicySnapshot
  private let engine: GenerationEngine
  private let tokenizer: Tokenizer
  private let form: PromptForm
  private let verifier: Verifier

  /// - Parameters:
  ///   - policy: as it is whenever it is asked.
  ///   - engine: of the policy's model.
  package init(
    _ policy: PolicySnapshot, _ engine: GenerationEngine, tokenizer: Tokenizer, form: PromptForm, verifier: Verifier = Verifier()
  ) {
    self.policy = policy
    self.engine = engine
    self.tokenizer = tokenizer
    self.form = form
    self.verifier = verifier
  }

  /// - Parameter samples: completions per problem; one for greedy decoding.
  package func evaluate(
    _ examples: [Example], _ settings: GenerationSettings, samples: Int = 1,
    progress: (GenerationProgress) -> Bool = { _ in true }
  ) throws(Failure) -> EvaluationResult {
    try evaluate(PromptSet(examples, tokenizer: tokenizer, form: form, name: "the data"), settings, samples: samples, progress: progress)
  }

  package func evaluate(
    _ prompts: PromptSet, _ settings: GenerationSettings, samples: Int = 1,
    progress: (GenerationProgress) -> Bool = { _ in true }
  ) throws(Failure) -> EvaluationResult {
    let watch = Stopwatch()
    let examples = prompts.examples
    let requests = prompts.tokens.enumerated().map { index, tokens in
      GenerationRequest(prompt: tokens, samples: samples, stream: UInt64(index))
    }
    let results = try engine.generate(requests, settings, by: policy, progress: progress)
    var judged: [JudgedCompletion] = []
    var verdicts: [[Verdict]] = []
    for (index, example) in examples.enumerated() {
      var ofProblem: [Verdict] = []
      for (sample, completion) in results[index].enumerated() {
        let text = try tokenizer.text(of: completion.tokens)
        let verdict = try verifier.verdict(on: text, gold: example.answer ?? "")
        ofProblem.append(verdict)
        judged.append(
          JudgedCompletion(
            example: index, sample: sample, text: text, verdict: verdict,
            hasFormat: AnswerExtraction.hasFormat(text), tokenCount: completion.tokens.count,
            isTruncated: completion.isTruncated))
      }
      verdicts.append(ofProblem)
    }
    let count = Double(max(1, judged.count))
    let tokens = judged.reduce(0) { $0 + $1.tokenCount }
    let seconds = watch.seconds
    return EvaluationResult(
      problems: examples.count, samples: samples,
      accuracy: Statistics.clusteredShare(
        verdicts.map { Double($0.count(where: \.isCorrect)) / Double(samples) }, trialsEach: Double(samples)),
      curve: try SampleCurve(verdicts, agree: verifier.agree),
      format: Double(judged.count(where: \.hasFormat)) / count,
      truncated: Double(judged.count(where: \.isTruncated)) / count, meanLength: Double(tokens) / count,
      seconds: seconds, tokensPerSecond: Double(tokens) / max(1e-9, seconds), completions: judged)
  }
}

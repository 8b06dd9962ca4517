import Foundations
import PluginHost
import Rollouts
import Tasks
import Tokenization

extension RLTask {
  /// Questions in chat form; a completion is judged by its text after the prompt.
  ///
  /// - Parameter context: positions of the model, to which every prompt must leave room; nil does not look.
  package init(
    _ examples: [Example], tokenizer: Tokenizer, template: ChatTemplate = ChatTemplate(), verifier: Verifier, name: String,
    context: Int? = nil, progress: (Int, Int) -> Void = { _, _ in }
  ) throws(Failure) {
    var prompts: [Prompt] = []
    for (number, example) in examples.enumerated() {
      guard !example.question.isEmpty, example.answer != nil else {
        throw .badData("\(name): example \(number + 1): reinforcement learning needs a question and an answer")
      }
      progress(number + 1, examples.count)
      let tokens = tokenizer.encode(example.prompt(template))
      if let context, tokens.count >= context { throw Self.tooLong(example, number + 1, tokens.count, context, name) }
      prompts.append(Prompt(tokens: tokens, key: example.key))
    }
    self.init(prompts: prompts) { index, completion in
      let text = try tokenizer.text(of: completion.tokens)
      return try verifier.verdict(on: text, gold: examples[index].answer ?? "")
    }
    tokenTexts = { try tokenizer.tokenTexts(of: $0) }
  }

  private static func tooLong(_ example: Example, _ number: Int, _ tokens: Int, _ context: Int, _ name: String) -> Failure {
    let place = example.source.line.map { "line \($0)" } ?? "example \(number)"
    return .badData(
      "\(name): \(place): the prompt has \(tokens) tokens and the model's context \(context) (max_position_embeddings), which leaves no room for a completion; shorten it, or leave such rows out with --overlong skip")
  }

  /// The examples whose prompts leave room for a completion, and the lines of those that do not.
  package static func fitting(
    _ examples: [Example], tokenizer: Tokenizer, template: ChatTemplate = ChatTemplate(), context: Int
  ) -> (kept: [Example], skipped: [Int]) {
    var kept: [Example] = []
    var skipped: [Int] = []
    for (number, example) in examples.enumerated() {
      if tokenizer.encode(example.prompt(template)).count < context { kept.append(example) } else { skipped.append(example.source.line ?? number + 1) }
    }
    return (kept, skipped)
  }

  /// Whether an algorithm gives a completion that is alone in its group no advantage, whatever its reward: then there is nothing to
  /// learn from groups of one. The instance is for this question only: it may have a state.
  package static func teachesNothingAlone(_ plugin: PluginInstance) throws(Failure) -> Bool {
    let groups = [Float(1), 0, 1, 1, 0].enumerated().map { index, reward in
      var completion = Completion()
      completion.tokens = [1, 2, 3]
      completion.logProbs = [-1, -1, -1]
      completion.entropies = [1, 1, 1]
      let verdict = Verdict(extracted: reward > 0 ? "1" : "0", gold: "1", isCorrect: reward > 0, reason: "")
      return RolloutGroup(
        position: index, example: index, key: UInt64(index), prompt: [1], completions: [completion], rewards: [reward], verdicts: [verdict])
    }
    var rollout = Rollout(groups)
    if plugin.needs.contains(.critic) { rollout.values = Array(repeating: 0, count: rollout.tokenCount) }
    if plugin.needs.contains(.reference) { rollout.reference = rollout.old }
    let stage = try plugin.advantages(rollout.forPlugin(step: 0, totalSteps: 1, seed: 0, tokenLimit: 8))
    return stage.advantages.allSatisfy { $0 == 0 }
  }
}

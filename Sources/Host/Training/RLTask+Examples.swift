import PluginHost
import Rollouts
import Support
import Tasks
import Tokenization

extension RLTask {
  /// Questions in chat form; a completion is judged by its text after the prompt.
  package init(_ prompts: PromptSet, tokenizer: Tokenizer, verifier: Verifier) {
    let examples = prompts.examples
    self.init(prompts: zip(prompts.tokens, examples).map { Prompt(tokens: $0, key: $1.key) }) { index, completion in
      let text = try tokenizer.text(of: completion.tokens)
      return try verifier.verdict(on: text, gold: examples[index].answer ?? "")
    }
    tokenTexts = { try tokenizer.tokenTexts(of: $0) }
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

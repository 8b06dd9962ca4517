import Rollouts
import Support
import Tasks
import Tokenization

/// What an RL run learns from: prompts as tokens, and the judge of what follows them.
///
/// It is a value that other threads may use; its reward is asked by one thread at a time.
package struct RLTask: Sendable {
  package struct Prompt: Sendable {
    package let tokens: [Int32]
    package let key: UInt64
    /// For the samples.
    package let question: String

    package init(tokens: [Int32], key: UInt64, question: String) {
      self.tokens = tokens
      self.key = key
      self.question = question
    }
  }

  package let prompts: [Prompt]
  package let reward: any RewardFunction
  private let decode: @Sendable ([Int32]) throws(Failure) -> String
  /// The text of each token of a completion, for the samples; nil where nobody knows.
  package private(set) var tokenTexts: (@Sendable ([Int32]) throws(Failure) -> [String])?

  /// - Parameter decode: the text of a completion.
  package init(
    prompts: [Prompt], reward: any RewardFunction, decode: @escaping @Sendable ([Int32]) throws(Failure) -> String
  ) {
    self.prompts = prompts
    self.reward = reward
    self.decode = decode
  }

  /// Questions in chat form whose answers are rewarded.
  package init(_ set: PromptSet, tokenizer: Tokenizer, verifier: Verifier) {
    self.init(set, tokenizer: tokenizer, reward: BoxedReward(golds: set.examples.map { $0.answer ?? "" }, verifier: verifier))
  }

  /// Questions in chat form; a completion is judged by its text after the prompt.
  ///
  /// - Parameter reward: of these questions.
  package init(_ set: PromptSet, tokenizer: Tokenizer, reward: any RewardFunction) {
    self.init(
      prompts: zip(set.tokens, set.examples).map { Prompt(tokens: $0, key: $1.key, question: $1.question) }, reward: reward,
      decode: { tokens throws(Failure) in try tokenizer.text(of: tokens) })
    tokenTexts = { tokens throws(Failure) in try tokenizer.tokenTexts(of: tokens) }
  }

  /// Decodes a completion, the only time that is done, and judges it.
  package func judge(_ completion: Completion, ofPrompt prompt: Int) throws(Failure) -> Reward {
    try judge([(completion, prompt)], RewardAllowance(of: 1))[0]
  }

  /// The same of several completions, each with its prompt.
  package func judge(_ drawn: [(completion: Completion, prompt: Int)], _ allowance: RewardAllowance) throws(Failure) -> [Reward] {
    var attempts: [Attempt] = []
    for (completion, prompt) in drawn {
      attempts.append(
        Attempt(prompt: prompt, tokens: completion.tokens, text: try decode(completion.tokens), isTruncated: completion.isTruncated))
    }
    let rewards = try reward.judge(attempts, allowance)
    guard rewards.count == drawn.count else {
      throw .internalError("the reward \(reward.name): judged \(rewards.count) of \(drawn.count) completions")
    }
    for judged in rewards {
      guard judged.parts.count == reward.partNames.count, judged.total.isFinite, judged.parts.allSatisfy(\.isFinite) else {
        throw .internalError(
          "the reward \(reward.name): gave \(judged.total) of the parts \(judged.parts); expected finite numbers, and as many parts as it names (\(reward.partNames.count))")
      }
    }
    return rewards
  }
}

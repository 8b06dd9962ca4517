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

  /// Questions in chat form; a completion is judged by its text after the prompt.
  package init(_ set: PromptSet, tokenizer: Tokenizer, verifier: Verifier) {
    self.init(
      prompts: zip(set.tokens, set.examples).map { Prompt(tokens: $0, key: $1.key, question: $1.question) },
      reward: BoxedReward(golds: set.examples.map { $0.answer ?? "" }, verifier: verifier),
      decode: { tokens throws(Failure) in try tokenizer.text(of: tokens) })
    tokenTexts = { tokens throws(Failure) in try tokenizer.tokenTexts(of: tokens) }
  }

  /// Decodes a completion, the only time that is done, and judges it.
  package func judge(_ completion: Completion, ofPrompt prompt: Int) throws(Failure) -> Reward {
    let attempt = Attempt(
      prompt: prompt, tokens: completion.tokens, text: try decode(completion.tokens), isTruncated: completion.isTruncated)
    let judged = try reward.judge(attempt)
    guard judged.parts.count == reward.partNames.count, judged.total.isFinite, judged.parts.allSatisfy(\.isFinite) else {
      throw .internalError(
        "the reward \(reward.name): gave \(judged.total) of the parts \(judged.parts); expected finite numbers, and as many parts as it names (\(reward.partNames.count))")
    }
    return judged
  }
}

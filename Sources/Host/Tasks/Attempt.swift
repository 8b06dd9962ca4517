/// A completion as a reward sees it: decoded once, for judge, samples and pages alike.
package struct Attempt: Sendable {
  /// The position of the prompt among those of the task.
  package let prompt: Int
  package let tokens: [Int32]
  /// What the model wrote, without special tokens.
  package let text: String
  /// Whether the length limit ended it.
  package let isTruncated: Bool

  package init(prompt: Int, tokens: [Int32], text: String, isTruncated: Bool) {
    self.prompt = prompt
    self.tokens = tokens
    self.text = text
    self.isTruncated = isTruncated
  }
}

import Support

/// 1 where the last box of a completion holds the gold answer, 0 otherwise.
package struct BoxedReward: RewardFunction {
  private let golds: [String]
  private let verifier: Verifier

  /// - Parameters:
  ///   - golds: the gold answer of each prompt.
  ///   - verifier: when an answer equals the gold one: by the rules of this program or by math-verify.
  package init(golds: [String], verifier: Verifier) {
    self.golds = golds
    self.verifier = verifier
  }

  package var name: String { verifier.mode.rawValue }
  package var partNames: [String] { ["correct"] }

  package func judge(_ attempt: Attempt) throws(Failure) -> Reward {
    let verdict = try verifier.verdict(on: attempt.text, gold: golds[attempt.prompt])
    return Reward(total: verdict.reward, parts: [verdict.reward], verdict, on: attempt)
  }
}

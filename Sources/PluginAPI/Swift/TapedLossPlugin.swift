/// An algorithm whose loss is written as expressions: the overlay takes the derivatives.
///
///     func loss(_ tape: Tape) -> Scalar {
///       let ratio = exp(clamp(tape.current - tape.old))
///       let objective = min(ratio * tape.advantages, clamp(ratio, 0.8, 1.2) * tape.advantages)
///       return -objective.sum() / tape.updateTokens
///     }
public protocol TapedLossPlugin: Algorithm {
  /// Stage 2, once per micro-batch: returns its share of the update's loss. Shares must add up, so divide by the update's totals and
  /// never by the micro-batch's.
  ///
  /// What the loss has a derivative by are ``Tape/current`` and, where the instance needs them, ``Tape/entropy`` and ``Tape/values``.
  /// Where ``stopGradient(_:)`` holds a function of one of them fixed on its way into the loss, `stoppedGradients` has to name it:
  /// a loss that does not is refused with the line that is missing.
  mutating func loss(_ tape: Tape) throws(PluginError) -> Scalar
}

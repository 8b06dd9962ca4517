/// The optimiser update that a micro-batch belongs to: the same in all its micro-batches, so that a loss which divides by its totals
/// does not depend on the split.
package struct PluginUpdate: Sendable {
  package var epoch = 0
  package var minibatch = 0
  /// Those of sequences that count.
  package var tokens: Int
  package let sequences: Int
  package let groups: Int

  /// An update over some groups of a rollout.
  ///
  /// - Parameter counted: [S] what stage 1 said.
  package init(_ groups: Range<Int>, of rollout: PluginRollout, counted: [Bool]) {
    let range = rollout.groupOffsets[groups.lowerBound]..<rollout.groupOffsets[groups.upperBound]
    tokens = rollout.tokenCount(of: counted, in: range)
    sequences = range.count
    self.groups = groups.count
  }

  /// As a run has said it.
  init(epoch: Int, minibatch: Int, tokens: Int, sequences: Int, groups: Int) {
    (self.epoch, self.minibatch) = (epoch, minibatch)
    (self.tokens, self.sequences, self.groups) = (tokens, sequences, groups)
  }
}

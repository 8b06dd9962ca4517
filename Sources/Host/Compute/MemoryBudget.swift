/// How the memory of a machine is shared out: the only place that decides it.
package struct MemoryBudget: Sendable {
  /// Of all that a run takes; the rest is for the program, its data and the system.
  package let run: Int
  /// Of activations of one micro-batch.
  package let activations: Int
  /// Of keys and values while completions are drawn.
  package let caches: Int
  /// Of a copy of values and moments to go back to.
  package let copies: Int

  package init(_ availableBytes: Int) {
    run = availableBytes - availableBytes / 8
    activations = availableBytes / 8
    caches = availableBytes / 12
    copies = availableBytes / 4
  }
}

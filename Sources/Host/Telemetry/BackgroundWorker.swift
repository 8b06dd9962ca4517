import Support

/// A thread of low priority that works off a bounded queue, so that what is slow never holds up the training.
final class BackgroundWorker<Item: Sendable>: Sendable {
  private struct State {
    var items: [Item] = []
    var isClosed = false
    var isDone = false
    var dropped = 0
  }

  private let state = WaitableState(State())
  private let capacity: Int

  /// - Parameters:
  ///   - capacity: items that wait, at most; further ones are dropped and counted.
  ///   - work: called on the thread for one item after another.
  ///   - end: called on the thread after the last item.
  init(capacity: Int, work: @escaping @Sendable (Item) -> Void, end: @escaping @Sendable () -> Void = {}) throws(Failure) {
    self.capacity = capacity
    let state = state
    let started = BackgroundThread.start {
      while let item = state.wait(until: { !$0.items.isEmpty || $0.isClosed }, { state -> Item? in
        state.items.isEmpty ? nil : state.items.removeFirst()
      }) { work(item) }
      end()
      state.change { $0.isDone = true }
    }
    if !started { throw .internalError("cannot start a thread: \(lastSystemError())") }
  }

  /// Hands an item over; false where the queue is full and the item is dropped.
  @discardableResult
  func submit(_ item: Item) -> Bool {
    state.change { state in
      if state.isClosed || state.items.count >= capacity {
        state.dropped += 1
        return false
      }
      state.items.append(item)
      return true
    }
  }

  /// Items dropped so far.
  var dropped: Int { state.change { $0.dropped } }

  /// Takes no more items and waits until those that wait are done; false where that takes longer than `seconds`.
  func finish(within seconds: Double) -> Bool {
    state.change { $0.isClosed = true }
    return state.wait(until: { $0.isDone }, within: seconds)
  }
}

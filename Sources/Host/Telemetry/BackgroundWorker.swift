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

/// A value under a lock that threads can wait for.
@safe private final class WaitableState<Value>: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var value: Value

  init(_ value: Value) {
    self.value = value
    unsafe pthread_mutex_init(mutex, nil)
    unsafe pthread_cond_init(condition, nil)
  }

  deinit {
    unsafe pthread_cond_destroy(condition)
    unsafe pthread_mutex_destroy(mutex)
    unsafe condition.deallocate()
    unsafe mutex.deallocate()
  }

  @discardableResult
  func change<Result>(_ body: (inout Value) -> Result) -> Result {
    unsafe pthread_mutex_lock(mutex)
    defer {
      unsafe pthread_cond_broadcast(condition)
      unsafe pthread_mutex_unlock(mutex)
    }
    return body(&value)
  }

  func wait<Result>(until isReady: (Value) -> Bool, _ body: (inout Value) -> Result) -> Result {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    while !isReady(value) { unsafe pthread_cond_wait(condition, mutex) }
    return body(&value)
  }

  func wait(until isReady: (Value) -> Bool, within seconds: Double) -> Bool {
    var end = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &end)
    let nanoseconds = end.tv_nsec + Int((seconds - seconds.rounded(.down)) * 1e9)
    end.tv_sec += Int(seconds) + nanoseconds / 1_000_000_000
    end.tv_nsec = nanoseconds % 1_000_000_000
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    while !isReady(value) {
      if unsafe pthread_cond_timedwait(condition, mutex, &end) == ETIMEDOUT { return isReady(value) }
    }
    return true
  }
}

private enum BackgroundThread {
  private final class Body {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  /// Signals stay with the other threads, and the processor with the training.
  static func start(_ run: @escaping @Sendable () -> Void) -> Bool {
    let body = unsafe Unmanaged.passRetained(Body(run))
    #if canImport(Darwin)
    var thread: pthread_t?
    #else
    var thread = pthread_t()
    #endif
    var all = sigset_t()
    var before = sigset_t()
    unsafe sigfillset(&all)
    unsafe pthread_sigmask(SIG_SETMASK, &all, &before)
    defer { unsafe pthread_sigmask(SIG_SETMASK, &before, nil) }
    let status = unsafe pthread_create(
      &thread, nil,
      { argument in
        #if os(Linux)
        // On Linux a thread has a priority of its own.
        setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 10)
        #endif
        let pointer: UnsafeMutableRawPointer? = unsafe argument
        if let pointer = unsafe pointer { unsafe Unmanaged<Body>.fromOpaque(pointer).takeRetainedValue().run() }
        return nil
      }, body.toOpaque())
    if status != 0 {
      unsafe body.release()
      return false
    }
    #if canImport(Darwin)
    if let thread { unsafe pthread_detach(thread) }
    #else
    pthread_detach(thread)
    #endif
    return true
  }
}

import Support

/// A result that a device may still be computing. Asking for it at once costs a wait; work queued in between costs nothing.
package struct Pending<Value: Sendable>: Sendable {
  private let wait: @Sendable () throws(Failure) -> Value

  /// A result that is there.
  package init(_ value: Value) { wait = { () throws(Failure) in value } }

  /// - Parameter wait: waits for the device and reads; called each time the value is asked for.
  package init(waiting wait: @escaping @Sendable () throws(Failure) -> Value) { self.wait = wait }

  package func value() throws(Failure) -> Value { try wait() }
}

/// Operations that are queued again and again in the same order on the same memory: a graph of a GPU, a closure on the CPU.
package final class Recording {
  let body: () throws(Failure) -> Void
  private let arena: Arena
  /// Where the body's memory lay when it was recorded.
  private var place: Arena.Place
  /// A device's own form of it, for that place.
  private var graph: (any Sendable & AnyObject)?

  /// - Parameter arena: what the body takes its memory from.
  init(in arena: Arena, _ body: @escaping () throws(Failure) -> Void) {
    self.arena = arena
    self.body = body
    place = arena.place
  }

  /// The device's form, made at the second time that the body runs at one place: the first takes what memory there has to be.
  func graph(_ make: (() throws(Failure) -> Void) throws(Failure) -> (any Sendable & AnyObject)?) throws(Failure) -> (any Sendable & AnyObject)? {
    guard arena.place == place else {
      (place, graph) = (arena.place, nil)
      return nil
    }
    if graph == nil { graph = try make(body) }
    return graph
  }
}

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
package struct Recording {
  package let body: () throws(Failure) -> Void

  package init(_ body: @escaping () throws(Failure) -> Void) { self.body = body }
}

import Support

/// Somewhere a run's steps go beside its own files.
package protocol Sink: AnyObject {
  /// How a warning calls it.
  var name: String { get }
  func write(_ step: StepRecord) throws(Failure)
  /// The run is over, or stops here to be continued.
  func close(finished: Bool) throws(Failure)
}

/// The sinks of a run. What goes wrong in one is said once and ends that sink; it never reaches the training.
package struct Sinks: ~Copyable {
  private var sinks: [any Sink] = []
  private let warn: (String) -> Void

  package init(warn: @escaping (String) -> Void) { self.warn = warn }

  /// Adds a sink; one that cannot be opened is warned of and left out.
  package mutating func add(_ name: String, _ open: () throws(Failure) -> any Sink) {
    do throws(Failure) { sinks.append(try open()) } catch { warn("\(name): \(error.message); the run goes on without it") }
  }

  package mutating func write(_ step: StepRecord) {
    keep { sink throws(Failure) in try sink.write(step) }
  }

  /// Called once, whether the run has finished or not.
  package mutating func close(finished: Bool) {
    keep { sink throws(Failure) in try sink.close(finished: finished) }
    sinks = []
  }

  private mutating func keep(_ body: (any Sink) throws(Failure) -> Void) {
    var working: [any Sink] = []
    for sink in sinks {
      do throws(Failure) {
        try body(sink)
        working.append(sink)
      } catch { warn("\(sink.name): \(error.message); the run goes on without it") }
    }
    sinks = working
  }
}

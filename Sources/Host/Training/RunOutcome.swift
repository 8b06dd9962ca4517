import Support

/// Why a run ended.
package enum RunOutcome: Sendable, Equatable {
  case finished
  /// Stopped on request after a step; a checkpoint was written.
  case interrupted(step: Int)
}

extension Failure {
  /// The same with what of the run is safe.
  ///
  /// - Parameters:
  ///   - saved: the step of the newest checkpoint; 0 where there is none.
  ///   - step: the step that failed; nil for what comes between steps and after the last.
  ///   - unsaved: why no newer checkpoint could be written.
  func after(step saved: Int, in step: Int?, unsaved: Failure? = nil) -> Failure {
    guard step.map({ $0 > 1 }) ?? true, code != .interrupted else { return self }
    let why = unsaved.flatMap { $0.message == message ? nil : "a newer checkpoint could not be written: \($0.message); " } ?? ""
    let what = saved > 0 ? "the checkpoint of step \(saved) is whole; once the cause is mended, --resume goes on from there" : "no checkpoint had been written"
    return Failure(code, "\(message) (\(step.map { "in step \($0); " } ?? "")\(why)\(what))")
  }
}

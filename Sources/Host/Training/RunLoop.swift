import Support
import Telemetry
import Transformer

/// What a run's loop asks of whatever it trains.
protocol SteppedTraining: AnyObject {
  /// Steps made so far.
  var step: Int { get }
  /// One whole step, with all that is measured after it.
  ///
  /// - Parameter loggingSeconds: what the records and sinks of the step before took.
  func makeStep(loggingSeconds: Double) throws(Failure) -> SteppedResult
  /// Where the run stands now, beside values and moments.
  func state() throws(Failure) -> TrainingState
  /// Goes on from a checkpoint whose values and moments are in the policy already.
  func resume(_ state: TrainingState, path: String) throws(Failure)
}

/// What a step leaves for the logs.
struct SteppedResult {
  var metrics: Metrics
  /// Of what the step computed, but for what it left of weights and moments.
  var proof: StepDigests
  var samples: () -> [Sample] = { [] }
  var distributions: [Distribution] = []
}

/// The loop that every run shares: open or resume, step, log, checkpoint, stop, finish.
///
/// A step is whole once its line is in the log. Whatever fails before that is undone, up to values and moments, so that the
/// checkpoint of the last whole step can be written and the step is taken again on resuming, with the same bytes.
struct RunLoop {
  let placement: RunPlacement
  let policy: Policy
  let trained: RunModel
  /// Steps of the whole run.
  let total: Int
  /// Whether the run writes completions.
  let hasSamples: Bool

  /// - Parameter finish: writes the result of the last step.
  func run(
    _ training: any SteppedTraining, _ observer: any RunObserver, finish: () throws(Failure) -> Void
  ) throws(Failure) -> RunOutcome {
    let (folder, record, keeping) = (placement.folder, placement.record, placement.keeping)
    let checkpoints = CheckpointStore(run: folder.path)
    let identity = try folder.identity()
    if keeping.resumes {
      var damaged: [Failure] = []
      if let state = try checkpoints.newestWhole(run: identity, damaged: { damaged.append($0) }) {
        for failure in damaged { observer.warn("\(failure.message); going on from the checkpoint before, of step \(state.step)") }
        let path = checkpoints.path(step: state.step)
        try state.restore(path, into: policy)
        try training.resume(state, path: path)
      }
    }
    if let stop = keeping.stopAfter, training.step >= stop {
      throw .usage("--stop-after \(stop): the run is after step \(training.step) already; give a later step, or leave it out")
    }
    let clock = Stopwatch()
    var logs = try folder.logs(
      stage: record.stage, after: training.step, resuming: keeping.resumes, hasSamples: hasSamples)
    let place = try RunFolderIdentity(folder, logs)
    let secondsBefore = folder.secondsBefore(resuming: keeping.resumes)
    var sinks = keeping.monitoring.open(
      folder.path, stage: record.stage, after: training.step, resuming: keeping.resumes, warn: observer.warn)
    var isFinished = training.step >= total
    defer { sinks.close(finished: isFinished) }
    observer.begin(stage: record.stage, total: total, resumedAt: training.step)
    policy.isStopRequested = { observer.isStopRequested }
    var loggingSeconds = 0.0
    var sinceCheckpoint = Stopwatch()
    /// Where the last whole step left the run.
    var whole = try training.state()
    /// What the next step's proof continues; nil where a version that proved nothing began the run.
    var chain = whole.step == 0 ? identity.flatMap(Digest.init(hex:)) : folder.chain(stage: record.stage, step: whole.step)
    var saved = whole.step
    func checkpoint() throws(Failure) {
      try place.check()
      guard saved != whole.step else { return }
      try logs.sync()
      do throws(Failure) {
        try checkpoints.write(step: whole.step) { temporary throws(Failure) in
          try whole.write(to: temporary, policy: policy, run: identity)
          if trained.adapter != nil { try trained.write(to: temporary + "/adapter") }
        }
        try place.check()
      } catch {
        // A folder that took the run's place meanwhile is left as it was.
        try place.settled { checkpoints.takeBack(step: whole.step) }
        throw error
      }
      saved = whole.step
      sinceCheckpoint = Stopwatch()
    }
    while training.step < total {
      let updates = policy.updates
      var before: Optimizer.Snapshot?
      var isWhole = false
      do throws(Failure) {
        before = policy.keepsSnapshot ? try policy.snapshot() : nil
        let result = try training.makeStep(loggingSeconds: loggingSeconds)
        let watch = Stopwatch()
        let reached = try training.state()
        let proven = try prove(result, reached, after: chain)
        let step = try StepRecord(
          MetricRecord(
            stage: record.stage, step: training.step, elapsed: secondsBefore + clock.seconds, metrics: proven.metrics,
            proof: proven.proof?.json),
          samples: keeping.monitoring.samples(step: training.step) ? result.samples() : [],
          distributions: result.distributions)
        try logs.append(step)
        whole = reached
        chain = proven.proof?.chain
        isWhole = true
        before = nil
        sinks.write(step)
        loggingSeconds = watch.seconds
        observer.completed(
          RunStep(stage: record.stage, step: training.step, total: total, metrics: proven.metrics))
        let stops = observer.isStopRequested || training.step == keeping.stopAfter
        if stops, training.step < total {
          try checkpoint()
          observer.end(stage: record.stage)
          return .interrupted(step: training.step)
        }
        if training.step % keeping.checkpointEvery == 0 || sinceCheckpoint.seconds > 60 * keeping.checkpointMinutes {
          try checkpoint()
        }
      } catch {
        // Where the folder is gone, nothing that could be said of its checkpoints is known to be true.
        try place.settled()
        var isAtWhole = isWhole || policy.updates == updates
        if !isAtWhole, let before {
          policy.restore(before)
          isAtWhole = true
        }
        var unsaved: Failure?
        if isAtWhole {
          do throws(Failure) { try checkpoint() } catch { unsaved = error }
        }
        // A request to stop within a step: the step is as if it had not begun.
        if error.code == .interrupted, isAtWhole, unsaved == nil {
          observer.end(stage: record.stage)
          return .interrupted(step: whole.step)
        }
        throw error.after(step: saved, in: isWhole ? nil : whole.step + 1, unsaved: unsaved)
      }
    }
    try place.check()
    do throws(Failure) {
      try checkpoint()
      try finish()
    } catch { throw error.after(step: saved, in: nil) }
    try place.check()
    isFinished = true
    observer.end(stage: record.stage)
    return .finished
  }

  /// A step's numbers, and its digests with those of what it left and the link to the steps before. A run that was begun by a version
  /// that linked nothing goes on so.
  private func prove(
    _ result: SteppedResult, _ reached: TrainingState, after chain: Digest?
  ) throws(Failure) -> (metrics: Metrics, proof: StepDigests?) {
    guard let chain else { return (result.metrics, nil) }
    let watch = Stopwatch()
    var (metrics, proof) = (result.metrics, result.proof)
    let left = try policy.digests(reached)
    proof.add("weights", left.weights)
    proof.add("state", left.state)
    proof.add("numbers", metrics.numbersDigest)
    if let heldOut = metrics.heldOutDigest { proof.add("held_out", heldOut) }
    proof.close(stage: placement.record.stage, step: reached.step, after: chain)
    metrics["seconds/proof"] = watch.seconds
    return (metrics, proof)
  }
}

import Support

/// Where a run is shown while it goes on, beside its own files.
package struct Monitoring: Sendable {
  /// TensorBoard event files in `tensorboard/`.
  package var tensorBoard = true
  /// Keeps `report.html` fresh.
  package var livePage = false
  package var weightsAndBiases: WeightsAndBiases?
  /// Steps between those whose completions are written down.
  package var sampleEvery = 1

  package init() {}

  /// Whether a step's completions are written down: the first step's always are.
  package func samples(step: Int) -> Bool { step == 1 || step % max(1, sampleEvery) == 0 }

  /// The sinks of a run in a folder, from behind a step on. The run's own logs must be open and cut already.
  package func open(
    _ folder: String, stage: String, after step: Int, resuming: Bool, warn: @escaping (String) -> Void
  ) -> Sinks {
    var sinks = Sinks(warn: warn)
    if tensorBoard {
      sinks.add("TensorBoard") { () throws(Failure) in
        try TensorBoardSink(folder: folder + "/tensorboard", after: step, resuming: resuming)
      }
    }
    if livePage {
      sinks.add("live page") { () throws(Failure) in try LivePage(run: folder, warn: warn) }
    }
    if let weightsAndBiases {
      sinks.add("W&B") { () throws(Failure) in
        try WeightsAndBiasesSink(weightsAndBiases, run: folder, stage: stage, resuming: resuming, warn: warn)
      }
    }
    return sinks
  }
}

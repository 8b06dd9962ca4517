import Telemetry

/// How a run is kept: how often it writes a checkpoint, whether it continues one.
package struct RunKeeping: Sendable {
  package var checkpointEvery = 50
  /// Minutes after which a checkpoint is written all the same.
  package var checkpointMinutes = 10.0
  package var resumes = false
  /// Stops after this many steps of the whole run even where more are planned.
  package var stopAfter: Int?
  /// Where the run is shown beside its own files.
  package var monitoring = Monitoring()

  package init() {}
}

import Support

/// What a run is, for `run.json` and for resuming.
package struct RunRecord: Sendable {
  package static let programVersion = "0.1.0"

  /// `sft`, `rl` or `pretrain`.
  package var stage: String
  /// Everything that must be equal for a run to be continued.
  package var identity: JSON.Object
  /// What tells the held-out data of a run: it must be equal where the run had some and has some now.
  package var heldOut: JSON.Object = [:]
  /// Keys of the identity that may differ on resuming; what does is written to `run.json`.
  package var mayDiffer: Set<String> = []
  /// Everything else worth knowing.
  package var description: JSON.Object

  package init(stage: String, identity: JSON.Object, description: JSON.Object) {
    self.stage = stage
    self.identity = identity
    self.description = description
    self.identity["stage"] = .string(stage)
    self.description["stage"] = .string(stage)
    self.description["version"] = .string(Self.programVersion)
  }
}

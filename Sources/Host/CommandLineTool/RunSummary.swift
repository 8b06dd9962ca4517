import Arguments
import Compute
import Support
import Telemetry
import Training
import Transformer

/// What a run is about to do, said before its first step; with --dry-run it is all that is done.
struct RunSummary {
  private var notes: [String] = []
  private var rows: [(name: String, text: String, value: JSON)] = []

  mutating func add(_ name: String, _ text: String, _ value: JSON? = nil) { rows.append((name, text, value ?? .string(text))) }

  /// What the user should know before the run begins; part of it, and silent with it under --quiet.
  mutating func note(_ text: String) { notes.append(text) }

  /// Model, trained parameters and about how much memory the run takes.
  ///
  /// - Parameters:
  ///   - generation: bytes of the caches while completions are drawn.
  ///   - reference: bytes of a frozen policy.
  mutating func add(model: Transformer, path: String, policy: PolicySettings, generation: Int = 0, reference: Int = 0) {
    let count = model.configuration.parameterCount
    let trained = model.parameters.reduce(0) { $0 + $1.shape.reduce(1, *) }
    add("model", "\(path), \(Format.count(Double(count))) parameters as \(model.head.kind.rawValue)", .string(path))
    let what = policy.adapter.map { "LoRA of rank \($0.rank) on \($0.targets.count) modules" } ?? "every parameter"
    add("trained", "\(Format.count(Double(trained))) parameters (\(what))", .integer(trained))
    if let adapter = policy.adapter, adapter.dropout > 0 {
      note("the adapter was trained with \"lora_dropout\" \(adapter.dropout); this program goes on without dropout")
    }
    let bytes = Policy.estimatedBytes(model, policy) + generation + reference
    var parts = ["weights", "optimiser", "one micro-batch"]
    if generation > 0 { parts.append("\(generation >> 20) MiB of keys and values") }
    if reference > 0 { parts.append("the frozen reference") }
    add("memory", "about \(bytes >> 20) MiB for \(parts.dropLast().joined(separator: ", ")) and \(parts.last ?? "")", .integer(bytes))
    if !Policy.keepsSnapshot(model, policy) {
      note("no room for a copy of the trained values at each step: an error within a step goes back to the newest checkpoint (--checkpoint-every)")
    }
  }

  var json: JSON {
    var object = JSON.Object()
    for row in rows { object[row.name] = row.value }
    if !notes.isEmpty { object["notes"] = .array(notes.map { .string($0) }) }
    return .object(object)
  }

  func show(_ console: Console) {
    let width = rows.map(\.name.count).max() ?? 0
    for row in rows {
      console.info("\(row.name)\(String(repeating: " ", count: width - row.name.count))  \(row.text)")
    }
    for note in notes { console.info("warning: \(note)") }
  }

  /// Shows what is coming, unless the folder cannot take the run; true where that was all.
  func finishes(
    _ arguments: ParsedArguments, _ folder: RunFolder, _ record: RunRecord, _ console: Console
  ) throws(Failure) -> Bool {
    let isDry = try arguments.flag("dry-run")
    try folder.check(record, resuming: try arguments.flag("resume"))
    if isDry { try folder.checkUnclaimed() }
    show(console)
    guard isDry else { return false }
    if try arguments.flag("json") { try Output.json(json) } else { try Output.line("dry run: nothing was trained, nothing written") }
    return true
  }
}

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

  /// Model, trained parameters and how much memory the run takes.
  mutating func add(_ trained: TrainingOptions.ModelToTrain, _ plan: MemoryPlan) {
    let architecture = trained.architecture
    let path = trained.folder.path
    add("model", "\(path), \(Format.count(Double(architecture.parameterCount))) parameters as \(architecture.formatName)", .string(path))
    let count = plan.trainedCount
    let what = trained.adapter.map { "LoRA of rank \($0.rank) on \($0.targets.count) modules" } ?? "every parameter"
    add("trained", "\(Format.count(Double(count))) parameters (\(what))", .integer(count))
    if let adapter = trained.adapter, adapter.dropout > 0 {
      note("the adapter was trained with \"lora_dropout\" \(adapter.dropout); this program goes on without dropout")
    }
    let parts = plan.all.map { "\($0.bytes >> 20) MiB for \($0.name)" }
    add("memory", "\(plan.bytes >> 20) MiB: \(parts.dropLast().joined(separator: ", ")) and \(parts.last ?? "")", .integer(plan.bytes))
    if !plan.limits.keepsSnapshot {
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
    for line in TextTable.aligned(rows.map { [$0.name, $0.text] }) { console.info(line) }
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

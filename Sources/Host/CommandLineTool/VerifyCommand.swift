import Arguments
import Support
import Telemetry
import Training

/// `verify`: whether a run is what its log says.
enum VerifyCommand {
  static let spec = CommandSpec(
    name: "verify", summary: "prove a run: its chain of digests, its checkpoints and result, and a step computed again",
    discussion:
      "Every line of metrics.jsonl has digests of what its step computed, linked to those before (docs/proof.md). This checks every link, holds the weights of checkpoints and result against the log, and computes a step again from the checkpoint before it, in a temporary folder: --step N, or else the one that is computed soonest. RUN is only read. 0: proven; 65: not, and what is wrong stands on standard output.",
    examples: ["nano-reasoner verify runs/grpo", "nano-reasoner verify runs/grpo --step 12"],
    options: [
      .positional("run", .path, "a run folder", placeholder: "RUN"),
      .value("step", .integer(Limits.count), "compute this step again; default: the one behind the last checkpoint but for the end, or the first"),
      .flag("no-step", "compute no step again"),
      ModelOptions.quiet, ModelOptions.json,
    ], rules: [.atMostOne(["step", "no-step"])])

  static func run(_ arguments: ParsedArguments) throws(Failure) {
    let path = try arguments.text("run")
    let asked = try arguments.optionalInteger("step")
    let console = Console(quiet: try arguments.flag("quiet"))
    let run = try ProvenRun(path)
    let isJSON = try arguments.flag("json")
    if !isJSON {
      for line in run.proven { try Output.line(line) }
      for finding in run.findings { try Output.line("NOT PROVEN: \(finding.text)") }
    }
    var findings = run.findings.map(\.text)
    var again: StepResult?
    if !(try arguments.flag("no-step")), run.log.steps.count > 0 {
      let result = try compute(run, asked, console)
      if !isJSON { for line in result.lines { try Output.line(line) } }
      if let finding = result.finding { findings.append(finding) }
      again = result
    }
    if isJSON { try Output.json(json(run, findings, again)) }
    guard findings.isEmpty else {
      throw .badData("\(path): not proven: \(findings.count == 1 ? findings[0] : "\(findings.count) findings, the first: \(findings[0])")")
    }
    if !isJSON { try Output.line("proven: \(path)") }
  }

  /// What came of a step that was computed again.
  private struct StepResult {
    let step: Int
    let origin: String
    var lines: [String] = []
    var finding: String?
    var parting: StepDigests.Parting?
    /// Why it was not, where nobody asked for it.
    var obstacle: String?
  }

  private static func compute(_ run: ProvenRun, _ asked: Int?, _ console: Console) throws(Failure) -> StepResult {
    let recomputation = try Recomputation(run, step: asked, console)
    let step = recomputation.step
    var result = StepResult(step: step, origin: recomputation.origin)
    Interruption.install()
    let watch = Stopwatch()
    guard let recorded = run.log[step]?.digests else { return result }
    switch try recomputation.compute() {
    case .impossible(let why):
      let text = "step \(step): cannot be computed again: \(why)"
      // A run that no command of this program can begin is proven as far as it can be, unless more is asked for.
      if asked == nil, recomputation.isOfAnotherCommand { result.obstacle = why } else { result.finding = text }
      result.lines = [result.finding == nil ? "no step is computed again: \(why)" : "NOT PROVEN: \(text)"]
    case .computed(let now):
      let head = "step \(step), computed again \(recomputation.origin) in \(Format.duration(watch.seconds))"
      guard let parting = recorded.parting(from: now) else {
        result.lines = ["\(head): \(Self.names(recorded)): the same, bit for bit"]
        break
      }
      result.parting = parting
      let place = parting.update.map { "\(parting.stage) of update \($0)" } ?? parting.stage
      let before = Self.names(recorded, before: parting.stage)
      let text = "step \(step): parts first in \(place): recorded \(parting.digests.0?.hex ?? "nothing"), computed \(parting.digests.1?.hex ?? "nothing"); \(why(parting, recorded, now, run))"
      result.finding = text
      result.lines = ["\(head)\(before.isEmpty ? "" : ": \(before): the same, bit for bit")", "NOT PROVEN: \(text)"]
    }
    return result
  }

  /// Why a step may part there.
  private static func why(_ parting: StepDigests.Parting, _ recorded: StepDigests, _ now: StepDigests, _ run: ProvenRun) -> String {
    if let library = recorded["plugin"]?.first, let other = now["plugin"]?.first, library != other {
      return "the library of the plugin is another one since: sha256 \(library.hex), now \(other.hex)"
    }
    if parting.stage == "numbers" { return "all that was computed is the same, the numbers of the line are not: one was changed, or the step was made with another --micro-batch-tokens, by which sums of shares round" }
    let backend = run.record["backend"]?.string.map { " (the run: \($0))" } ?? ""
    return "the digest was changed, or this machine\(backend) or this build of the program computes otherwise"
  }

  /// The stages in the order in which they are compared, each once.
  private static func names(_ digests: StepDigests, before stage: String? = nil) -> String {
    var names: [String] = []
    for (name, _, _) in digests.inOrder {
      if name == stage { break }
      if !names.contains(name) { names.append(name) }
    }
    return names.joined(separator: " ")
  }

  private static func json(_ run: ProvenRun, _ findings: [String], _ again: StepResult?) -> JSON {
    var object: JSON.Object = [
      "proven": .bool(findings.isEmpty), "stage": .string(run.stage), "steps": .integer(run.log.steps.count),
      "chain": run.log.steps.last?.digests.chain.map { .string($0.hex) } ?? .null, "found": .array(run.proven.map { .string($0) }),
      "findings": .array(findings.map { .string($0) }),
    ]
    guard let again else {
      object["step"] = .null
      return .object(object)
    }
    var step: JSON.Object = ["step": .integer(again.step), "computed": .string(again.origin)]
    step["same"] = again.obstacle == nil ? .bool(again.finding == nil) : .null
    if let why = again.obstacle { step["obstacle"] = .string(why) }
    if let parting = again.parting {
      var place: JSON.Object = ["stage": .string(parting.stage)]
      if let update = parting.update { place["update"] = .integer(update) }
      place["recorded"] = parting.digests.0.map { .string($0.hex) } ?? .null
      place["computed"] = parting.digests.1.map { .string($0.hex) } ?? .null
      step["parting"] = .object(place)
    }
    object["step"] = .object(step)
    return .object(object)
  }
}

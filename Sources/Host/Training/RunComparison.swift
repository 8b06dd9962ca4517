import Support
import Telemetry

/// Where two runs part: the first step and stage whose digests differ, and what of their settings does.
package struct RunComparison: Sendable {
  package struct Difference: Sendable, Equatable {
    package let name: String
    /// nil where a run has none.
    package let values: (JSON?, JSON?)

    package static func == (a: Difference, b: Difference) -> Bool {
      a.name == b.name && a.values.0 == b.values.0 && a.values.1 == b.values.1
    }

    package var text: String { "\(name) \(Self.text(values.0)) and \(Self.text(values.1))" }

    private static func text(_ value: JSON?) -> String {
      guard let value else { return "nothing" }
      let text = value.string ?? value.text()
      return Digest(hex: text) != nil ? "\(text.prefix(16))…" : text
    }
  }

  /// Steps of each.
  package let steps: (Int, Int)
  /// Steps from the first on that are the same, bit for bit.
  package private(set) var same = 0
  /// nil where every step that both have is the same.
  package private(set) var parting: (step: Int, StepDigests.Parting)?
  /// Whether another library answered in some step.
  private let hasOtherPlugin: Bool
  /// What of `run.json` differs.
  package let differences: [Difference]

  package init(_ first: String, _ second: String) throws(Failure) {
    let (one, other) = (try Self.read(first), try Self.read(second))
    guard one.stage == other.stage else {
      throw .badData("\(first) is a run of `\(one.stage)`, \(second) one of `\(other.stage)`; two runs of one command can be compared")
    }
    let logs = (one.log.steps, other.log.steps)
    steps = (logs.0.count, logs.1.count)
    differences = Self.differences(one.record, other.record)
    same = min(steps.0, steps.1)
    // What was computed says more than the numbers that were made of it; which library said the same is no difference at all.
    for passedOver in [["plugin", "numbers"], ["plugin"]] as [Set<String>] where parting == nil {
      for (a, b) in zip(logs.0, logs.1) {
        guard let found = a.digests.parting(from: b.digests, passingOver: passedOver) else { continue }
        parting = (a.record.step, found)
        same = a.record.step - 1
        break
      }
    }
    hasOtherPlugin = zip(logs.0, logs.1).contains { $0.digests["plugin"] != $1.digests["plugin"] }
  }

  /// A run whose steps stand one after another, each with its digests; whether they are linked is `verify`'s question.
  private static func read(_ path: String) throws(Failure) -> (stage: String, record: JSON.Object, log: ProofLog) {
    let folder = RunFolder(Files.withoutTrailingSlashes(path))
    let record = try ProvenRun.record(folder)
    guard let stage = record["stage"]?.string else { throw .badData("\(folder.path)/run.json: has no \"stage\"") }
    let log = try ProofLog(folder, stage: stage, start: nil)
    for (index, step) in log.steps.enumerated() where step.record.step != index + 1 {
      throw .badData("\(folder.metrics): expected step \(index + 1), found step \(step.record.step); nano-reasoner verify \(ShellWord.line([path])) says what is wrong")
    }
    if log.steps.isEmpty {
      throw .badData("\(folder.metrics): has no step with a \"\(StepDigests.key)\": none is finished yet, or a version of this program wrote it that proved nothing")
    }
    return (stage, record, log)
  }

  private static func differences(_ one: JSON.Object, _ other: JSON.Object) -> [Difference] {
    func settings(_ record: JSON.Object) -> JSON.Object {
      var settings = record["identity"]?.object ?? [:]
      if let digest = record["plugin"]?["sha256"] { settings["plugin sha256"] = digest }
      if let backend = record["backend"] { settings["backend"] = backend }
      if let version = record["version"] { settings["version"] = version }
      // What was not in the identity because it changes no result, or because the run may become longer.
      for (key, value) in (record["arguments"]?.object).map({ object in object.keys.map { ($0, object[$0]) } }) ?? [] {
        if settings[key] == nil, !incidental.contains(key), let value, !value.isNull { settings[key] = value }
      }
      return settings
    }
    let (a, b) = (settings(one), settings(other))
    return (a.keys + b.keys.filter { a[$0] == nil }).filter { a[$0] != b[$0] }.map { Difference(name: $0, values: (a[$0], b[$0])) }
  }

  /// Options that say where a run is written and shown.
  private static let incidental: Set<String> = [
    "out", "resume", "quiet", "json", "live", "no-tensorboard", "wandb", "wandb-group", "wandb-tags", "sample-every", "checkpoint-every",
    "checkpoint-minutes", "stop-after", "dry-run", "allow-changed",
  ]

  // MARK: What it means

  /// Of each stage: what is the same before it and what differs, and the settings that may be why.
  private static let meanings: [String: (sentence: String, causes: [String])] = [
    "data": (
      "the runs take other data",
      [
        "seed", "data_sha256", "data", "no-shuffle", "prompts-per-step", "batch-size", "max-samples", "max-length", "loss-on", "prompt-form",
        "overlong", "question-key", "answer-key", "tokenizer.json sha256", "steps", "max-steps", "epochs",
      ]
    ),
    "ids": (
      "the same prompts, other completions",
      ["seed", "temperature", "group-size", "max-new-tokens"] + model
    ),
    "rewards": ("the same completions, other rewards: the graders differ", ["reward"]),
    "select": ("the same rewards, another selection of groups or other refilled ones", ["refill-rounds"] + plugin + ["reward"]),
    "log_probs": ("the same rollouts, other log-probabilities, values or references", ["logprob-temperature"] + model + plugin),
    "advantages": ("the same rollouts, other advantages: the plugins or their parameters differ", plugin),
    "scores": ("the same data up to here, but the model says other log-probabilities of them", ["logprob-temperature"] + model),
    "derivatives": ("the same rollouts and advantages, other derivatives: the plugins or their parameters differ", plugin),
    "gradients": (
      "the same derivatives, other gradients or other settings of the optimiser",
      ["lr", "weight-decay", "clip-grad-norm", "schedule", "warmup-steps", "value-lr", "steps", "max-steps", "epochs", "minibatches", "inner-epochs"] + model
    ),
    "weights": (
      "the same gradients' norm, other weights behind it", ["lr", "weight-decay", "clip-grad-norm", "schedule", "warmup-steps"] + model
    ),
    "state": ("the same weights, other moments, critic or plugin state", ["value-lr", "weight-decay"] + plugin),
    "numbers": ("all that was computed is the same; the numbers of the line are not: one was changed, or an update was cut into other micro-batches, by which sums of shares round", ["micro-batch-tokens"]),
  ]

  private static let plugin = ["plugin sha256", "plugin_sha256", "algo", "plugin_parameters", "set", "plugin"]
  private static let model = [
    "model.safetensors sha256", "config.json sha256", "model", "adapter", "adapter_model.safetensors sha256", "lora-rank", "lora-alpha",
    "lora-targets", "full", "precision", "quantize", "arithmetic", "backend", "device", "seed",
  ]

  /// What the parting means, in one sentence.
  package var meaning: String {
    guard let (_, parting) = parting else {
      let libraries = hasOtherPlugin ? ", from two builds of the plugin" : ""
      let text = "the same \(same) \(same == 1 ? "step" : "steps"), bit for bit\(libraries)"
      if steps.0 == steps.1 { return text }
      return "\(text); the \(steps.0 < steps.1 ? "first" : "second") run ends there, the other has \(max(steps.0, steps.1))"
    }
    let (sentence, causes) = Self.meanings[parting.stage] ?? ("the stage \(parting.stage) differs", [])
    // The likeliest; all of them stand in `differences`.
    let named = causes.compactMap { cause in differences.first { $0.name == cause }?.text }.prefix(2)
    if !named.isEmpty { return "\(sentence) (\(named.joined(separator: "; ")))" }
    return "\(sentence); run.json names nothing that explains it: another machine, another build of the program, or a change by hand"
  }

  package var json: JSON {
    var object: JSON.Object = [
      "same_steps": .integer(same), "steps": .array([.integer(steps.0), .integer(steps.1)]), "meaning": .string(meaning),
    ]
    if let (step, parting) = parting {
      var place: JSON.Object = ["step": .integer(step), "stage": .string(parting.stage)]
      if let update = parting.update { place["update"] = .integer(update) }
      place["digests"] = .array([parting.digests.0, parting.digests.1].map { $0.map { .string($0.hex) } ?? .null })
      object["parting"] = .object(place)
    } else {
      object["parting"] = .null
    }
    var settings = JSON.Object()
    for difference in differences { settings[difference.name] = .array([difference.values.0 ?? .null, difference.values.1 ?? .null]) }
    object["differences"] = .object(settings)
    return .object(object)
  }
}

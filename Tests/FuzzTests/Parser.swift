import Compute
import Evaluation
import Support
import Tasks
import Tokenization
import Transformer

@testable import PluginHost
@testable import Telemetry
@testable import Training

/// One parser of the program with the small files that its mutants come of.
struct Parser {
  private let target: FuzzTests.Target
  private let folder: String

  init(_ target: FuzzTests.Target, _ folder: String) throws(Failure) {
    self.target = target
    self.folder = folder
    switch target {
    case .tokenizerConfiguration, .configuration, .generation: try Self.link(FuzzTests.tied, folder + "/model")
    case .adapterConfiguration, .adapterWeights: try Self.link(FuzzTests.adapter, folder + "/adapter")
    case .index: try Self.link(FuzzTests.sharded, folder + "/model")
    case .tokenizer: try Files.makeDirectory(folder + "/model")
    case .run, .report, .metrics, .samples: try Files.makeDirectory(folder + "/run")
    case .state, .stateValues: try Files.makeDirectory(folder + "/step-3")
    default: break
    }
    if target == .state {
      var writer = SafetensorsWriter(metadata: [:])
      writer.add("optimizer.step", [Int64(4)], shape: [1])
      try writer.write(to: folder + "/step-3/state.safetensors")
    }
    if target == .stateValues { try AtomicFile.write(Self.state, to: folder + "/step-3/state.json") }
    if target == .report || target == .samples || target == .run { try AtomicFile.write(Self.metrics, to: folder + "/run/metrics.jsonl") }
  }

  private static func link(_ source: String, _ place: String) throws(Failure) {
    try Files.makeDirectory(place)
    for name in try Files.list(source) where !Files.isDirectory("\(source)/\(name)") { try Files.copy("\(source)/\(name)", to: "\(place)/\(name)") }
  }

  private static let metrics = #"{"stage":"rl", "step":1, "time":"2026-01-01T00:00:00.000Z", "elapsed":1.5, "loss":0.25, "kl_old_k3":null, "nonfinite":["kl_old_k3"]}"# + "\n"
    + #"{"stage":"rl", "step":2, "time":"2026-01-01T00:00:01.000Z", "elapsed":2.5, "loss":0.125, "plugin/x":1e-3, "proof":{"data":"\#(digest)", "scores":["\#(digest)"], "numbers":"\#(digest)", "chain":"\#(digest)"}}"# + "\n"
  private static let digest = String(repeating: "a1", count: 32)
  private static let samples = #"{"stage":"rl", "step":1, "example":0, "question":"1 + 1?", "sample":0, "completion":"\boxed{2}", "reward":1.0, "correct":true, "extracted":"2", "gold":"2", "reason":"equal", "length":2, "truncated":false, "advantage":0.5, "tokens":["a","b"], "log_probs":[-0.5,-1], "entropies":[0.1,0.2], "ratios":[1,1.01]}"# + "\n"
  private static let run = #"{"stage": "rl", "version": "0.1.0", "arguments": {"lr": 1e-5, "set": {"beta": "0.04"}}, "given": ["lr"], "identity": {"lr": 0.5, "seed": 42, "stage": "rl"}, "run": "\#(digest)", "held_out": {"eval-limit": 3}, "changes": [{"after_step": 3, "name": "lr", "was": 0.1, "now": 0.2}]}"#
  private static let state = #"{"step": 3, "cursor": 12, "plugin": {"id": "grpo", "version": "1", "sha256": "00", "state_version": 1}, "run": "00", "state.safetensors sha256": "00", "sha256": "00"}"#

  /// The files that are mutated.
  var corpus: [[UInt8]] {
    get throws(Failure) {
      func file(_ path: String) throws(Failure) -> [UInt8] { try Files.read(path) }
      func text(_ texts: String...) -> [[UInt8]] { texts.map { Array($0.utf8) } }
      switch target {
      case .safetensors, .stateValues:
        var writer = SafetensorsWriter(metadata: ["format": "pt"])
        writer.add("optimizer.step", [Int64(4)], shape: [1])
        writer.add("value.a", [1, 2, 3, 4] as [Float], shape: [2, 2])
        writer.add("b", [1, -2] as [Float], shape: [2], as: .bfloat16)
        writer.add("h", [1, -2] as [Float], shape: [1, 2], as: .float16)
        writer.add("d", [0.5] as [Double], shape: [1])
        writer.add("plugin.state", [1, 2, 3] as [UInt8], shape: [3])
        try writer.write(to: folder + "/small")
        return [try file(folder + "/small"), try file(FuzzTests.tests + "/TrainingTests/Goldens/adamw_groups.safetensors")]
      case .json:
        return [try file(FuzzTests.tests + "/TrainingTests/Goldens/schedules.json")] + text(Self.run, #"[1, -0, 0.10, 1e400, 9223372036854775807, "\ud83d\ude00\u0000", {"": [null, true]}]"#)
      case .jsonLines:
        return [try file(FuzzTests.tests + "/TrainingTests/Goldens/data.jsonl")]
          + text(
            #"{"question": "A <<1+1=2>> b?", "answer": "x\n#### 2"}"# + "\r\n\r\n" + #"{"problem": "p", "solution": "\\boxed{\\frac12}", "answer": null}"#,
            #"[{"prompt": [{"role": "user", "content": "q"}], "completion": "c"}, {"text": "t"}]"#, "\u{FEFF}{\"question\": \"q\", \"answer\": 12.50}\n")
      case .tokenizer: return [try file(FuzzTests.tied + "/tokenizer.json")]
      case .tokenizerConfiguration: return [try file(FuzzTests.tied + "/tokenizer_config.json")]
      case .configuration: return [try file(FuzzTests.tied + "/config.json")]
      case .generation: return [try file(FuzzTests.tied + "/generation_config.json")] + text(#"{"eos_token_id": [1, 2, 3]}"#)
      case .adapterConfiguration: return [try file(FuzzTests.adapter + "/adapter_config.json")]
      case .adapterWeights: return [try file(FuzzTests.adapter + "/adapter_model.safetensors")]
      case .index: return [try file(FuzzTests.sharded + "/model.safetensors.index.json")]
      case .run: return text(Self.run)
      case .state: return text(Self.state)
      case .metrics: return text(Self.metrics)
      case .samples, .report: return text(Self.samples, Self.metrics)
      case .events: return text("events.out.tfevents.1700000000.host.123.0", "events.out.tfevents.9223372036854775806.h.1.0", "9223372036854775807.events.out.tfevents.x")
      case .pluginCard:
        return text(
          #"{"path": "/a", "sha256": "00", "needs": ["critic"], "descriptor": {"id": "x", "version": "1", "title": "t", "reference": "r", "card": "c", "abi": [1, 0], "state_version": 3, "parameters": [{"name": "beta", "help": "h", "kind": "real", "range": [0.0, 1e300, 0.04], "choices": [], "variant_presets": []}, {"name": "n", "help": "h", "kind": "integer", "range": [0, 9007199254740992, 1], "choices": [], "variant_presets": []}], "metrics": [{"name": "m", "help": "h", "fold": "mean"}]}}"#)
      case .pluginReport:
        return text(#"{"test": "bounds", "status": "passed", "message": "x", "seconds": 0.5}"#, #"{"test": "loading", "status": "failed", "message": "m", "seconds": 1e-3}"#)
      case .answers:
        return text(
          "<think>so</think> The answer is \\boxed{\\frac{3}{4}}\u{0}3/4", "\\boxed{1{,}234.50\\,\\text{ cm}}\u{0}1234.5", "\\boxed{x^{2}+\\sqrt{2}}\u{0}x^2 + 2^{1/2}",
          "\\boxed{(1, 2] \\cup \\{3\\}}\u{0}\\left(1,2\\right]", "\\boxed{50\\%}\u{0}0.5", "\\boxed{\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}}\u{0}1e5")
      case .evaluation: return text(#"{"example":0,"sample":1,"question":"q","completion":"c","correct":true,"extracted":null,"gold":"1","reason":"r","length":3,"truncated":false}"# + "\n")
      }
    }
  }

  /// Reads a mutant as the program would, all the way to the values it would use.
  func read(_ bytes: [UInt8], _ path: String) throws {
    switch target {
    case .safetensors: try Self.readAll(SafetensorsFile(path))
    case .json:
      let json = try JSON.parse(bytes, name: "m")
      try Self.touch(json)
      // What is written is read as the same.
      let again = try JSON.parse(json.text(), name: "again")
      guard again.text() == json.text() else { fatalError("JSON changes when it is written: \(json.text())") }
    case .jsonLines:
      _ = try? JSONLines.count(bytes, name: "m")
      for example in try ExampleFile.parse(bytes, name: "m") { _ = example.prompt(.qwen) }
    case .tokenizer:
      try FuzzTests.put(bytes, folder + "/model/tokenizer.json")
      try Self.use(Tokenizer(folder: folder + "/model"))
    case .tokenizerConfiguration:
      try FuzzTests.put(bytes, folder + "/model/tokenizer_config.json")
      try Self.use(Tokenizer(folder: folder + "/model"))
    case .configuration:
      try FuzzTests.put(bytes, folder + "/model/config.json")
      _ = try Architecture(ModelFolder(folder + "/model").configuration).parameterCount
    case .generation:
      try FuzzTests.put(bytes, folder + "/model/generation_config.json")
      _ = try ModelFolder(folder + "/model").endOfText
    case .adapterConfiguration:
      try FuzzTests.put(bytes, folder + "/adapter/adapter_config.json")
      _ = try AdapterFolder(folder + "/adapter")
    case .adapterWeights:
      try FuzzTests.put(bytes, folder + "/adapter/adapter_model.safetensors")
      _ = try AdapterFolder(folder + "/adapter")
      try Self.readAll(SafetensorsFile(folder + "/adapter/adapter_model.safetensors"))
    case .index:
      try FuzzTests.put(bytes, folder + "/model/model.safetensors.index.json")
      _ = try ModelFolder(folder + "/model").weightFiles
    case .run:
      try FuzzTests.put(bytes, folder + "/run/run.json")
      _ = ReportPage.html([try ReportRun(folder + "/run", name: "r", sampleBytes: 1000)])
      if let run = try? ProvenRun(folder + "/run") { _ = run.identity(ofStep: 3) }
      if let comparison = try? RunComparison(folder + "/run", folder + "/run") { _ = comparison.json }
      try RunFolder(folder + "/run").check(RunRecord(stage: "rl", identity: ["lr": 0.5, "seed": 42], description: [:]), resuming: true)
    case .state:
      try FuzzTests.put(bytes, folder + "/step-3/state.json")
      _ = try? TrainingState(from: folder + "/step-3", step: 3, run: "00")
      _ = try TrainingState(from: folder + "/step-3", step: 3, run: nil)
    case .stateValues:
      try FuzzTests.put(bytes, folder + "/step-3/state.safetensors")
      _ = try TrainingState(from: folder + "/step-3", step: 3, run: nil)
    case .metrics:
      try FuzzTests.put(bytes, folder + "/run/metrics.jsonl")
      _ = ReportPage.html([try ReportRun(folder + "/run", name: "r", sampleBytes: 100)])
      _ = RunFolder(folder + "/run").secondsBefore(resuming: true)
      for record in try MetricLog.read(folder + "/run/metrics.jsonl") { _ = try record.json() }
      _ = try ProofLog(RunFolder(folder + "/run"), stage: "rl", start: Digest(hex: Self.digest))
      _ = try MetricLog(resuming: folder + "/run/metrics.jsonl", stage: "rl", step: 1)
    case .samples:
      try FuzzTests.put(bytes, folder + "/run/samples.jsonl")
      for sample in try SampleLog.read(folder + "/run/samples.jsonl", step: nil).samples {
        for measure in SampleText.Measure.allCases {
          _ = SampleText(measure, isColoured: true).text(sample)
          _ = SampleText(measure, isColoured: false).notable(sample).text()
        }
      }
      _ = try SampleLog(resuming: folder + "/run/samples.jsonl", stage: "rl", step: 0)
    case .report:
      try FuzzTests.put(bytes, folder + "/run/samples.jsonl")
      let page = ReportPage.html([try ReportRun(folder + "/run", name: "r", sampleBytes: 300)])
      let mark = Array(#"<script id="data" type="application/json">"#.utf8)
      guard let start = page.firstRange(of: mark), let end = page[start.upperBound...].firstRange(of: Array("</script>".utf8)) else { fatalError("no data in the page") }
      // Whatever the log holds, the page's data are whole.
      _ = try! JSON.parse(Array(page[start.upperBound..<end.lowerBound]), name: "page")
    case .events:
      let name = String(decoding: bytes, as: UTF8.self).filter { $0 != "/" && $0 != "\0" }
      let place = folder + "/events"
      try Files.removeTree(place)
      try Files.makeDirectory(place)
      if !name.isEmpty, name.utf8.count < 200, name != ".", name != ".." { try FuzzTests.put([], "\(place)/\(name)") }
      _ = try TensorBoardSink(folder: place, after: 3, resuming: true)
      if name.contains("x") { throw Failure.badData("counted apart") }
    case .pluginCard:
      guard let card = PluginCard(json: try JSON.parse(bytes, name: "m")) else { throw Failure.badData("no card") }
      _ = card.id
    case .pluginReport:
      guard CheckOutcome(json: try JSON.parse(bytes, name: "m")) != nil else { throw Failure.badData("no outcome") }
    case .answers:
      let parts = String(decoding: bytes, as: UTF8.self).split(separator: "\0", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      for mode in [Verifier.Mode.numeric, .exact] {
        let verifier = Verifier(mode: mode)
        let verdict = try verifier.verdict(on: parts[0], gold: parts.last ?? "")
        if verdict.extracted == nil { throw Failure.badData("no answer") }
        _ = try verifier.verdict(answer: parts[0], gold: parts.last ?? "")
      }
    case .evaluation: _ = try EvaluationFile.read(path)
    }
  }

  private static func readAll(_ file: SafetensorsFile) throws {
    for name in file.names {
      _ = file.firstNonFinite(try file.entry(name))
      _ = try? file.floats(name)
      _ = try? file.integers(name)
    }
  }

  private static func touch(_ json: JSON) throws {
    _ = (json.int, json.double, json.kind, json.numberText)
    for value in json.array ?? [] { try touch(value) }
    for key in json.object?.keys ?? [] { try json[key].map(touch) }
  }

  private static func use(_ tokenizer: Tokenizer) throws {
    let ids = tokenizer.encode("Tom has 3 apples.<|im_end|>\n é\u{0} <|im_start|>")
    _ = try tokenizer.decode(ids)
    _ = try tokenizer.tokenTexts(of: ids)
  }
}

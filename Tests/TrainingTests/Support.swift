import Compute
import PluginHost
import Rollouts
import Support
import Tasks
import Testing
import Tokenization
import Training
import Transformer

enum Place {
  static let goldens = Files.directory(of: #filePath) + "/Goldens"
  static let model = goldens + "/tied"
  /// The folder of the test program, where plugins are as they were built.
  static let build = Files.directory(of: Files.program ?? ".")

  static func holds(plugin id: String) -> Bool { Files.exists("\(build)/libnr-\(id).so") }
  static func plugin(_ id: String) throws(Failure) -> PluginLibrary { try PluginLibrary("\(build)/libnr-\(id).so") }
}

/// A folder of its own for a test; it goes away with the value.
final class TrialFolder {
  let path: String

  init() throws(Failure) {
    path = "/tmp/training-\(getpid())-\(UInt64.random(in: 0 ... .max))"
    try Files.makeDirectory(path)
  }

  deinit { try? Files.removeTree(path) }

  func file(_ name: String) -> String { "\(path)/\(name)" }
}

/// The failure that a call ends in; nil where it succeeds.
func failure<T>(_ body: () throws(Failure) -> T) -> Failure? {
  do throws(Failure) {
    _ = try body()
    return nil
  } catch { return error }
}

func loadModel(full: Bool = false, adapter: String? = nil, threads: Int = 2) throws -> (Transformer, AdapterSettings?) {
  let model = try Transformer(ModelFolder(Place.model), trainable: full ? .full : .nothing, on: CPUBackend(threads: threads))
  guard let adapter else { return (model, nil) }
  return (model, try model.loadAdapter("\(Place.goldens)/lora_steps/\(adapter)_adapter"))
}

/// The lines of data.jsonl as the `tokenizers` package cuts them.
func goldenSequences() throws -> [TrainingSequence] {
  let file = try SafetensorsFile(Place.goldens + "/tokens.safetensors")
  let tokens = try file.integers("tokens").map { Int32($0) }
  let offsets = try file.integers("token_offsets").map { Int($0) }
  return zip(offsets, offsets.dropFirst()).map { TrainingSequence(tokens: Array(tokens[$0..<$1])) }
}

func doubles(_ file: SafetensorsFile, _ name: String) throws -> [Double] {
  let entry = try file.entry(name)
  return unsafe file.withBytes(entry) { raw in
    (0..<entry.elementCount).map { unsafe raw.loadUnaligned(fromByteOffset: 8 * $0, as: Double.self) }
  }
}

/// The bits of everything that is trained.
func bits(_ policy: Policy) throws -> [[UInt32]] {
  try (policy.model.parameters + (policy.valueHead?.parameters ?? [])).map {
    try policy.model.backend.download($0.value).map(\.bitPattern)
  }
}

/// Watches nothing, or asks to stop once a number of steps are done.
final class TrialObserver: RunObserver {
  private let stopsAfter: Int
  private(set) var steps: [RunStep] = []
  var isStopRequested: Bool { steps.count >= stopsAfter }

  init(stopsAfter: Int = .max) { self.stopsAfter = stopsAfter }

  func begin(stage: String, total: Int, resumedAt step: Int) {}
  func completed(_ step: RunStep) { steps.append(step) }
  func end(stage: String) {}
}

/// The lines of a log without what the clock and the machine say.
func deterministicRecords(_ path: String) throws -> [String] {
  try Files.readText(path).split(separator: "\n").map { line in
    let json = try JSON.parse(String(line), name: path)
    var kept = JSON.Object()
    for key in json.object?.keys ?? [] where !key.contains("seconds") && !["time", "elapsed", "peak_mebibytes"].contains(key) {
      if !key.hasSuffix("_per_second") { kept[key] = json[key] }
    }
    return JSON.object(kept).text()
  }
}

/// The bytes of every file below a folder that two equal runs have in common.
func expectSameResult(_ first: String, _ second: String, files: [String]) throws {
  for name in files {
    #expect(try Files.read("\(first)/\(name)") == Files.read("\(second)/\(name)"), "\(name) differs")
  }
  let records = try deterministicRecords(first + "/metrics.jsonl")
  #expect(!records.isEmpty)
  #expect(try deterministicRecords(second + "/metrics.jsonl") == records)
}

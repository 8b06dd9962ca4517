import Compute
import Evaluation
import Support
import Tasks
import Testing
import Tokenization
import Transformer

@testable import PluginHost
@testable import Telemetry
@testable import Training

/// Every parser against mutants of small files: it gives a value or a `Failure`, and never a signal, a hang or a gigabyte.
///
/// It runs in this process, so that a trap ends the tests; the mutant that did it lies in `nr-fuzz-PID/TARGET/mutant` in `$TMPDIR`, else in memory. The seed is fixed
/// and so is the number of mutants; `make fuzz SECONDS=3600` goes on with further seeds.
@Suite(.serialized) struct FuzzTests {
  static let tests = Files.directory(of: Files.directory(of: #filePath))
  static let tied = tests + "/TrainingTests/Goldens/tied"
  static let adapter = tests + "/TrainingTests/Goldens/lora_steps/initial_adapter"
  static let sharded = tests + "/TransformerTests/Goldens/untied"
  static let seconds = environmentVariable("NR_FUZZ_SECONDS").flatMap { Double($0) }
  static let seed = environmentVariable("NR_FUZZ_SEED").flatMap { UInt64($0) } ?? 1
  /// Files in memory are written thirty times as fast.
  static let temporary = environmentVariable("TMPDIR") ?? (Files.isDirectory("/dev/shm") ? "/dev/shm" : "/tmp")
  /// A second a target or less.
  static let mutants = 400

  enum Target: UInt64, CaseIterable, Sendable {
    case safetensors, json, jsonLines, tokenizer, tokenizerConfiguration, configuration, adapterConfiguration, adapterWeights, index, run
    case state, stateValues, metrics, samples, report, events, pluginCard, pluginReport, answers, evaluation, generation
  }

  @Test(arguments: Target.allCases) func everyMutantIsAValueOrAFailure(_ target: Target) throws {
    let folder = Self.temporary + "/nr-fuzz-\(getpid())/\(target)"
    try Files.makeDirectory(folder)
    let parser = try Parser(target, folder)
    let corpus = try parser.corpus
    let watch = Stopwatch()
    var counts = (tried: 0, values: 0)
    var slowest = 0.0
    let budget = Self.seconds.map { $0 / Double(Target.allCases.count) }
    var seed = Self.seed
    repeat {
      var mutator = Mutator(seed: seed, target: target.rawValue)
      for _ in 0..<Self.mutants {
        let mutant = mutator.mutant(of: corpus[mutator.below(corpus.count)], or: corpus[mutator.below(corpus.count)])
        try Self.put(mutant, folder + "/mutant")
        // What hangs is ended by the alarm, as a trap would.
        alarm(60)
        let one = Stopwatch()
        do { try parser.read(mutant, folder + "/mutant"); counts.values += 1 } catch is Failure {}
        slowest = max(slowest, one.seconds)
        counts.tried += 1
        if slowest > 5 {
          try Files.copy(folder + "/mutant", to: folder + "/slow")
          break
        }
      }
      seed += 1
    } while slowest <= 5 && watch.seconds < budget ?? 0
    alarm(0)
    #expect(slowest <= 5, "\(target): a mutant took \(slowest) s: \(folder)/slow")
    #expect(Self.peakMebibytes < 1024, "\(target): \(Self.peakMebibytes) MiB")
    #expect(counts.tried >= Self.mutants && counts.values > 0)
    // A report leaves out what is broken; everything else refuses some.
    #expect(counts.values < counts.tried || target == .report)
    print("fuzz: \(target): \(counts.tried) mutants, \(counts.values) of them values, the others failures; slowest \(Int(slowest * 1000)) ms, peak \(Self.peakMebibytes) MiB")
    if slowest <= 5 { try Files.removeTree(folder) }
    // Gone with the last target.
    unsafe _ = rmdir(Files.directory(of: folder))
  }

  /// Written without a sync: a hundred thousand of them are to come.
  static func put(_ bytes: [UInt8], _ path: String) throws {
    let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    try #require(descriptor >= 0)
    defer { close(descriptor) }
    try AtomicFile.write(bytes, descriptor: descriptor, name: path)
  }

  static var peakMebibytes: Int {
    var usage = rusage()
    #if os(Linux)
    unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage.ru_maxrss >> 10
    #else
    unsafe getrusage(RUSAGE_SELF, &usage)
    return usage.ru_maxrss >> 20
    #endif
  }
}

import Support
import Telemetry
import TestSupport
import Testing

@Suite("TensorBoard event files")
struct EventFileTests {
  /// Made by `Tests/Oracles/make_events.py` with TensorBoard's own writer.
  static let golden = Files.directory(of: #filePath) + "/Goldens/events.tfevents"

  @Test("Are byte for byte what TensorBoard's own writer makes")
  func golden() throws {
    let lengths = try #require(Histogram([3, 53, 38, 38, 17, 44]))
    let bytes =
      EventFile.header(time: 1_700_000_000.25) + EventFile.restart(time: 1_700_000_000.5, step: 301)
      + EventFile.summary(
        time: 1_700_000_001.125, step: 301,
        [
          .scalar("reward", 0.46875), .scalar("plugin/ratio_max", 1.1), .scalar("loss", -0.0), .scalar("kl_old_k3", .nan),
          .histogram("completion_length", lengths), .text("samples", "**Wie viele Äpfel?**\n\n    32 - 31 = 1.\n"),
        ]) + EventFile.summary(time: 1_700_000_002, step: 100_000, [.scalar("reward", 1)])
    #expect(bytes == (try Files.read(Self.golden)))
  }

  @Test("A histogram holds every value once, also where all are equal or some are not finite")
  func histogram() throws {
    let values: [Float] = [0.5, 1, 1, 1.5, 2, 2, .nan, .infinity]
    let histogram = try #require(Histogram(values, buckets: 3))
    #expect(histogram.limits == [1, 1.5, 2])
    #expect(histogram.counts == [1, 2, 3])
    #expect((histogram.minimum, histogram.maximum, histogram.count) == (0.5, 2, 6))
    #expect(histogram.sum == 8 && histogram.sumOfSquares == 12.5)
    let equal = try #require(Histogram([1, 1, 1]))
    #expect(equal.limits == [1] && equal.counts == [3])
    #expect(Histogram([]) == nil && Histogram([.nan]) == nil)
  }

  @Test("A sink writes each step at once; a continued run adds a file that sorts later and says where it restarts")
  func sink() throws {
    let folder = try TrialFolder()
    func step(_ number: Int) throws -> StepRecord {
      try StepRecord(
        MetricRecord(stage: "rl", step: number, elapsed: 1, metrics: ["reward": 0.5]),
        distributions: [Distribution("completion_length", [1, 2]), Distribution("empty", [])])
    }
    do {
      let sink = try TensorBoardSink(folder: folder.path, after: 0, resuming: false)
      var sizes: [Int] = []
      for number in 1...3 {
        try sink.write(try step(number))
        let name = try #require(try Files.list(folder.path).first)
        sizes.append(try Files.read(folder.file(name)).count)
      }
      #expect(sizes[1] > sizes[0] && sizes[2] > sizes[1])
    }
    let first = try #require(try Files.list(folder.path).first)
    _ = try TensorBoardSink(folder: folder.path, after: 2, resuming: true)
    let names = try Files.list(folder.path)
    #expect(names.count == 2 && names[0] == first)
    // The frame of the header, then that of the restart, which ends in SessionLog{START} before its checksum.
    let second = try Files.read(folder.file(names[1]))
    #expect(Array(second.dropLast(4).suffix(6)) == [16, 3, 58, 2, 8, 1])
    _ = try TensorBoardSink(folder: folder.path, after: 0, resuming: false)
    #expect(try Files.list(folder.path).count == 1)
  }
}

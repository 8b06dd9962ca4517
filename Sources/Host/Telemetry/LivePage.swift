import Support
import Synchronization

/// Keeps `report.html` fresh while a run goes on: rewritten by a thread of low priority, at most every few seconds and
/// never for more than half a per cent of the time.
final class LivePage: Sink {
  let name = "live page"
  private let path: String
  private var run: ReportRun
  /// The newest samples, a step each.
  private var steps: [[UInt8]] = []
  private var sampleBytes = 0
  private let worker: BackgroundWorker<ReportRun>
  private let seconds: Seconds
  private var sinceWritten: Stopwatch?
  private static let interval = 3.0
  private static let sampleLimit = 1_500_000

  /// What writing the page took last.
  private final class Seconds: Sendable {
    let value = Mutex(0.0)
  }

  init(run folder: String, warn: @escaping (String) -> Void) throws(Failure) {
    path = folder + "/report.html"
    run = try ReportRun(folder, name: Files.name(of: folder), sampleBytes: Self.sampleLimit)
    if !run.samples.isEmpty {
      steps = [run.samples]
      sampleBytes = run.samples.count
    }
    let seconds = Seconds()
    self.seconds = seconds
    let path = path
    worker = try BackgroundWorker(capacity: 1) { run in
      let watch = Stopwatch()
      try? Self.replace(path, ReportPage.html([run], isLive: true))
      let spent = watch.seconds
      seconds.value.withLock { $0 = spent }
    }
  }

  func write(_ step: StepRecord) throws(Failure) {
    run.metrics += step.metricLine
    if !step.sampleLines.isEmpty {
      steps.append(step.sampleLines)
      sampleBytes += step.sampleLines.count
      while sampleBytes > Self.sampleLimit, steps.count > 1 { sampleBytes -= steps.removeFirst().count }
    }
    let pause = max(Self.interval, 200 * seconds.value.withLock { $0 })
    if let sinceWritten, sinceWritten.seconds < pause { return }
    worker.submit(snapshot)
    sinceWritten = Stopwatch()
  }

  private var snapshot: ReportRun {
    var run = run
    run.samples = steps.flatMap { $0 }
    return run
  }

  /// The last page reloads no more.
  func close(finished: Bool) throws(Failure) {
    _ = worker.finish(within: 10)
    try Self.replace(path, ReportPage.html([snapshot]))
  }

  /// Whole or not at all for a reader, but not synced: a page lost in a power failure is made again.
  private static func replace(_ path: String, _ page: [UInt8]) throws(Failure) {
    let temporary = path + ".tmp-\(getpid())"
    let descriptor = unsafe open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
    if descriptor < 0 { throw .inputOutput("\(path): cannot write: \(lastSystemError())") }
    defer { Support.close(descriptor) }
    try AtomicFile.write(page, descriptor: descriptor, name: path)
    if unsafe rename(temporary, path) != 0 { throw .inputOutput("\(path): cannot write: \(lastSystemError())") }
  }
}

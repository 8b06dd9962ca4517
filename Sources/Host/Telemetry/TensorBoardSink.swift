import Support

/// TensorBoard event files, written natively: scalars of all metrics, histograms of all distributions, text samples.
///
/// One file per part of a run. A part that continues an earlier one begins with a restart record, so that TensorBoard
/// drops the steps behind the checkpoint that the earlier part still wrote.
package final class TensorBoardSink: Sink {
  package let name = "TensorBoard"
  private let path: String
  private let descriptor: Int32
  private var lastText: Int?
  /// Steps between text samples: they are to be read, not drawn.
  private static let textEvery = 10
  private static let textSamples = 4

  package init(folder: String, after step: Int, resuming: Bool) throws(Failure) {
    try Files.makeDirectory(folder)
    var seconds = Int(Self.now)
    for file in try Files.list(folder) where file.contains(Self.prefix) {
      if !resuming {
        Files.remove("\(folder)/\(file)")
      } else if let earlier = file.split(separator: ".").compactMap({ Int($0) }).first, (0...Self.latest).contains(earlier) {
        // TensorBoard reads the files of a folder in the order of their names. What is no time is no file of ours.
        seconds = max(seconds, earlier + 1)
      }
    }
    path = "\(folder)/\(Self.prefix)\(seconds).\(Self.hostName).\(getpid()).0"
    descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_APPEND | O_TRUNC | O_CLOEXEC, 0o666)
    if descriptor < 0 { throw .inputOutput("\(path): cannot write: \(lastSystemError())") }
    var bytes = EventFile.header(time: Self.now)
    if resuming { bytes += EventFile.restart(time: Self.now, step: step + 1) }
    try AtomicFile.write(bytes, descriptor: descriptor, name: path)
  }

  deinit { Support.close(descriptor) }

  package func write(_ step: StepRecord) throws(Failure) {
    let metrics = step.metrics.metrics
    var values: [EventValue] = metrics.names.map { .scalar($0, Float(metrics[$0] ?? .nan)) }
    for distribution in step.distributions {
      if let histogram = Histogram(distribution.values) { values.append(.histogram(distribution.name, histogram)) }
    }
    let number = step.metrics.step
    if !step.samples.isEmpty, lastText.map({ number >= $0 + Self.textEvery }) ?? true {
      values.append(.text("samples", Self.markdown(step.samples)))
      lastText = number
    }
    let bytes = EventFile.summary(time: Self.now, step: number, values)
    try AtomicFile.write(bytes, descriptor: descriptor, name: path)
  }

  package func close(finished: Bool) throws(Failure) {}

  /// The first completions of a step for the text page, as preformatted text: a completion is not Markdown.
  static func markdown(_ samples: [Sample]) -> String {
    var text = ""
    for sample in samples.prefix(textSamples) {
      if text.isEmpty || sample.index == 0 { text += "**\(sample.question)**\n\n" }
      text += "\(sample.reward.map { "reward \(Format.fixed($0, 2))" } ?? "no reward"), \(sample.outcome): \(sample.error ?? sample.reason)\n\n"
      for line in sample.completion.split(separator: "\n", omittingEmptySubsequences: false) { text += "    \(line)\n" }
      text += "\n"
    }
    return text
  }

  /// Seconds since 1970 that a name may say: until the year 36 812.
  private static let latest = 1 << 40
  private static let prefix = "events.out.tfevents."

  private static var now: Double {
    var now = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &now)
    return Double(now.tv_sec) + Double(now.tv_nsec) * 1e-9
  }

  private static var hostName: String {
    var name = [UInt8](repeating: 0, count: 256)
    let failed = unsafe name.withUnsafeMutableBytes { unsafe gethostname($0.baseAddress!, 255) != 0 }
    let text = String(decoding: name.prefix { $0 != 0 }, as: UTF8.self)
    return failed || text.isEmpty ? "localhost" : text
  }
}

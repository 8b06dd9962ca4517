import Support
import Telemetry
import TestSupport
import Testing

@Suite("The page of a report")
struct ReportPageTests {
  /// Writes a run of some steps; returns its folder.
  static func run(steps: Int, in folder: TrialFolder) throws -> String {
    try AtomicFile.write(#"{"note": "</script><b>"}"#, to: folder.file("run.json"))
    var metrics = try MetricLog(creating: folder.file("metrics.jsonl"))
    var samples = try SampleLog(creating: folder.file("samples.jsonl"))
    for step in 1...steps {
      let record = try SampleTests.step(step)
      try metrics.append(record)
      try samples.append(record)
    }
    return folder.path
  }

  /// The data inside a page, as a browser finds it: up to the first end tag.
  static func data(_ page: [UInt8]) throws -> JSON {
    let text = String(decoding: page, as: UTF8.self)
    let start = try #require(text.firstRange(of: #"<script id="data" type="application/json">"#))
    let end = try #require(text[start.upperBound...].firstRange(of: "</script>"))
    return try JSON.parse(String(text[start.upperBound..<end.lowerBound]), name: "page")
  }

  @Test("Holds all lines of its runs, whatever stands in their texts")
  func data() throws {
    let folder = try TrialFolder()
    let path = try Self.run(steps: 3, in: folder)
    let run = try ReportRun(path, name: "<a>", sampleBytes: 1 << 20)
    let data = try Self.data(ReportPage.html([run, run]))
    let runs = try #require(data["runs"]?.array)
    #expect(runs.count == 2 && data["live"] == false && runs[0]["name"] == "<a>")
    #expect(runs[0]["run"]?["note"] == "</script><b>")
    #expect(runs[0]["metrics"]?.array == (try MetricLog.read(folder.file("metrics.jsonl")).map { try $0.json() }))
    #expect(runs[1]["samples"]?.array == (try SampleLog.read(folder.file("samples.jsonl"))))
  }

  @Test("Needs no network: no address but the name of SVG")
  func selfContained() throws {
    let page = String(decoding: ReportPage.html([]), as: UTF8.self)
    #expect(page.contains("<title>") && !page.contains("@STYLE@") && !page.contains("@SCRIPT@") && !page.contains("@DATA@"))
    let addresses = page.split(separator: "://").count - 1
    #expect(addresses == 1 && page.contains("http://www.w3.org/2000/svg"))
    #expect(!page.contains("<link") && !page.contains("src="))
  }

  @Test("Leaves out whole steps of samples where there is no room, never the first and the last")
  func budget() throws {
    let folder = try TrialFolder()
    let path = try Self.run(steps: 40, in: folder)
    let all = try Files.read(folder.file("samples.jsonl")).count
    let run = try ReportRun(path, name: "run", sampleBytes: all / 4)
    let samples = try #require(try Self.data(ReportPage.html([run]))["runs"]?.array?[0]["samples"]?.array)
    let steps = samples.compactMap { $0["step"]?.int }
    #expect(steps.first == 1 && steps.last == 40 && steps.count > 5 && steps.count <= 10)
  }

  @Test("A live page says so while the run goes on, shows all steps at its end, and then reloads no more")
  func live() throws {
    let folder = try TrialFolder()
    let path = try Self.run(steps: 2, in: folder)
    var monitoring = Monitoring()
    monitoring.tensorBoard = false
    monitoring.livePage = true
    var sinks = monitoring.open(path, stage: "rl", after: 2, resuming: true) { Issue.record("\($0)") }
    for step in 3...4 { sinks.write(try SampleTests.step(step)) }
    let watch = Stopwatch()
    while !Files.exists(folder.file("report.html")), watch.seconds < 10 { usleep(2000) }
    #expect(try Self.data(Files.read(folder.file("report.html")))["live"] == true)
    sinks.close(finished: true)
    let data = try Self.data(try Files.read(folder.file("report.html")))
    #expect(data["live"] == false)
    #expect(data["runs"]?.array?[0]["metrics"]?.array?.map { $0["step"]?.int } == [1, 2, 3, 4])
    #expect(data["runs"]?.array?[0]["samples"]?.array?.map { $0["step"]?.int } == [1, 2, 3, 4])
  }
}

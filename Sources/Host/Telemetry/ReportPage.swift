import Support

/// What the page shows of one run. Lines stay the bytes they are in the run's files: they are JSON already.
package struct ReportRun: Sendable {
  package var name: String
  /// `run.json`, or `{}`.
  var record: [UInt8]
  /// Whole lines of `metrics.jsonl` with their line feeds.
  var metrics: [UInt8]
  /// Whole lines of `samples.jsonl` with their line feeds.
  var samples: [UInt8]
  /// What of the files cannot be shown, a sentence a file.
  package private(set) var notes: [String] = []
  /// Whether a step is there to be shown.
  package var isEmpty: Bool { metrics.isEmpty }

  /// Reads a run's folder, finished or not.
  ///
  /// - Parameter sampleBytes: samples beyond it are left out by whole steps, evenly spread.
  package init(_ folder: String, name: String, sampleBytes: Int) throws(Failure) {
    self.name = name
    var notes: [String] = []
    func lines(_ path: String, _ check: (JSON) throws(Failure) -> Void) throws(Failure) -> [UInt8] {
      let lines = ReadableLines(try Files.read(path), name: path, check)
      if let note = lines.note { notes.append(note) }
      return lines.bytes
    }
    record = Self.record(folder + "/run.json", &notes)
    metrics = try lines(folder + "/metrics.jsonl") { json throws(Failure) in _ = try MetricRecord(json, name: "") }
    let path = folder + "/samples.jsonl"
    samples = Files.exists(path) ? Self.spread(try lines(path, Sample.check), within: sampleBytes) : []
    self.notes = notes
  }

  /// `run.json` as it stands, or `{}` where it is missing or no object.
  private static func record(_ path: String, _ notes: inout [String]) -> [UInt8] {
    let nothing = Array("{}".utf8)
    guard Files.exists(path) else { return nothing }
    do throws(Failure) {
      let json = try JSON.read(path)
      guard json.object != nil else { throw .badData("\(path): expected an object, found \(json.kind)") }
      return Array(json.text().utf8)
    } catch {
      notes.append("\(error.message); the settings are left out")
      return nothing
    }
  }

  /// The lines of the first and the last step and of as many in between as there is room for.
  static func spread(_ bytes: [UInt8], within limit: Int) -> [UInt8] {
    if bytes.count <= limit { return bytes }
    var steps: [Range<Int>] = []
    var last: Int?
    for line in LineLog.lines(of: bytes) {
      let step = LineLog.step(of: bytes[line])
      if step == last, !steps.isEmpty {
        steps[steps.count - 1] = steps[steps.count - 1].lowerBound..<line.upperBound + 1
      } else {
        steps.append(line.lowerBound..<line.upperBound + 1)
      }
      last = step
    }
    guard let final = steps.last else { return [] }
    var stride = max(1, bytes.count / max(limit, 1))
    while true {
      var kept = steps.indices.filter { $0 % stride == 0 }.map { steps[$0] }
      if kept.last != final { kept.append(final) }
      if kept.reduce(0, { $0 + $1.count }) <= limit || stride >= steps.count { return kept.flatMap { bytes[$0] } }
      stride += 1
    }
  }
}

/// The page of one or more runs: one HTML file that needs no network. Its parts lie in `Page/` and are compiled in.
package enum ReportPage {
  package static func html(_ runs: [ReportRun], isLive: Bool = false) -> [UInt8] {
    var page: [UInt8] = []
    page.reserveCapacity(runs.reduce(80_000) { $0 + ($1.metrics.count + $1.samples.count) * 21 / 20 })
    var rest = PackageResources.report_html[...]
    for (mark, append) in [
      ("@STYLE@", { $0 += PackageResources.report_css + Array(ChartStyle.variables.utf8) }), ("@DATA@", { data(runs, isLive, to: &$0) }),
      ("@SCRIPT@", { $0 += PackageResources.report_js }),
    ] as [(String, (inout [UInt8]) -> Void)] {
      guard let place = rest.firstRange(of: Array(mark.utf8)) else { continue }
      page += rest[..<place.lowerBound]
      append(&page)
      rest = rest[place.upperBound...]
    }
    page += rest
    return page
  }

  private static func data(_ runs: [ReportRun], _ isLive: Bool, to page: inout [UInt8]) {
    page += Array("{\"live\":\(isLive),\"written\":\"\(Timestamp.now.description)\",\"colours\":\(ChartStyle.count),\"runs\":[".utf8)
    for (index, run) in runs.enumerated() {
      page += Array((index > 0 ? ",\n{" : "\n{").utf8)
      page += Array("\"name\":".utf8)
      var name: [UInt8] = []
      JSON.append(run.name, to: &name)
      escape(name, lines: false, to: &page)
      page += Array(",\"notes\":".utf8)
      escape(Array(JSON.array(run.notes.map { .string($0) }).text().utf8), lines: false, to: &page)
      page += Array(",\"run\":".utf8)
      escape(run.record, lines: false, to: &page)
      page += Array(",\"metrics\":[".utf8)
      escape(run.metrics, lines: true, to: &page)
      page += Array("],\"samples\":[".utf8)
      escape(run.samples, lines: true, to: &page)
      page += Array("]}".utf8)
    }
    page += Array("]}".utf8)
  }

  /// Appends JSON so that no `</script>` in a text ends it: `<` stands in strings only, where `\u003c` means the same.
  ///
  /// - Parameter lines: the bytes are values on lines, which become the elements of an array.
  private static func escape(_ json: [UInt8], lines: Bool, to page: inout [UInt8]) {
    let escaped = Array("\\u003c".utf8)
    let end = json.last == 0x0A ? json.count - 1 : json.count
    var start = 0
    for index in 0..<end where json[index] == 0x3C || (lines && json[index] == 0x0A) {
      page += json[start..<index]
      if json[index] == 0x0A { page.append(0x2C) } else { page += escaped }
      start = index + 1
    }
    page += json[start..<end]
  }
}

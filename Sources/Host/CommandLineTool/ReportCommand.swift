import Arguments
import Support
import Telemetry

/// `report`: runs as one page that needs no network.
enum ReportCommand {
  static let spec = CommandSpec(
    name: "report", summary: "write runs as one self-contained HTML page: curves, stage times, completions token by token",
    discussion:
      "RUN is the --out of a training command, finished or not, or a folder of such folders (as quickstart's). Several runs lie over each other in the curves. The page needs no network. `rl --live` keeps one fresh while it trains.",
    examples: ["nano-reasoner report runs/grpo runs/dapo --out compare.html"],
    options: [
      .positionals("run", .path, "run folders", placeholder: "RUN"),
      .value("out", .path, "the page; default: report.html in RUN, or here for several runs", group: .output, placeholder: "F.html"),
      .value(
        "samples-mb", .integer(0...1000), default: 16,
        "megabytes of completions, at most; more are left out by whole steps, evenly spread", group: .output),
    ])

  static func run(_ arguments: ParsedArguments) throws(Failure) {
    let given = try arguments.list("run")
    var folders: [String] = []
    for path in given { folders += try runs(in: path) }
    let bytes = try arguments.integer("samples-mb") * 1_000_000 / folders.count
    var runs: [ReportRun] = []
    let names = names(folders)
    for (folder, name) in zip(folders, names) { runs.append(try ReportRun(folder, name: name, sampleBytes: bytes)) }
    let console = Console()
    for note in runs.flatMap(\.notes) { console.warning(note) }
    if runs.allSatisfy(\.isEmpty) {
      let place = given.joined(separator: ", ")
      if let note = runs.flatMap(\.notes).first { throw .badData("\(place): no step can be read; \(note)") }
      throw .missingInput("\(place): no step is finished yet")
    }
    let page = ReportPage.html(runs)
    let out = try arguments.optionalText("out") ?? (given.count == 1 ? given[0] + "/report.html" : "report.html")
    try AtomicFile.write(page, to: out)
    try Output.line("\(out): \(runs.count) \(runs.count == 1 ? "run" : "runs"), \(Format.fixed(Double(page.count) / 1e6, 1)) MB", beside: out)
  }

  /// The folder itself, or the runs below it: a benchmark has them two folders down.
  private static func runs(in path: String) throws(Failure) -> [String] {
    let found = try runs(in: path, depth: 4)
    if found.isEmpty {
      throw .missingInput("\(path): no run here: expected metrics.jsonl, as --out of a training command has, or folders with one")
    }
    return found
  }

  private static func runs(in path: String, depth: Int) throws(Failure) -> [String] {
    if Files.exists(path + "/metrics.jsonl") { return [path] }
    var found: [String] = []
    guard depth > 0 else { return found }
    for name in try Files.list(path) where !name.hasPrefix(".") {
      let below = path.hasSuffix("/") ? path + name : "\(path)/\(name)"
      // A link may lead around in a circle.
      if Files.isDirectory(below), depth == 4 || !Files.isLink(below) { found += try runs(in: below, depth: depth - 1) }
    }
    return found
  }

  /// The last part of each path, with as much before it as tells them apart.
  private static func names(_ folders: [String]) -> [String] {
    let parts = folders.map { $0.split(separator: "/").filter { $0 != "." } }
    for count in 1...max(1, parts.map(\.count).max() ?? 1) {
      let names = parts.map { $0.suffix(count).joined(separator: "/") }
      if Set(names).count == names.count { return names }
    }
    return folders
  }
}

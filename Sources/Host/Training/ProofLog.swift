import Support
import Telemetry

/// Something of a run that is not as it was written.
package struct ProofFinding: Sendable, Equatable {
  /// The file, below the run's folder.
  package let file: String
  package let step: Int?
  package let what: String

  package init(_ file: String, step: Int? = nil, _ what: String) {
    self.file = file
    self.step = step
    self.what = what
  }

  package var text: String { step.map { "\(file): step \($0): \(what)" } ?? "\(file): \(what)" }
}

/// The steps of `metrics.jsonl` with their digests, and what is wrong with the chain of them.
package struct ProofLog: Sendable {
  package struct Step: Sendable {
    /// In the file, from 1.
    package let line: Int
    package let record: MetricRecord
    package let digests: StepDigests
  }

  private static let name = "metrics.jsonl"

  /// By step, ascending; of those that stand twice the one that continues the chain.
  package private(set) var steps: [Step] = []
  package private(set) var findings: [ProofFinding] = []
  /// Lines at the beginning that a version wrote which linked nothing.
  package private(set) var unproven = 0

  package subscript(step: Int) -> Step? { steps.first { $0.record.step == step } }

  /// - Parameter start: what the first link continues; nil checks no link.
  package init(_ folder: RunFolder, stage: String, start: Digest?) throws(Failure) {
    let lines = try read(folder.metrics, stage: stage)
    checkOrder(lines)
    checkNumbers(lines)
    checkLinks(lines, stage: stage, start: start)
    // Step after step; what is of no step, and what was found first, first.
    findings = findings.enumerated().sorted { ($0.element.step ?? 0, $0.offset) < ($1.element.step ?? 0, $1.offset) }.map(\.element)
  }

  /// The whole lines; a half-written last one, as a run that goes on has, is left out.
  private mutating func read(_ path: String, stage: String) throws(Failure) -> [Step] {
    let bytes = try Files.read(path)
    var found: [Step] = []
    var number = 0
    var start = 0
    while let end = bytes[start...].firstIndex(of: 0x0A) {
      let line = Array(bytes[start..<end])
      start = end + 1
      number += 1
      do throws(Failure) {
        let record = try MetricRecord(JSON.parse(line, name: ""), name: "")
        guard record.stage == stage else {
          findings.append(ProofFinding(Self.name, "line \(number): is of \"\(record.stage)\", the run is of \"\(stage)\""))
          continue
        }
        guard let proof = record.proof else {
          if found.isEmpty { unproven += 1 } else { add(record.step, "line \(number): has no \"\(StepDigests.key)\"") }
          continue
        }
        do throws(Failure) { found.append(Step(line: number, record: record, digests: try StepDigests(proof))) } catch {
          add(record.step, "line \(number): \(error.message)")
        }
      } catch {
        // The parser has seen one line and calls it line 1 of nothing.
        var what = error.message[...]
        for prefix in [": ", "line 1, "] where what.hasPrefix(prefix) { what = what.dropFirst(prefix.count) }
        findings.append(ProofFinding(Self.name, "line \(number): \(what)"))
      }
    }
    return found
  }

  private mutating func add(_ step: Int, _ what: String) { findings.append(ProofFinding(Self.name, step: step, what)) }

  /// One line for each step from the first to the last, in their order.
  private mutating func checkOrder(_ read: [Step]) {
    var lines: [Int: [Int]] = [:]
    for step in read { lines[step.record.step, default: []].append(step.line) }
    // A line whose proof is broken is there.
    for step in findings.compactMap(\.step) { lines[step, default: []] += [] }
    var next = 1 + unproven
    for step in lines.keys.sorted() {
      if step > next {
        let what = step == next + 1 ? "line of step \(next) is" : "lines of steps \(next) to \(step - 1) are"
        findings.append(ProofFinding(Self.name, "the \(what) missing"))
      }
      if let twice = lines[step], twice.count > 1 {
        add(step, "stands \(twice.count) times, in lines \(twice.map { "\($0)" }.joined(separator: ", "))")
      }
      next = step + 1
    }
    for (before, after) in zip(read, read.dropFirst()) where after.record.step < before.record.step {
      add(
        after.record.step,
        "stands in line \(after.line), behind step \(before.record.step): lines were swapped or put where they do not belong")
    }
  }

  private mutating func checkNumbers(_ read: [Step]) {
    for step in read {
      let metrics = step.record.metrics
      if step.digests["numbers"] != [metrics.numbersDigest] {
        add(step.record.step, "its numbers are not those that were digested: one was changed, added, renamed or taken out")
      }
      if step.digests["held_out"] != metrics.heldOutDigest.map({ [$0] }) {
        add(step.record.step, "its held-out numbers are not those that were digested: one was changed, added, renamed or taken out")
      }
    }
  }

  /// Every link continues the one before. Where one does not, the next tells whether it was the link or a digest that was changed.
  private mutating func checkLinks(_ read: [Step], stage: String, start: Digest?) {
    var byStep: [Int: [Step]] = [:]
    for step in read { byStep[step.record.step, default: []].append(step) }
    /// The links that a step may continue: the one that stands there, and the one that should.
    var before: (step: Int, links: [Digest])? = start.map { (unproven, [$0]) }
    for number in byStep.keys.sorted() {
      let candidates = byStep[number] ?? []
      let continued = before.flatMap { $0.step == number - 1 ? $0.links : nil }
      func holds(_ step: Step) -> Bool {
        continued.map { $0.contains { step.digests.link(stage: stage, step: number, after: $0) == step.digests.chain } } ?? true
      }
      guard let step = candidates.first(where: holds) ?? candidates.first, let chain = step.digests.chain else { continue }
      var links = [chain]
      if let continued, !holds(step) {
        let computed = step.digests.link(stage: stage, step: number, after: continued[0])
        links.append(computed)
        let next = byStep[number + 1]?.first
        func continues(_ link: Digest) -> Bool {
          next.map { $0.digests.link(stage: stage, step: number + 1, after: link) == $0.digests.chain } ?? false
        }
        let what =
          if continues(chain) { "one of its digests was changed" } else if continues(computed) {
            "its \"chain\" was changed"
          } else { "one of its digests, its \"chain\" or what it continues was changed" }
        add(number, "it does not continue the chain: \(what)\(number == 1 ? " (or \"run\" of run.json, with which the chain begins)" : "")")
      }
      steps.append(step)
      before = (number, links)
    }
  }
}

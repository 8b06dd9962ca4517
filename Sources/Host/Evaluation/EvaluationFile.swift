import Support
import Tasks

/// `eval.jsonl`: every completion of an evaluation with its verdict, one a line.
package enum EvaluationFile {
  /// What a line says of the outcome.
  package struct Outcome: Sendable, Equatable {
    package let example: Int
    package let sample: Int
    package let isCorrect: Bool
    package let length: Int
    package let isTruncated: Bool

    package init(example: Int, sample: Int, isCorrect: Bool, length: Int, isTruncated: Bool) {
      self.example = example
      self.sample = sample
      self.isCorrect = isCorrect
      self.length = length
      self.isTruncated = isTruncated
    }
  }

  package static func write(_ result: EvaluationResult, _ examples: [Example], to path: String) throws(Failure) {
    var lines = ""
    for completion in result.completions {
      let verdict = completion.verdict
      let line: JSON = [
        "example": .integer(completion.example), "sample": .integer(completion.sample),
        "question": .string(examples[completion.example].question), "completion": .string(completion.text),
        "correct": .bool(verdict.isCorrect), "extracted": verdict.extracted.map { .string($0) } ?? .null,
        "gold": .string(verdict.gold), "reason": .string(verdict.reason), "length": .integer(completion.tokenCount),
        "truncated": .bool(completion.isTruncated),
      ]
      lines += line.text() + "\n"
    }
    try AtomicFile.write(lines, to: path)
  }

  /// Sums of these numbers stay far from overflowing.
  private static let largest = 1 << 40

  /// Reads the outcomes back, in the order of the file.
  package static func read(_ path: String) throws(Failure) -> [Outcome] {
    var outcomes: [Outcome] = []
    for line in try Files.read(path).split(separator: 0x0A) {
      let place = "\(path): line \(outcomes.count + 1)"
      let json = try JSON.parse(Array(line), name: place)
      guard let example = json["example"]?.int, let sample = json["sample"]?.int, let correct = json["correct"]?.bool,
        let length = json["length"]?.int, let truncated = json["truncated"]?.bool,
        [example, sample, length].allSatisfy({ (0...largest).contains($0) })
      else {
        throw .badData("\(place): expected \"example\", \"sample\", \"correct\", \"length\" and \"truncated\", as eval --out writes them")
      }
      outcomes.append(
        Outcome(example: example, sample: sample, isCorrect: correct, length: length, isTruncated: truncated))
    }
    return outcomes
  }
}

import Support
import Tokenization

/// A data file: JSON lines or a JSON array in one of the forms that docs/data.md lists.
package enum ExampleFile {
  /// Where question and gold answer stand, if not under the keys of a known form; `a.b` looks into an object.
  package struct Keys: Sendable, Equatable {
    package var question: String?
    package var answer: String?

    package init(question: String? = nil, answer: String? = nil) {
      self.question = question
      self.answer = answer
    }
  }

  /// What examples are read for.
  package enum Purpose: Sendable {
    /// Worked solutions and texts: supervised training. Of rows with several traces those are left out that have none known to be right.
    case learning
    /// Questions with answers: reinforcement learning and evaluation. Solutions are not kept.
    case answers
  }

  /// Reads the first `limit` examples, or all.
  ///
  /// A byte order mark, CRLF and blank lines are accepted. The first line that is not as it should be ends the reading
  /// with one `Failure` that names path, line and key.
  package static func read(_ path: String, limit: Int? = nil, keys: Keys = Keys()) throws(Failure) -> [Example] {
    var examples: [Example] = []
    _ = try forEach(in: DataSource(path: path), limit: limit, keys: keys, for: .learning, isCounted: false) { examples.append($0) }
    return examples
  }

  /// What reading data once tells.
  package struct Summary: Sendable {
    /// Examples that were given.
    package var count = 0
    /// Rows of the data, those behind the limit too.
    package var rowCount = 0
    /// Of the bytes of the files.
    package var sha256 = ""
    /// Places of rows that were left out because none of their traces is known to be right.
    package var unverified: [Int] = []
    /// What is counted: `line`, `record` or `row`.
    package var unit = "line"
  }

  package struct Contents: Sendable {
    package let examples: [Example]
    package let rowCount: Int
    package let sha256: String
  }

  /// Reads the first `limit` questions with answers, or all, with what a run says of its data.
  ///
  /// - Parameter keepsColumns: whether each example keeps all columns of its row.
  package static func load(
    _ source: DataSource, limit: Int? = nil, keys: Keys = Keys(), keepsColumns: Bool = false
  ) throws(Failure) -> Contents {
    var examples: [Example] = []
    let summary = try forEach(in: source, limit: limit, keys: keys, for: .answers, keepsColumns: keepsColumns) { examples.append($0) }
    return Contents(examples: examples, rowCount: summary.rowCount, sha256: summary.sha256)
  }

  /// Gives the first `limit` examples, or all, one by one; what has been given is not kept.
  ///
  /// - Parameters:
  ///   - isCounted: whether the rows behind the limit are counted and the digest is taken.
  ///   - keepsColumns: whether each example keeps all columns of its row.
  package static func forEach(
    in source: DataSource, limit: Int? = nil, keys: Keys = Keys(), for purpose: Purpose, isCounted: Bool = true, keepsColumns: Bool = false,
    progress: (Int, Int) -> Void = { _, _ in }, _ body: (Example) throws(Failure) -> Void
  ) throws(Failure) -> Summary {
    let reader = try RecordReader(source.files) { keepsColumns ? $0 : ExampleColumns.needed(of: $0, keys: keys, for: purpose) }
    var summary = Summary()
    var read = 0
    while limit.map({ summary.count < $0 }) ?? true, let record = try reader.next() {
      var example = try example(record, keys)
      if keepsColumns { example.columns = record.object }
      summary.unit = record.unit
      read += 1
      if purpose == .learning, example.origin == .unverified {
        summary.unverified.append(record.number)
        continue
      }
      summary.count += 1
      try body(purpose == .answers ? example.withoutSolution : example)
    }
    if read == 0, limit != 0 { throw .badData("\(source.name): expected one JSON object per line, found an empty file") }
    if summary.count == 0, limit != 0 {
      throw .badData("\(source.name): none of \(read) rows has a trace that is known to be right (\(ExampleRecord.verdicts.map { "\"\($0)\"" }.joined(separator: " or ")) true, \"is_reasoning_complete\" true)")
    }
    if !isCounted { return summary }
    summary.rowCount = read + (try reader.countRest())
    summary.sha256 = try reader.sha256(progress: progress)
    return summary
  }

  package static func parse(
    _ bytes: [UInt8], name: String, limit: Int? = nil, keys: Keys = Keys()
  ) throws(Failure) -> [Example] {
    var examples: [Example] = []
    for record in try JSONLines.read(bytes, name: name, limit: limit) { examples.append(try example(record, keys)) }
    return examples
  }

  private static func example(_ record: JSONLines.Record, _ keys: Keys) throws(Failure) -> Example {
    var example = try ExampleRecord(record, keys: keys).example()
    example.source = Example.Source(line: record.number, unit: record.unit)
    return example
  }

  /// GSM8K's calculator annotations, `<<48/2=24>>`, taken out.
  static func withoutAnnotations(_ text: String) -> String {
    var output: [UInt8] = []
    let bytes = Array(text.utf8)
    var index = 0
    var hasEnd = true
    while index < bytes.count {
      if hasEnd, bytes[index] == UInt8(ascii: "<"), index + 1 < bytes.count, bytes[index + 1] == UInt8(ascii: "<") {
        var end = index + 2
        while end + 1 < bytes.count, !(bytes[end] == UInt8(ascii: ">") && bytes[end + 1] == UInt8(ascii: ">")) {
          end += 1
        }
        if end + 1 < bytes.count {
          index = end + 2
          continue
        }
        hasEnd = false
      }
      output.append(bytes[index])
      index += 1
    }
    return String(decoding: output, as: UTF8.self)
  }
}

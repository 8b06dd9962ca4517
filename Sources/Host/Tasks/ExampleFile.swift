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

  /// Reads the first `limit` examples, or all.
  ///
  /// A byte order mark, CRLF and blank lines are accepted. The first line that is not as it should be ends the reading
  /// with one `Failure` that names path, line and key.
  package static func read(_ path: String, limit: Int? = nil, keys: Keys = Keys()) throws(Failure) -> [Example] {
    try examples(try Files.read(path, orPipe: true), path, limit: limit, keys: keys)
  }

  /// What reading a file once tells.
  package struct Contents: Sendable {
    package let examples: [Example]
    /// Rows of the file, those behind the limit too.
    package let rowCount: Int
    /// Of the file's bytes.
    package let sha256: String
  }

  /// Reads the first `limit` examples, or all, with what a run says of its data.
  package static func load(_ path: String, limit: Int? = nil, keys: Keys = Keys()) throws(Failure) -> Contents {
    let bytes = try Files.read(path, orPipe: true)
    let examples = try examples(bytes, path, limit: limit, keys: keys)
    let isWhole = limit.map { examples.count < $0 } ?? true
    return Contents(
      examples: examples, rowCount: isWhole ? examples.count : try JSONLines.count(bytes, name: path),
      sha256: SHA256.hex(bytes))
  }

  private static func examples(_ bytes: [UInt8], _ path: String, limit: Int?, keys: Keys) throws(Failure) -> [Example] {
    let examples = try parse(bytes, name: path, limit: limit, keys: keys)
    if examples.isEmpty, limit != 0 {
      throw .badData("\(path): expected one JSON object per line, found an empty file")
    }
    return examples
  }

  package static func parse(
    _ bytes: [UInt8], name: String, limit: Int? = nil, keys: Keys = Keys()
  ) throws(Failure) -> [Example] {
    var examples: [Example] = []
    for record in try JSONLines.read(bytes, name: name, limit: limit) {
      var example = try ExampleRecord(record, keys: keys).example()
      example.source = Example.Source(line: record.number, unit: record.unit)
      examples.append(example)
    }
    return examples
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

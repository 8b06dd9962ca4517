import Foundations

/// A data file of JSON lines: GSM8K's `question`/`answer` with `####`, `problem`/`solution`/`answer` as OpenR1-Math and
/// MATH have it, `prompt`/`completion`, and raw `text`.
package enum ExampleFile {
  /// Reads the first `limit` examples, or all.
  ///
  /// A byte order mark, CRLF and blank lines are accepted. The first line that is not as it should be ends the reading
  /// with one `Failure` that names path, line and key.
  package static func read(_ path: String, limit: Int? = nil) throws(Failure) -> [Example] {
    let bytes = try Files.read(path)
    if path.lowercased().hasSuffix(".parquet") || bytes.starts(with: Array("PAR1".utf8)) {
      throw .badData(
        "\(path): Parquet is not supported yet; convert it to JSON lines: python3 -c \"import pandas; "
          + "pandas.read_parquet('\(path)').to_json('\(path).jsonl', orient='records', lines=True)\"")
    }
    let examples = try parse(bytes, name: path, limit: limit)
    if examples.isEmpty, limit != 0 {
      throw .badData("\(path): expected one JSON object per line, found an empty file")
    }
    return examples
  }

  package static func parse(_ bytes: [UInt8], name: String, limit: Int? = nil) throws(Failure) -> [Example] {
    var examples: [Example] = []
    var start = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    var line = 0
    while start < bytes.count, limit.map({ examples.count < $0 }) ?? true {
      line += 1
      let end = bytes[start...].firstIndex(of: 0x0A) ?? bytes.count
      let content = bytes[start..<end]
      start = end + 1
      if content.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { continue }
      examples.append(try Record(Array(content), name: name, line: line).example())
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

/// One line of the file with its place, for error messages.
private struct Record {
  let object: JSON.Object
  let place: String

  init(_ bytes: [UInt8], name: String, line: Int) throws(Failure) {
    place = "\(name): line \(line)"
    let value: JSON
    do throws(Failure) {
      value = try JSON.parse(bytes, name: "")
    } catch {
      // The parser has seen one line and calls it line 1.
      let prefix = ": line 1"
      let rest = error.message.hasPrefix(prefix) ? error.message.dropFirst(prefix.count) : ": \(error.message)"
      throw Failure(error.code, place + rest)
    }
    guard let object = value.object else {
      throw .badData("\(place): expected one JSON object per line, found \(value.kind)")
    }
    self.object = object
  }

  func example() throws(Failure) -> Example {
    let text = try string("text")
    let level = object["level"]?.int
    for key in ["question", "problem"] {
      guard let question = try string(key) else { continue }
      try require(question, key)
      var solution = try string("solution")
      var answer = try string("answer")
      if let written = answer, let mark = written.lastRange(of: "####") {
        solution = ExampleFile.withoutAnnotations(String(written[..<mark.lowerBound]))
        answer = String(written[mark.upperBound...])
      }
      solution = solution?.trimmed.nonEmpty
      answer = answer?.trimmed.nonEmpty
      if answer == nil, let solution { answer = AnswerExtraction.boxed(in: solution)?.trimmed.nonEmpty }
      if answer == nil, text == nil {
        throw .badData(
          "\(place): key \"answer\": expected the gold answer (or a \\boxed{} in \"solution\"), found "
            + (object["answer"].map { $0.string == nil ? $0.kind : "no answer in it" } ?? "no such key"))
      }
      return Example(question: question, solution: solution, answer: answer, text: text, level: level)
    }
    if let prompt = try string("prompt") {
      try require(prompt, "prompt")
      guard let completion = try string("completion") else {
        throw .badData("\(place): key \"completion\": expected a string beside \"prompt\", found no such key")
      }
      let answer = AnswerExtraction.boxed(in: completion)?.trimmed.nonEmpty
      return Example(question: prompt, solution: completion, answer: answer, text: text, level: level)
    }
    if let text {
      if text.isEmpty { throw .badData("\(place): key \"text\": expected a text, found an empty string") }
      return Example(question: "", text: text, level: level)
    }
    let found = object.keys.isEmpty ? "none" : object.keys.prefix(8).map { "\"\($0)\"" }.joined(separator: ", ")
    throw .badData(
      "\(place): expected the keys \"question\" and \"answer\", or \"problem\", \"solution\" and \"answer\", "
        + "or \"prompt\" and \"completion\", or \"text\"; found \(found)")
  }

  /// The text under a key; a number counts as its text, null as absent.
  private func string(_ key: String) throws(Failure) -> String? {
    switch object[key] {
    case nil, .null: return nil
    case .string(let value): return value
    case let number? where number.numberText != nil: return number.numberText
    case let other?: throw .badData("\(place): key \"\(key)\": expected a string, found \(other.kind)")
    }
  }

  private func require(_ value: String, _ key: String) throws(Failure) {
    if value.trimmed.isEmpty { throw .badData("\(place): key \"\(key)\": expected a text, found an empty string") }
  }
}

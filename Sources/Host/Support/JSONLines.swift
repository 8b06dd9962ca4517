/// Files of records: JSON lines, or one JSON array over any number of lines. Every command reads its data through this, so
/// that what a file is in truth is said the same way everywhere.
package enum JSONLines {
  /// One object with its place in the file.
  package struct Record: Sendable {
    package let object: JSON.Object
    /// `FILE: line N`, or `FILE: record N` in an array.
    package let place: String
    /// The line, counted from 1; in an array the number of the record.
    package let number: Int
    /// What is counted: `line` or `record`.
    package let unit: String

    /// The text under a key; a number counts as its digits in the file, null as absent.
    package func text(_ key: String) throws(Failure) -> String? {
      switch object[key] {
      case nil, .null: return nil
      case .string(let value): return value
      case let value?:
        guard let digits = value.numberText else {
          throw .badData("\(place): key \"\(key)\": expected a string, found \(value.kind)")
        }
        return digits
      }
    }
  }

  /// All records, or the first `limit`. Byte order marks, CRLF and blank lines are accepted; the first thing that is not as
  /// it should be ends the reading with one `Failure` that names place and key.
  package static func read(_ bytes: [UInt8], name: String, limit: Int? = nil) throws(Failure) -> [Record] {
    if let kind = foreignKind(bytes) { throw .badData("\(name): expected JSON lines in UTF-8, found \(kind)") }
    let start = JSON.textStart(bytes)
    guard let first = bytes[start...].first(where: { !isSpace($0) }) else { return [] }
    if first == UInt8(ascii: "[") { return try array(Array(bytes[start...]), name: name, limit: limit) }
    return try lines(bytes, from: start, name: name, limit: limit)
  }

  /// How many records there are, lines counted without being parsed.
  package static func count(_ bytes: [UInt8], name: String) throws(Failure) -> Int {
    let start = JSON.textStart(bytes)
    guard let first = bytes[start...].first(where: { !isSpace($0) }) else { return 0 }
    if first == UInt8(ascii: "[") { return try read(bytes, name: name).count }
    return bytes[start...].split(separator: 0x0A).count { !$0.allSatisfy(isSpace) }
  }

  private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

  private static func lines(_ bytes: [UInt8], from first: Int, name: String, limit: Int?) throws(Failure) -> [Record] {
    var records: [Record] = []
    var start = first
    var line = 0
    while start < bytes.count, limit.map({ records.count < $0 }) ?? true {
      line += 1
      let end = bytes[start...].firstIndex(of: 0x0A) ?? bytes.count
      let content = bytes[start..<end]
      start = end + 1
      if content.allSatisfy(isSpace) { continue }
      let place = "\(name): line \(line)"
      let value: JSON
      do throws(Failure) {
        value = try JSON.parse(Array(content), name: "")
      } catch {
        // The parser has seen one line and calls it line 1.
        let prefix = ": line 1"
        let rest = error.message.hasPrefix(prefix) ? error.message.dropFirst(prefix.count) : ": \(error.message)"
        let hint = records.isEmpty && content.allSatisfy({ isSpace($0) || $0 == UInt8(ascii: "{") })
          ? "; an object over several lines? JSON lines have one on each line" : ""
        throw Failure(error.code, place + rest + hint)
      }
      guard let object = value.object else {
        throw .badData("\(place): expected one JSON object per line, found \(value.kind)")
      }
      records.append(Record(object: object, place: place, number: line, unit: "line"))
    }
    return records
  }

  /// The objects of a text that is an array.
  private static func array(_ bytes: [UInt8], name: String, limit: Int?) throws(Failure) -> [Record] {
    var records: [Record] = []
    for (index, item) in (try JSON.parse(bytes, name: name).array ?? []).enumerated() {
      if let limit, records.count >= limit { break }
      let place = "\(name): record \(index + 1)"
      guard let object = item.object else { throw .badData("\(place): expected an object, found \(item.kind)") }
      records.append(Record(object: object, place: place, number: index + 1, unit: "record"))
    }
    return records
  }

  /// What a file is by its first bytes where it is no UTF-8 text, and what to do about it.
  package static func foreignKind(_ bytes: [UInt8]) -> String? {
    let marks: [([UInt8], String)] = [
      ([0x1F, 0x8B], "gzip-compressed data; unpack it first: gunzip -k FILE"),
      ([0x28, 0xB5, 0x2F, 0xFD], "Zstandard-compressed data; unpack it first: zstd -d FILE"),
      ([0xFD, 0x37, 0x7A, 0x58, 0x5A], "xz-compressed data; unpack it first: xz -dk FILE"),
      ([0x42, 0x5A, 0x68], "bzip2-compressed data; unpack it first: bunzip2 -k FILE"),
      ([0x50, 0x4B, 0x03, 0x04], "a ZIP archive; unpack it first: unzip FILE"),
      (Array("PAR1".utf8), "a Parquet file: Parquet is not supported yet; convert it: python3 -c \"import pandas; pandas.read_parquet('FILE').to_json('FILE.jsonl', orient='records', lines=True)\""),
      (Array("ARROW1".utf8), "an Arrow file; convert it to JSON lines first"),
      (Array("%PDF".utf8), "a PDF file"), ([0x7F, 0x45, 0x4C, 0x46], "a program (ELF)"),
      (Array("SQLite format 3".utf8), "an SQLite database"), ([0x89, 0x50, 0x4E, 0x47], "a PNG picture"),
      ([0xFF, 0xFE, 0x00, 0x00], "UTF-32 text; convert it to UTF-8: iconv -f UTF-32 -t UTF-8"),
      ([0x00, 0x00, 0xFE, 0xFF], "UTF-32 text; convert it to UTF-8: iconv -f UTF-32 -t UTF-8"),
      ([0xFF, 0xFE], "UTF-16 text; convert it to UTF-8: iconv -f UTF-16 -t UTF-8"),
      ([0xFE, 0xFF], "UTF-16 text; convert it to UTF-8: iconv -f UTF-16 -t UTF-8"),
      (Array("version https://git-lfs".utf8), "a Git LFS pointer, not the file itself; fetch it with git lfs pull"),
    ]
    if let mark = marks.first(where: { bytes.starts(with: $0.0) }) { return mark.1 }
    let start = bytes.prefix(64)
    let text = bytes[JSON.textStart(bytes)...].prefix(64)
    if text.first(where: { !isSpace($0) }) == UInt8(ascii: "<") { return "HTML or XML" }
    // A safetensors file begins with the length of its header, which begins with a brace.
    if start.count > 9, bytes[8] == UInt8(ascii: "{"), bytes[4..<8].allSatisfy({ $0 == 0 }) { return "a safetensors file" }
    let zeros = start.count { $0 == 0 }
    if start.count >= 8, zeros * 2 > start.count { return "UTF-32 text; convert it to UTF-8: iconv -f UTF-32LE -t UTF-8" }
    if start.count >= 4, zeros * 3 >= start.count {
      let isLittle = start.count > 1 && bytes[1] == 0
      return "UTF-16 text without a byte order mark; convert it to UTF-8: iconv -f UTF-16\(isLittle ? "LE" : "BE") -t UTF-8"
    }
    if zeros > 0 { return "binary data" }
    return nil
  }
}

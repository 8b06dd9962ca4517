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
    /// What is counted: `line`, `record`, or `row` of a table or of several files.
    package let unit: String

    /// The same as one of several files.
    func numbered(_ number: Int) -> Record { Record(object: object, place: place, number: number, unit: "row") }

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
    let reader = try Reader(ByteStream(bytes), name: name)
    var records: [Record] = []
    while limit.map({ records.count < $0 }) ?? true, let record = try reader.next() { records.append(record) }
    return records
  }

  /// How many records there are, lines counted without being parsed.
  package static func count(_ bytes: [UInt8], name: String) throws(Failure) -> Int {
    try Reader(ByteStream(bytes), name: name).countRest()
  }

  static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

  /// Reads the records of a text one by one; none is kept.
  package final class Reader {
    private let name: String
    private var lines: LineReader
    private var line = 0
    private var count = 0
    /// The items that are left of an array.
    private var array: ArraySlice<JSON>?

    package init(_ stream: ByteStream, name: String) throws(Failure) {
      self.name = name
      lines = LineReader(stream, name: name)
      let head = Array(try lines.peek(128))
      if let kind = JSONLines.foreignKind(head) { throw .badData("\(name): expected JSON lines in UTF-8, found \(kind)") }
      lines.skip(JSON.textStart(head))
      if try lines.first(where: { !JSONLines.isSpace($0) }) == UInt8(ascii: "[") {
        array = (try JSON.parse(try lines.rest(), name: name).array ?? [])[...]
      }
    }

    package func next() throws(Failure) -> Record? {
      if array != nil { return try nextItem() }
      while let content = try lines.next() {
        line += 1
        if content.allSatisfy(JSONLines.isSpace) { continue }
        defer { count += 1 }
        return try record(content)
      }
      return nil
    }

    /// How many records are left, lines counted without being parsed.
    package func countRest() throws(Failure) -> Int {
      if let array { return array.count }
      var rest = 0
      while let content = try lines.next() { if !content.allSatisfy(JSONLines.isSpace) { rest += 1 } }
      return rest
    }

    private func record(_ content: [UInt8]) throws(Failure) -> Record {
      let place = "\(name): line \(line)"
      let value: JSON
      do throws(Failure) {
        value = try JSON.parse(content, name: "")
      } catch {
        // The parser has seen one line and calls it line 1.
        let prefix = ": line 1"
        let rest = error.message.hasPrefix(prefix) ? error.message.dropFirst(prefix.count) : ": \(error.message)"
        let hint = count == 0 && content.allSatisfy({ JSONLines.isSpace($0) || $0 == UInt8(ascii: "{") })
          ? "; an object over several lines? JSON lines have one on each line" : ""
        throw Failure(error.code, place + rest + hint)
      }
      guard let object = value.object else {
        throw .badData("\(place): expected one JSON object per line, found \(value.kind)")
      }
      return Record(object: object, place: place, number: line, unit: "line")
    }

    private func nextItem() throws(Failure) -> Record? {
      guard let item = array?.popFirst() else { return nil }
      count += 1
      let place = "\(name): record \(count)"
      guard let object = item.object else { throw .badData("\(place): expected an object, found \(item.kind)") }
      return Record(object: object, place: place, number: count, unit: "record")
    }
  }

  /// What a file is by its first bytes where it is no UTF-8 text, and what to do about it.
  package static func foreignKind(_ bytes: [UInt8]) -> String? {
    let marks: [([UInt8], String)] = [
      ([0x1F, 0x8B], "gzip-compressed data, which is read from a regular file only; unpack it first: gunzip -k FILE"),
      ([0x28, 0xB5, 0x2F, 0xFD], "Zstandard-compressed data, which is read from a regular file only; unpack it first: zstd -d FILE"),
      ([0xFD, 0x37, 0x7A, 0x58, 0x5A], "xz-compressed data; unpack it first: xz -dk FILE"),
      ([0x42, 0x5A, 0x68], "bzip2-compressed data; unpack it first: bunzip2 -k FILE"),
      ([0x50, 0x4B, 0x03, 0x04], "a ZIP archive; unpack it first: unzip FILE"),
      (Array("PAR1".utf8), "a Parquet file, which is read from a regular file only; write it to one first"),
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

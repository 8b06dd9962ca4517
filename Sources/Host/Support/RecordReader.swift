/// The records of one or several files, one by one: JSON lines or an array, either of them compressed, or Parquet. Every command reads its
/// data through this; a record that has been read is not kept.
package final class RecordReader {
  private enum Source {
    case text(JSONLines.Reader)
    case rows(ParquetReader)
  }

  /// What messages call `-`.
  package static let standardInput = "standard input"

  private let files: [String]
  private let columns: ([String]) -> [String]
  private var source: Source
  private var file: ByteFile
  /// The file that is open, and the rows of those before it.
  private var place = 0
  private var before = 0
  private var inFile = 0

  /// - Parameter columns: which of a table's columns are read; of JSON every key is there.
  package init(_ files: [String], columns: @escaping ([String]) -> [String] = { $0 }) throws(Failure) {
    self.files = files
    self.columns = columns
    (file, source) = try Self.open(files[0], columns, nil)
  }

  private static func open(
    _ path: String, _ columns: ([String]) -> [String], _ parquet: ParquetReader?
  ) throws(Failure) -> (ByteFile, Source) {
    let file = try ByteFile(path)
    guard file.isRegular else { return (file, .text(try JSONLines.Reader(file.stream, name: path))) }
    let head = try file.next().prefix(128)
    if ParquetReader.isParquet(head) {
      let reader = if let parquet { parquet } else { try ParquetReader(for: path) }
      try reader.read(columns(try reader.open(path)))
      return (file, .rows(reader))
    }
    let stream = try CompressedFile.stream(file, head: head)
    if stream == nil { file.rewind() }
    return (file, .text(try JSONLines.Reader(stream ?? file.stream, name: path)))
  }

  /// Goes on with the next file; false behind the last.
  private func openNext() throws(Failure) -> Bool {
    guard place + 1 < files.count else { return false }
    place += 1
    before += inFile
    inFile = 0
    var parquet: ParquetReader?
    if case .rows(let reader) = source { parquet = reader }
    (file, source) = try Self.open(files[place], columns, parquet)
    return true
  }

  /// All records of one file, or of standard input for `-`: for what is small.
  package static func all(of path: String) throws(Failure) -> [JSONLines.Record] {
    if path == "-" { return try JSONLines.read(try Files.readAll(STDIN_FILENO, name: standardInput), name: standardInput) }
    let reader = try RecordReader([path])
    var records: [JSONLines.Record] = []
    while let record = try reader.next() { records.append(record) }
    return records
  }

  package func next() throws(Failure) -> JSONLines.Record? {
    repeat {
      switch source {
      case .text(let reader):
        guard let record = try reader.next() else { continue }
        inFile += 1
        return files.count == 1 ? record : record.numbered(before + inFile)
      case .rows(let reader):
        guard let (object, number) = try reader.next() else { continue }
        inFile += 1
        return JSONLines.Record(object: object, place: "\(files[place]): row \(number)", number: before + number, unit: "row")
      }
    } while try openNext()
    return nil
  }

  /// How many records are left, counted without being read.
  package func countRest() throws(Failure) -> Int {
    var rest = 0
    repeat {
      switch source {
      case .text(let reader): rest += try reader.countRest()
      case .rows(let reader): rest += reader.rest
      }
    } while try openNext()
    return rest
  }

  /// The digest of the bytes of the file; of several, the digest of the lines of theirs.
  package func sha256(progress: (Int, Int) -> Void = { _, _ in }) throws(Failure) -> String {
    if files.count == 1 { return try file.sha256(progress: progress) }
    var digests: [String] = []
    for path in files { digests.append(try DigestCache.user.hex(file: path, progress: progress)) }
    return SHA256.hex(Array(digests.map { $0 + "\n" }.joined().utf8))
  }
}

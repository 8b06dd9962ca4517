/// Parquet files row by row, through pyarrow in a Python process of its own (`Helper/parquet_helper.py`), which reads one file after
/// another and only the columns that are asked for.
package final class ParquetReader {
  /// A file of many gigabytes has row groups of many megabytes, each of which is decoded as a whole.
  private static let patience = 600.0
  private static let magic = Array("PAR1".utf8)

  private let process: HelperProcess
  private var path = ""
  private var isReading = false
  private var row = 0
  /// The rows of the file that is open.
  private(set) var rowCount = 0

  /// Whether a file says that it is Parquet.
  static func isParquet(_ head: ArraySlice<UInt8>) -> Bool { head.starts(with: magic) }

  init(for path: String) throws(Failure) {
    try Self.checkWhole(path)
    signal(SIGPIPE, SIG_IGN)
    process = try Self.start { "\(path): a Parquet file, which is read with pyarrow: \($0)" }
  }

  /// The process, or the failure that says what is missing.
  private static func start(_ say: (String) -> String) throws(Failure) -> HelperProcess {
    let python = PythonHelper.interpreter
    let script = String(decoding: PythonHelper.script(PackageResources.parquet_helper_py), as: UTF8.self)
    let process: HelperProcess
    do throws(Failure) { process = try HelperProcess(PythonHelper.words("-c", script), log: nil) } catch {
      throw Failure(error.code, say("\(error.message); install Python and pyarrow, or set NR_PYTHON to a Python that has it"))
    }
    guard let line = process.readLine(within: 60), let hello = try? JSON.parse(line, name: "pyarrow") else {
      throw .missingInput(say("\(python) does not answer; set NR_PYTHON to a Python that has pyarrow"))
    }
    if let problem = hello["error"]?.string { throw .missingInput(say(problem)) }
    return process
  }

  private func ask(_ request: JSON) throws(Failure) {
    let watch = Stopwatch()
    if !process.write(Array((request.text() + "\n").utf8), while: { watch.seconds < Self.patience }) { throw gone }
  }

  private var gone: Failure { .inputOutput("\(path): the Python process that reads it has ended or hangs") }

  /// The next line of its answers.
  private func line() throws(Failure) -> [UInt8] {
    guard let line = process.readBytes(within: Self.patience) else { throw gone }
    if line.first == UInt8(ascii: "!") {
      throw .badData("\(path): cannot be read as Parquet: \(String(decoding: line.dropFirst(), as: UTF8.self))")
    }
    return line
  }

  /// Opens another file and gives its columns; what was not read of the one before is left.
  func open(_ path: String) throws(Failure) -> [String] {
    if isReading {
      while try nextLine() != nil {}
      isReading = false
    }
    self.path = path
    row = 0
    try Self.checkWhole(path)
    try ask(["open": .string(Files.resolved(path) ?? path)])
    let answer = try JSON.parse(try line(), name: path)
    rowCount = answer["rows"]?.int ?? 0
    return (answer["columns"]?.array ?? []).compactMap(\.string)
  }

  private static func checkWhole(_ path: String) throws(Failure) {
    let file = try MappedFile(path)
    let isWhole = unsafe file.withBytes { unsafe $0.count >= 12 && $0.suffix(4).elementsEqual(magic) }
    if !isWhole { throw .badData("\(path): a Parquet file that is cut off: it must end with PAR1") }
  }

  /// Begins to read the rows.
  func read(_ columns: [String]) throws(Failure) {
    try ask(["read": .array(columns.map { .string($0) })])
    _ = try line()
    try ask(["next": true])
    isReading = true
  }

  /// The next row's text; nil behind the last of a part, and behind the last of all.
  private func nextLine() throws(Failure) -> [UInt8]? {
    let line = try line()
    if line == [UInt8(ascii: ".")] { return nil }
    if line == Array("end".utf8) {
      isReading = false
      return nil
    }
    return line
  }

  /// The next row and its number, counted from 1; nil behind the last.
  func next() throws(Failure) -> (object: JSON.Object, number: Int)? {
    while isReading {
      guard let line = try nextLine() else {
        if isReading { try ask(["next": true]) }
        continue
      }
      row += 1
      guard let object = try JSON.parse(line, name: "\(path): row \(row)").object else { throw gone }
      return (object, row)
    }
    return nil
  }

  /// The rows behind the one that was read last.
  var rest: Int { rowCount - row }
}

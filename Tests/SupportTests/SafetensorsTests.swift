import Support
import TestSupport
import Testing

/// Reads what the `safetensors` package wrote, writes what it reads, and refuses what is not whole.
@Suite struct SafetensorsTests {
  @Test func everyTypeThatTheSafetensorsPackageWroteIsRead() throws {
    let file = try SafetensorsFile(goldens + "/types.safetensors")
    #expect(file.metadata == ["format": "pt", "made by": "the safetensors package"])
    #expect(file.names.count == 11)
    #expect(try file.floats("float32").map(\.bitPattern) == [0, -0.0, 1.5, 3.4028234e38, 0x1p-149, -7.25].map(\Float.bitPattern))
    #expect(try file.entry("float32").shape == [2, 3])
    #expect(try file.floats("float64") == [0.1, -Float.infinity])
    #expect(
      try file.floats("float16").map(\.bitPattern)
        == [0, -0.0, 1, -1.5, 65504, 0x1p-24, 0x1p-14, 0.333251953125, .infinity, -.infinity].map(\Float.bitPattern))
    let bfloat16 = try file.floats("bfloat16")
    #expect([bfloat16[0], bfloat16[1], bfloat16[4]] == [1, -2.5, 0.10009765625])
    #expect(bfloat16[2].bitPattern == 0x7F7F_0000)
    #expect(bfloat16[3].bitPattern & 0xFFFF == 0)
    #expect(try file.integers("int64") == [.min, -1, .max])
    #expect(try file.integers("int32") == [Int64(Int32.min), Int64(Int32.max)])
    #expect(try file.integers("uint8") == [0, 7, 255])
    #expect(try file.integers("bool") == [1, 0, 1])
    #expect(try file.entry("scalar").shape == [])
    #expect(try file.floats("scalar") == [2.5])
    #expect(try file.entry("empty").shape == [0, 3])
    #expect(try file.floats("empty").isEmpty)
    #expect(try file.floats("näme \"quoted\"") == [1])
  }

  @Test func theTypesOfATensorAreToldApart() throws {
    let file = try SafetensorsFile(goldens + "/types.safetensors")
    #expect(failure { () throws(Failure) in try file.floats("int64") }?.message.contains("\"int64\": expected floating point") == true)
    #expect(failure { () throws(Failure) in try file.integers("float32") }?.message.contains("\"float32\": expected whole") == true)
    #expect(failure { () throws(Failure) in try file.floats("nothing") }?.message.contains("has no tensor \"nothing\"") == true)
  }

  @Test func whatIsWrittenIsReadBackToTheBit() throws {
    let folder = try TrialFolder()
    var writer = SafetensorsWriter(metadata: ["a": "b"])
    let floats: [Float] = [0, -0.0, 1.5, .infinity, -.infinity, 0x1p-149, .greatestFiniteMagnitude]
    writer.add("floats", floats, shape: [7, 1])
    writer.add("narrow", [1, 2.5, -3], shape: [3], as: .bfloat16)
    writer.add("half", [1, 2.5, -3, 1e-8, 70000], shape: [5], as: .float16)
    writer.add("doubles", [0.1, -1e300], shape: [2])
    writer.add("whole", [Int64.min, 5], shape: [1, 2])
    writer.add("bytes", [1, 2, 255] as [UInt8], shape: [3])
    writer.add("none", [] as [Float], shape: [0])
    try writer.write(to: folder.file("a.safetensors"))
    let file = try SafetensorsFile(folder.file("a.safetensors"))
    #expect(file.metadata == ["a": "b"])
    #expect(try file.floats("floats").map(\.bitPattern) == floats.map(\.bitPattern))
    #expect(try file.floats("narrow") == [1, 2.5, -3])
    #expect(try file.floats("half") == [1, 2.5, -3, 0, .infinity])
    #expect(try file.floats("doubles")[0] == 0.1)
    #expect(try file.integers("whole") == [.min, 5])
    #expect(try file.integers("bytes") == [1, 2, 255])
    #expect(try file.entry("none").shape == [0])
    for name in file.names { #expect(try file.entry(name).bytes.lowerBound % file.entry(name).type.byteCount == 0, "\(name) is aligned") }
    try writer.write(to: folder.file("b.safetensors"))
    #expect(try Files.read(folder.file("a.safetensors")) == Files.read(folder.file("b.safetensors")))
  }

  /// A file of a header, its length (or another), and some bytes of data.
  private func bytes(_ header: String, length: UInt64? = nil, data: Int = 8) -> [UInt8] {
    bytes(Array(header.utf8), length: length, data: data)
  }

  private func bytes(_ header: [UInt8], length: UInt64? = nil, data: Int) -> [UInt8] {
    let length = length ?? UInt64(header.count)
    return (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + header + [UInt8](repeating: 0, count: data)
  }

  /// The one line that opening these bytes ends in.
  private func refusal(_ bytes: [UInt8]) throws -> String {
    let folder = try TrialFolder()
    let path = folder.file("bad.safetensors")
    try AtomicFile.write(bytes, to: path)
    let failure = try #require(failure { () throws(Failure) in try SafetensorsFile(path) }, "the file was accepted")
    #expect(failure.code == .badData)
    #expect(failure.message.hasPrefix("\(path): "))
    #expect(!failure.message.contains("\n"))
    return String(failure.message.dropFirst(path.utf8.count + 2))
  }

  @Test func aFileThatIsTooShortForALengthIsRefused() throws {
    #expect(try refusal([]).contains("expected at least 8 bytes, found 0"))
    #expect(try refusal([1, 2, 3]).contains("found 3"))
  }

  @Test(arguments: [3, 1000, 1 << 40, UInt64.max, UInt64(Int.max), UInt64(1) << 63])
  func aHeaderLengthBeyondTheFileIsRefused(_ length: UInt64) throws {
    #expect(try refusal(bytes("{}", length: length, data: 0)).contains("the header says it has \(length) bytes"))
  }

  @Test func aHeaderThatIsNotJSONIsRefusedWithItsPlace() throws {
    #expect(try refusal(bytes("{\"a\": ")).contains("line 1, column"))
    #expect(try refusal(bytes("not JSON")).contains("not JSON"))
    #expect(try refusal(bytes("[1]")).contains("expected an object, found an array"))
    #expect(try refusal(bytes("", data: 8)).contains("found the end"))
    #expect(try refusal(bytes([0x7B, 0x22, 0xFF, 0x22, 0x3A, 0x31, 0x7D], data: 8)).contains("not UTF-8"))
    #expect(try refusal(Array(repeating: 0xFF, count: 64)).contains("header says"))
  }

  @Test func aNameThatStandsTwiceIsRefused() throws {
    let entry = #""a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#
    #expect(try refusal(bytes("{\(entry),\(entry)}")).contains("the key \"a\" stands twice"))
  }

  @Test(arguments: [
    (#"{"dtype":"F32","shape":[2],"data_offsets":[0,4]}"#, "shape [2] of F32 needs 8 bytes, data_offsets give 4"),
    (#"{"dtype":"F32","shape":[2],"data_offsets":[0,16]}"#, "[0, 16] lie outside the file's 8 data bytes"),
    (#"{"dtype":"F32","shape":[2],"data_offsets":[8,0]}"#, "[8, 0] lie outside"),
    (#"{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}"#, "[-8, 0] lie outside"),
    (#"{"dtype":"F32","shape":[2],"data_offsets":[0]}"#, "data_offsets must be two whole numbers"),
    (#"{"dtype":"F32","shape":[2],"data_offsets":[0,8.5]}"#, "data_offsets must be two whole numbers"),
    (#"{"dtype":"F32","shape":[2]}"#, "data_offsets must be two whole numbers"),
    (#"{"dtype":"F32","shape":[2],"data_offsets":[0,9223372036854775807]}"#, "lie outside"),
    (#"{"dtype":"Q4","shape":[2],"data_offsets":[0,8]}"#, "dtype Q4 is not supported"),
    (#"{"dtype":7,"shape":[2],"data_offsets":[0,8]}"#, "the header gives no dtype"),
    (#"{"dtype":"F32","data_offsets":[0,8]}"#, "the header gives no shape"),
    (#"{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}"#, "a dimension must be a whole number, found -2"),
    (#"{"dtype":"F32","shape":["2"],"data_offsets":[0,8]}"#, "a dimension must be a whole number"),
    (#"{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}"#, "the shape is too large"),
    (#"{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}"#, "the shape is too large"),
    ("7", "the header gives no dtype"),
  ])
  func aWrongEntryIsRefusedByTheTensorsName(_ entry: String, _ expected: String) throws {
    let message = try refusal(bytes("{\"w\":\(entry)}"))
    #expect(message.hasPrefix("tensor \"w\": "), "\(message)")
    #expect(message.contains(expected), "\(message)")
  }

  @Test func tensorsThatOverlapLeaveGapsOrLeaveBytesOverAreRefused() throws {
    func two(_ first: String, _ second: String) -> [UInt8] {
      bytes(
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":\(first)},\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":\(second)}}")
    }
    #expect(try refusal(two("[0,4]", "[0,4]")).contains("overlaps another"))
    #expect(try refusal(two("[0,4]", "[2,6]")).contains("tensor \"b\" overlaps another"))
    #expect(try refusal(two("[4,8]", "[3,7]")).contains("overlaps another or leaves a gap"))
    #expect(try refusal(bytes(#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#)).contains("the tensors end at byte"))
    #expect(try refusal(bytes("{}", data: 1)).contains("the tensors end at byte"))
  }

  @Test func everyTruncationOfAWholeFileIsRefused() throws {
    let whole = try Files.read(goldens + "/types.safetensors")
    let folder = try TrialFolder()
    let path = folder.file("cut.safetensors")
    for count in stride(from: 0, to: whole.count, by: 13) {
      try AtomicFile.write(Array(whole[..<count]), to: path)
      #expect(failure { () throws(Failure) in try SafetensorsFile(path) }?.code == .badData, "\(count) bytes")
    }
  }

  @Test func whatIsNoFileIsMissingInput() throws {
    let folder = try TrialFolder()
    #expect(failure { () throws(Failure) in try SafetensorsFile(folder.file("none")) }?.code == .missingInput)
    #expect(failure { () throws(Failure) in try SafetensorsFile(folder.path) }?.code == .missingInput)
  }
}

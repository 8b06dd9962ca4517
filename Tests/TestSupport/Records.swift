import Support

/// The lines of a log without what the clock and the machine say.
package func deterministicRecords(_ path: String) throws -> [String] {
  try Files.readText(path).split(separator: "\n").map { line in
    let json = try JSON.parse(String(line), name: path)
    var kept = JSON.Object()
    for key in json.object?.keys ?? [] where !key.contains("seconds") && !["time", "elapsed", "peak_mebibytes"].contains(key) {
      if !key.hasSuffix("_per_second") { kept[key] = json[key] }
    }
    return JSON.object(kept).text()
  }
}

/// The float64 numbers of a golden's tensor.
package func doubles(_ file: SafetensorsFile, _ name: String) throws -> [Double] {
  let entry = try file.entry(name)
  return unsafe file.withBytes(entry) { raw in
    (0..<entry.elementCount).map { unsafe raw.loadUnaligned(fromByteOffset: 8 * $0, as: Double.self) }
  }
}

/// The sequences of a golden's `tokens` and `token_offsets`.
package func sequences(_ file: SafetensorsFile) throws -> [[Int32]] {
  let tokens = try file.integers("tokens").map { Int32($0) }
  let offsets = try file.integers("token_offsets").map { Int($0) }
  return zip(offsets, offsets.dropFirst()).map { Array(tokens[$0..<$1]) }
}

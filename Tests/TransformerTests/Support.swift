import Compute
import Support
import Testing
import Transformer

/// Folders written by transformers and peft; `make_goldens.py` beside them makes them.
let goldens = Files.directory(of: #filePath) + "/Goldens"

func makeBackend(threads: Int = 2) throws -> any Backend { try CPUBackend(threads: threads) }

/// What an oracle computed for a folder.
struct Golden {
  let file: SafetensorsFile
  let sequences: [[Int32]]

  init(_ path: String) throws {
    file = try SafetensorsFile(goldens + "/" + path)
    let tokens = try file.integers("tokens").map { Int32($0) }
    let offsets = try file.integers("token_offsets").map { Int($0) }
    sequences = zip(offsets, offsets.dropFirst()).map { Array(tokens[$0..<$1]) }
  }

  func doubles(_ name: String) throws -> [Double] {
    let entry = try file.entry(name)
    guard entry.type == .float64 else { return try file.floats(name).map(Double.init) }
    return unsafe file.withBytes(entry) { raw in
      (0..<entry.elementCount).map { unsafe raw.loadUnaligned(fromByteOffset: 8 * $0, as: Double.self) }
    }
  }

  /// All sequences as one batch, with every token after the first of each as a target.
  var batch: (TokenBatch, TokenTargets) {
    var batch = TokenBatch()
    var targets = TokenTargets()
    for sequence in sequences { batch.appendPredicted(sequence, targets: &targets) }
    return (batch, targets)
  }
}

func largestDifference(_ found: [Float], _ expected: [Double]) -> Double {
  guard found.count == expected.count else { return .infinity }
  return zip(found, expected).reduce(0) { worst, pair in
    let difference = abs(Double(pair.0) - pair.1)
    return difference.isNaN ? .infinity : max(worst, difference)
  }
}

/// Every trained parameter's gradient against the golden's, relative to the largest of that parameter.
func expectGradients(of model: Transformer, _ golden: Golden, prefix: String, tolerance: Double) throws {
  #expect(!model.parameters.isEmpty)
  for parameter in model.parameters {
    let expected = try golden.doubles(prefix + parameter.name)
    let scale = expected.reduce(1e-3) { max($0, abs($1)) }
    let difference = largestDifference(try model.backend.download(parameter.gradient), expected)
    #expect(difference < tolerance * scale, "\(parameter.name): off by \(difference) of \(scale)")
  }
}

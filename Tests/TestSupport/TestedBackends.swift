import Compute
import Support

/// The backends that the conformance suite runs on: every test of an operation, a model or a rollout takes one of them as an argument.
/// This is the one list of them. `NR_TEST_BACKENDS=cpu` leaves those whose name begins so.
package let backends = everyBackend.filter { $0.name.hasPrefix(environmentVariable("NR_TEST_BACKENDS") ?? "") }

private let everyBackend = [
  TestedBackend(name: "cpu", unit: 0x1p-24) { threads throws(Failure) in try CPUBackend(threads: threads) },
  TestedBackend(name: "cpu bfloat16", unit: 0x1p-8) { threads throws(Failure) in try BFloat16CPUBackend(threads: threads) },
  TestedBackend(name: "cuda, emulated", unit: 0x1p-24) { threads throws(Failure) in try CUDABackend(Emulator.device(), threads: threads) },
  TestedBackend(name: "cuda bfloat16, emulated", unit: 0x1p-8) { threads throws(Failure) in try TensorCoreBackend(Emulator.device(), threads: threads) },
]

/// A backend under test, with what is to be expected of its numbers.
package struct TestedBackend: Sendable, CustomStringConvertible {
  package let name: String
  /// The relative error of one rounding in its sums of products: 2⁻²⁴ where they are float32.
  package let unit: Double
  /// Whether its time is a hundred times the CPU's, so that a test makes fewer of what it makes many of.
  package var isEmulated: Bool { name.contains("emulated") }
  /// Whether products read float32 values: weights are then what they were given as, a small step of them is seen, and gradients
  /// are sums in one order, however rows are split into micro-batches.
  package var isFloat32: Bool { unit == 0x1p-24 }
  private let make: @Sendable (Int) throws(Failure) -> any Backend

  package init(name: String, unit: Double, make: @escaping @Sendable (Int) throws(Failure) -> any Backend) {
    self.name = name
    self.unit = unit
    self.make = make
  }

  /// - Parameter threads: of the host, where it is the host that computes.
  package func open(threads: Int = 2) throws(Failure) -> any Backend { try make(threads) }

  /// What an error may be that may be `float32` where sums of products are float32.
  package func tolerance(_ float32: Double) -> Double { float32 * unit / 0x1p-24 }

  package var description: String { name }
}

/// Every pair of two lists, for a test that takes a backend besides: a test takes no more than two lists of arguments.
package func pairs<A, B>(_ first: [A], _ second: [B]) -> [(A, B)] { first.flatMap { a in second.map { (a, $0) } } }

extension Backend {
  package func read(_ tensor: Tensor) throws(Failure) -> [Float] { try download(tensor).value() }

  /// Values as this backend keeps what products read.
  package func activations(_ values: [Float], rows: Int, columns: Int) throws(Failure) -> Tensor {
    let kept = try activations(rows, columns)
    copy(try tensor(values, rows: rows, columns: columns), to: kept)
    return kept
  }
}

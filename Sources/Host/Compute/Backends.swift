import Support

/// The one place that knows which backends there are.
package enum Backends {
  /// What `--device` may be.
  package static let devices = "auto, cpu, cuda or cuda:N"

  package static func isDevice(_ name: String) -> Bool {
    ["auto", "cpu", "cuda"].contains(name) || name.hasPrefix("cuda:") && Int(name.dropFirst(5)).map { $0 >= 0 } ?? false
  }

  /// - Parameters:
  ///   - device: where to compute.
  ///   - threads: of the CPU; nil takes one per core this process may run on.
  ///   - memory: bytes that may be taken; nil: what there is.
  package static func open(device: String = "auto", threads: Int? = nil, memory: Int? = nil) throws(Failure) -> any Backend {
    if device.hasPrefix("cuda") { throw .usage("--device \(device): this build computes on the CPU; use --device cpu") }
    return try CPUBackend(threads: threads, memory: memory)
  }
}

import Compute
import Support
import TestSupport
import Testing

@testable import Benchmarking

/// `gpu-check` has to find what a card does wrong: kernels that are a little off stand for it.
@Suite struct DeviceCheckTests {
  /// All kernels, one place of one file changed.
  private func sources(_ name: String, _ text: String, _ other: String) throws -> KernelSources {
    func changed(_ file: String, _ words: String) throws -> [UInt8] {
      guard file == name else { return Array(words.utf8) }
      try #require(words.contains(text), "\(name) has no \(text)")
      return Array(words.replacing(text, with: other).utf8)
    }
    let all = KernelSources.all
    return KernelSources(
      headers: try all.headers.map { ($0.name, try changed($0.name, $0.text)) }, files: try all.files.map { ($0.name, try changed($0.name, $0.text)) })
  }

  @Test(arguments: [
    // A scale a little off, and a tensor core that takes one operand from the wrong place.
    ("rows.cu", "= x[i] * a.factor", "= x[i] * (a.factor + 1e-3f)", "operations"),
    ("product.cuh", "(b_at ^ step << 5)", "(b_at ^ (step == 3 ? 2 : step) << 5)", "tensor_cores"),
  ]) func whatAKernelDoesWrongIsFound(_ name: String, _ text: String, _ other: String, part: String) throws {
    let folder = try TrialFolder()
    let device = try TensorCoreBackend(Emulator.device(sources: sources(name, text, other)))
    var check = DeviceCheck(device, cpu: try CPUBackend(threads: 2), path: folder.file("check.json"))
    check.isSmall = true
    #expect(try !check.run([:]))
    let record = try JSON.read(folder.file("check.json"))
    #expect(record["agrees"]?.bool == false && record[part]?["agrees"]?.bool == false, "\(record[part]?.text() ?? "")")
    // What does not use the kernel is right.
    let right = part == "operations" ? "tensor_cores" : "operations"
    #expect(record[right]?["agrees"]?.bool == true, "\(record[right]?.text() ?? "")")
  }
}

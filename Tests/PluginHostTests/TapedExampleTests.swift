import PluginHost
import Support
import TestSupport
import Testing

@Suite("Examples on the tape")
struct TapedExampleTests {
  let folder: TrialFolder

  init() throws { folder = try TrialFolder() }

  private func build(_ name: String) throws -> String {
    let path = folder.path + "/libnr-\(name.lowercased()).so"
    let built = shell("'\(Place.repository)/Sources/PluginAPI/build-plugin.sh' '\(Place.repository)/Examples/Taped/\(name).swift' -o '\(path)'")
    try #require(built.status == 0 && built.output == "", "\(built.output)")
    return path
  }

  @Test("The example of docs/plugins.md is the file, and passes every check")
  func clippedPolicy() throws {
    let source = try Files.readText("\(Place.repository)/Examples/Taped/ClippedPolicy.swift")
    #expect(try Files.readText("\(Place.repository)/docs/plugins.md").contains("```swift\n\(source)```\n"))
    let path = try build("ClippedPolicy")
    let report = try PluginChecker(CheckSettings(path: path), program: Place.tool).run()
    #expect(report.passed, "\(report.text)")
    // With the preset no entropy is asked for; the checker also tries the weight.
    #expect(report.outcomes.first { $0.test == .gradientEntropy }?.status == .passed, "\(report.text)")
    #if os(Linux)
    // It needs libc and libm alone.
    let needed = shell("ldd '\(path)'").output.split(separator: "\n").compactMap { $0.split { " \t".contains($0) }.first }
    let known = ["linux-vdso", "libc.so", "libm.so", "/lib"]
    #expect(!needed.isEmpty && needed.allSatisfy { name in known.contains { name.hasPrefix($0) } }, "\(needed)")
    #endif
    #expect(try Files.read(path).count < 128 << 10)
  }

  @Test("CISPO on the tape, whose weight is held fixed, is CISPO in C")
  func cispo() throws {
    let path = try build("TapedCISPO")
    let inC = folder.path + "/libnr-cispo.so"
    try compilePlugin(try Files.readText("\(Place.repository)/Examples/C/cispo.c"), to: inC, options: "-lm")
    let (taped, plain) = (try PluginInstance(PluginLibrary(path)), try PluginInstance(PluginLibrary(inC)))
    for seed in 0..<20 {
      var example = Example(seed: UInt64(seed))
      if seed % 2 == 1 { example.current = example.current.map { $0 * 3 } }
      let all = Array(0..<example.rollout.sequenceCount)
      let stage = try plain.advantages(example.rollout)
      #expect(zip(try taped.advantages(example.rollout).advantages, stage.advantages).allSatisfy { abs($0 - $1) <= 1e-5 })
      let (found, expected) = (try taped.loss(example.batch(all, stage)), try plain.loss(example.batch(all, stage)))
      #expect(abs(found.loss - expected.loss) <= 1e-12 * max(1, abs(expected.loss)))
      for (a, b) in zip(found.dCurrent, expected.dCurrent) { #expect(abs(a - b) <= max(abs(a), abs(b)).ulp) }
      #expect(found.metrics == expected.metrics)
    }
    var settings = CheckSettings(path: path)
    settings.tests = [.gradientCurrent]
    let report = try PluginChecker(settings, program: Place.tool).run()
    #expect(report.passed && report.text.contains("move together"), "\(report.text)")
  }
}

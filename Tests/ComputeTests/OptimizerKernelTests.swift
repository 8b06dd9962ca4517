import Compute
import Support
import TestSupport
import Testing

@Suite struct OptimizerKernelTests {
  @Test(arguments: backends) func adamWFollowsItsDefinition(_ tested: TestedBackend) throws {
    let backend = try tested.open()
    let count = 1000
    let start = numbers(count, seed: 1)
    let (p, m, v) = (try backend.vector(start), try backend.tensor(1, count), try backend.tensor(1, count))
    var (p64, m64, v64) = (doubles(start), [Double](repeating: 0, count: count), [Double](repeating: 0, count: count))
    let settings = AdamWSettings(learningRate: 1e-2, weightDecay: 0.1)
    for step in 1...5 {
      let g = numbers(count, seed: UInt64(10 + step))
      backend.adamW(settings, step: step, parameter: p, gradient: try backend.vector(g), m: m, v: v, gradientFactor: 0.5)
      for i in 0..<count {
        let gradient = 0.5 * Double(g[i])
        p64[i] *= 1 - 1e-2 * 0.1
        m64[i] = 0.9 * m64[i] + 0.1 * gradient
        v64[i] = 0.999 * v64[i] + 0.001 * gradient * gradient
        p64[i] -= 1e-2 / (1 - pow(0.9, Double(step))) * m64[i] / ((v64[i] / (1 - pow(0.999, Double(step)))).squareRoot() + 1e-8)
      }
    }
    #expect(relativeError(try backend.read(p), p64) < tested.tolerance(1e-6))
  }

  @Test(arguments: backends) func theSumOfSquaresIsExactEnoughAndKnowsInfinity(_ tested: TestedBackend) throws {
    let backend = try tested.open()
    let x = numbers(100_003, seed: 1)
    let expected = x.reduce(0.0) { $0 + Double($1) * Double($1) }
    let found = try backend.sumOfSquares(try backend.vector(x), backend.parts([0..<x.count])).value()
    #expect(abs(found - expected) < 1e-9 * expected)
    let infinite = try backend.sumOfSquares(try backend.vector([1, .infinity]), backend.parts([0..<2])).value()
    #expect(!infinite.isFinite)
    // Part after part, whatever lies between them; the bits of adding up the parts by themselves.
    let parts = [0..<40_000, 40_016..<40_017, 40_032..<40_032, 50_000..<100_003]
    let apart = try parts.map { try backend.sumOfSquares(try backend.vector(Array(x[$0])), backend.parts([0..<$0.count])).value() }
    #expect(try backend.sumOfSquares(try backend.vector(x), backend.parts(parts)).value() == apart.reduce(0, +))
  }
}

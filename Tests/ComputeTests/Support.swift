import Compute
import Support
import Testing

/// Reproducible float32 numbers around zero.
func numbers(_ count: Int, seed: UInt64, scale: Double = 1) -> [Float] {
  var stream = RandomStream(seed: 7, stream: seed)
  return (0..<count).map { _ in Float(scale * stream.nextNormal()) }
}

func doubles(_ values: [Float]) -> [Double] { values.map(Double.init) }

/// Largest difference relative to the largest magnitude expected, or to `floor` where that is larger: the size of what was
/// added and subtracted on the way.
func relativeError(_ found: [Float], _ expected: [Double], floor: Double = 1e-6) -> Double {
  guard found.count == expected.count else { return .infinity }
  let scale = expected.reduce(floor) { max($0, abs($1)) }
  return zip(found, expected).reduce(0) { worst, pair in
    let difference = abs(Double(pair.0) - pair.1)
    return difference.isNaN ? .infinity : max(worst, difference / scale)
  }
}

/// The gradient of `function` at `point` by central differences in float64.
func finiteDifferences(_ point: [Double], _ function: ([Double]) -> Double) -> [Double] {
  var point = point
  return point.indices.map { index in
    let original = point[index]
    let step = 1e-5 * max(1, abs(original))
    point[index] = original + step
    let above = function(point)
    point[index] = original - step
    let below = function(point)
    point[index] = original
    return (above - below) / (2 * step)
  }
}

func dot(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }

/// Rows that were computed in two ways: the same bits where the backend promises that, else as near as its numbers are.
func expectTheSameRows(
  _ found: [Float], _ expected: [Float], on backend: any Backend, within tolerance: Double, _ what: Comment? = nil,
  at location: SourceLocation = #_sourceLocation
) {
  if backend.isRowExact {
    let different = zip(found, expected).count { $0.bitPattern != $1.bitPattern }
    #expect(found.count == expected.count && different == 0, what, sourceLocation: location)
  } else {
    #expect(relativeError(found, doubles(expected)) < tolerance, what, sourceLocation: location)
  }
}

/// A row of logits at an inverse temperature, in float64.
func logSoftmax(_ logits: [Double], inverse: Double) -> (logProbs: [Double], entropy: Double) {
  let scaled = logits.map { $0 * inverse }
  let top = scaled.max() ?? 0
  let logSum = top + log(scaled.reduce(0) { $0 + exp($1 - top) })
  let logProbs = scaled.map { $0 - logSum }
  return (logProbs, -logProbs.reduce(0) { $0 + exp($1) * $1 })
}

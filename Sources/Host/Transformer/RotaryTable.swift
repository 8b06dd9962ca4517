import Compute
import Support

/// Cosines and sines of the rotary embedding (Su et al., arXiv 2104.09864): angle = position · θ^(−2i/C).
///
/// Frequencies and angles are float32, as transformers computes them.
package final class RotaryTable {
  private let theta: Double
  private let channels: Int
  private var cosine: Tensor
  private var sine: Tensor
  private(set) var positions: Int

  init(theta: Double, channels: Int, positions: Int, on backend: any Backend) throws(Failure) {
    self.theta = theta
    self.channels = channels
    self.positions = positions
    (cosine, sine) = try Self.make(theta: theta, channels: channels, positions: positions, on: backend)
  }

  private static func make(theta: Double, channels: Int, positions: Int, on backend: any Backend)
    throws(Failure) -> (Tensor, Tensor)
  {
    let half = channels / 2
    let frequencies = (0..<half).map { 1 / powf(Float(theta), Float(2 * $0) / Float(channels)) }
    var cosines: [Float] = []
    var sines: [Float] = []
    cosines.reserveCapacity(positions * half)
    sines.reserveCapacity(positions * half)
    for position in 0..<positions {
      for frequency in frequencies {
        let angle = Float(position) * frequency
        cosines.append(Float(cos(Double(angle))))
        sines.append(Float(sin(Double(angle))))
      }
    }
    return (
      try backend.tensor(cosines, rows: positions, columns: half), try backend.tensor(sines, rows: positions, columns: half)
    )
  }

  /// Extends the table so that it holds `count` positions.
  func reserve(_ count: Int, on backend: any Backend) throws(Failure) {
    guard count > positions else { return }
    positions = max(count, 2 * positions)
    (cosine, sine) = try Self.make(theta: theta, channels: channels, positions: positions, on: backend)
  }

  func rotate(_ x: Tensor, channels: Int, positions: IndexTensor, inverse: Bool = false, on backend: any Backend) {
    backend.rotate(x, channels: channels, positions: positions, cos: cosine, sin: sine, inverse: inverse)
  }
}

import Compute
import Support
import Synchronization

/// How fast each pair of channels turns with the position (Su et al., arXiv 2104.09864).
package struct RotarySettings: Sendable, Equatable {
  package var theta: Double
  package var stretch: Stretch?

  package init(theta: Double, stretch: Stretch? = nil) {
    self.theta = theta
    self.stretch = stretch
  }

  /// Llama 3's longer context: slow turns are slowed down by `factor`, fast ones are not, and those between the two in part
  /// (`_compute_llama3_parameters` in transformers).
  package struct Stretch: Sendable, Equatable {
    let factor, lowFrequency, highFrequency: Double
    let originalPositions: Int

    static let keys: Set<String> = ["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"]

    init(_ object: JSON.Object, name: String) throws(Failure) {
      func number(_ key: String) throws(Failure) -> Double {
        guard let value = object[key]?.double, value > 0, value.isFinite else {
          throw .badData("\(name): \"\(key)\": expected a positive number, found \(object[key]?.kind ?? "nothing")")
        }
        return value
      }
      factor = try number("factor")
      lowFrequency = try number("low_freq_factor")
      highFrequency = try number("high_freq_factor")
      guard let original = object["original_max_position_embeddings"]?.int, original > 0 else {
        throw .badData(
          "\(name): \"original_max_position_embeddings\": expected a positive whole number, found \(object["original_max_position_embeddings"]?.kind ?? "nothing")")
      }
      originalPositions = original
      guard highFrequency > lowFrequency else {
        throw .badData("\(name): \"high_freq_factor\" (\(highFrequency)) must be greater than \"low_freq_factor\" (\(lowFrequency))")
      }
    }

    var json: JSON {
      [
        "rope_type": "llama3", "factor": .number(factor), "low_freq_factor": .number(lowFrequency), "high_freq_factor": .number(highFrequency),
        "original_max_position_embeddings": .integer(originalPositions),
      ]
    }

    func stretched(_ frequency: Float) -> Float {
      let wavelength = Float(2 * Double.pi) / frequency
      let original = Double(originalPositions)
      if wavelength > Float(original / lowFrequency) { return frequency / Float(factor) }
      if wavelength < Float(original / highFrequency) { return frequency }
      let share = (Float(original) / wavelength - Float(lowFrequency)) / Float(highFrequency - lowFrequency)
      return (1 - share) * frequency / Float(factor) + share * frequency
    }
  }

  /// The angle by which each pair of channels turns from one position to the next, `[C/2]`: θ^(−2i/C), float32 as transformers has it.
  package func frequencies(channels: Int) -> [Float] {
    (0..<(channels / 2)).map { pair in
      let plain = 1 / powf(Float(theta), Float(2 * pair) / Float(channels))
      return stretch?.stretched(plain) ?? plain
    }
  }
}

/// Cosines and sines of the rotary embedding for the positions that have been asked for.
package final class RotaryTable: Sendable {
  private struct Angles {
    var cosine: Tensor
    var sine: Tensor
    var positions: Int
  }

  private let frequencies: [Float]
  private let backend: any Backend
  private let angles: Mutex<Angles>

  init(_ settings: RotarySettings, channels: Int, positions: Int, on backend: any Backend) throws(Failure) {
    frequencies = settings.frequencies(channels: channels)
    self.backend = backend
    angles = Mutex(try Self.make(frequencies, positions: positions, on: backend))
  }

  private static func make(_ frequencies: [Float], positions: Int, on backend: any Backend) throws(Failure) -> Angles {
    let half = frequencies.count
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
    return Angles(
      cosine: try backend.tensor(cosines, rows: positions, columns: half), sine: try backend.tensor(sines, rows: positions, columns: half),
      positions: positions)
  }

  /// Extends the table so that it holds `count` positions.
  func reserve(_ count: Int) throws(Failure) {
    try angles.withLock { (angles: inout sending Angles) throws(Failure) in
      guard count > angles.positions else { return }
      angles = try Self.make(frequencies, positions: max(count, 2 * angles.positions), on: backend)
    }
  }

  var storage: Storage { angles.withLock { $0.cosine.storage } }

  /// Queries and keys in place; keys and values also go to a sink.
  func rotate(
    q: Tensor, k: Tensor, v: Tensor, _ heads: HeadShape, positions: IndexTensor, inverse: Bool = false, sink: CacheSink? = nil
  ) {
    let (cosine, sine) = angles.withLock { ($0.cosine, $0.sine) }
    backend.rotate(q: q, k: k, v: v, heads, positions: positions, cos: cosine, sin: sine, inverse: inverse, sink: sink)
  }
}

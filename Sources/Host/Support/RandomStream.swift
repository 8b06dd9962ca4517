/// Counter-based random numbers: Philox 4×32-10 (Salmon et al., SC 2011).
///
/// A number is a pure function of seed, stream and position, so any stream can be read from any place, by any thread,
/// and what has to be saved of a stream is its position.
package struct RandomStream: Sendable, Equatable {
  package let seed: UInt64
  package let stream: UInt64
  package var position: UInt64

  package init(seed: UInt64, stream: UInt64 = 0, position: UInt64 = 0) {
    self.seed = seed
    self.stream = stream
    self.position = position
  }

  /// A stream named by several numbers, such as step, prompt and sample.
  package init(seed: UInt64, path: [UInt64]) {
    var name: UInt64 = 0x243F_6A88_85A3_08D3
    for part in path { name = Self.mix(name ^ part) }
    self.init(seed: seed, stream: name)
  }

  /// The block of four words at a counter, under a key.
  package static func philox(counter: SIMD4<UInt32>, key: SIMD2<UInt32>) -> SIMD4<UInt32> {
    var counter = counter
    var key = key
    for _ in 0..<10 {
      let first = UInt64(0xD251_1F53) &* UInt64(counter.x)
      let second = UInt64(0xCD9E_8D57) &* UInt64(counter.z)
      counter = SIMD4(
        UInt32(truncatingIfNeeded: second >> 32) ^ counter.y ^ key.x, UInt32(truncatingIfNeeded: second),
        UInt32(truncatingIfNeeded: first >> 32) ^ counter.w ^ key.y, UInt32(truncatingIfNeeded: first))
      key &+= SIMD2(0x9E37_79B9, 0xBB67_AE85)
    }
    return counter
  }

  /// The 64-bit number at a position of this stream.
  package func bits(at position: UInt64) -> UInt64 {
    let block = Self.philox(
      counter: SIMD4(
        UInt32(truncatingIfNeeded: position), UInt32(truncatingIfNeeded: position >> 32),
        UInt32(truncatingIfNeeded: stream), UInt32(truncatingIfNeeded: stream >> 32)),
      key: SIMD2(UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32)))
    return UInt64(block.x) | UInt64(block.y) << 32
  }

  /// The number in [0, 1) at a position, with 53 bits.
  package func uniform(at position: UInt64) -> Double { Double(bits(at: position) >> 11) * 0x1p-53 }

  package mutating func nextBits() -> UInt64 {
    defer { position &+= 1 }
    return bits(at: position)
  }

  package mutating func nextUniform() -> Double { Double(nextBits() >> 11) * 0x1p-53 }

  /// A whole number in 0..<bound without bias (Lemire, 2019).
  package mutating func next(below bound: Int) -> Int {
    precondition(bound > 0)
    let bound = UInt64(bound)
    var product = nextBits().multipliedFullWidth(by: bound)
    if product.low < bound {
      let threshold = (0 &- bound) % bound
      while product.low < threshold { product = nextBits().multipliedFullWidth(by: bound) }
    }
    return Int(product.high)
  }

  package mutating func next(in range: ClosedRange<Int>) -> Int {
    range.lowerBound + next(below: range.upperBound - range.lowerBound + 1)
  }

  package mutating func pick<T>(_ items: [T]) -> T { items[next(below: items.count)] }

  /// A number of the standard normal distribution (Box-Muller).
  package mutating func nextNormal() -> Double {
    let radius = (-2 * log(1 - nextUniform())).squareRoot()
    return radius * cos(2 * Double.pi * nextUniform())
  }

  /// The order 0..<count shuffled (Fisher-Yates).
  package mutating func permutation(_ count: Int) -> [Int] {
    var order = Array(0..<count)
    for last in stride(from: count - 1, to: 0, by: -1) { order.swapAt(last, next(below: last + 1)) }
    return order
  }

  /// SplitMix64's finaliser.
  private static func mix(_ value: UInt64) -> UInt64 {
    var z = value &+ 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

import Support
import Testing

@Suite struct RandomStreamTests {
  /// The known-answer vectors that Random123 publishes for philox4x32-10 (kat_vectors).
  @Test(arguments: [
    ([0, 0, 0, 0], [0, 0], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
    (
      [0xffff_ffff, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff], [0xffff_ffff, 0xffff_ffff],
      [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
    ),
    (
      [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0],
      [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
    ),
  ] as [([UInt32], [UInt32], [UInt32])])
  func philoxGivesRandom123sKnownAnswers(_ counter: [UInt32], _ key: [UInt32], _ expected: [UInt32]) {
    let block = RandomStream.philox(
      counter: SIMD4(counter[0], counter[1], counter[2], counter[3]), key: SIMD2(key[0], key[1]))
    #expect([block.x, block.y, block.z, block.w] == expected)
  }

  @Test func aPositionGivesTheSameNumberHoweverItIsReached() {
    var walking = RandomStream(seed: 3, stream: 9)
    for position in 0..<100 as Range<UInt64> {
      #expect(walking.nextBits() == RandomStream(seed: 3, stream: 9).bits(at: position))
    }
    var resumed = RandomStream(seed: 3, stream: 9, position: 100)
    #expect(resumed.nextBits() == walking.nextBits())
  }

  @Test func seedsStreamsPathsAndPositionsAllCount() {
    var seen: Set<UInt64> = []
    for seed in 0..<4 as Range<UInt64> {
      for stream in 0..<4 as Range<UInt64> {
        for position in [0, 1, 2, 1 << 32, 1 << 33] as [UInt64] {
          seen.insert(RandomStream(seed: seed, stream: stream).bits(at: position))
        }
      }
    }
    #expect(seen.count == 4 * 4 * 5)
    #expect(RandomStream(seed: 1, path: [1, 2]) != RandomStream(seed: 1, path: [2, 1]))
    #expect(RandomStream(seed: 1, path: [1]) != RandomStream(seed: 1, path: [1, 0]))
  }

  @Test func uniformNumbersAreEvenOverTheirRange() {
    var stream = RandomStream(seed: 11)
    var counts = [Int](repeating: 0, count: 16)
    for _ in 0..<32_000 {
      let number = stream.nextUniform()
      #expect(number >= 0 && number < 1)
      counts[Int(number * 16)] += 1
    }
    // χ² of 15 degrees of freedom: above 37.7 once in a thousand.
    #expect(counts.reduce(0.0) { $0 + (Double($1) - 2000) * (Double($1) - 2000) / 2000 } < 37.7)
  }

  @Test func wholeNumbersBelowABoundAreEven() {
    var stream = RandomStream(seed: 12)
    var counts = [Int](repeating: 0, count: 6)
    for _ in 0..<30_000 { counts[stream.next(below: 6)] += 1 }
    #expect(counts.reduce(0.0) { $0 + (Double($1) - 5000) * (Double($1) - 5000) / 5000 } < 20.5)
    // A bound above 2⁶³ / 2, where a plain remainder would favour the lower half.
    let bound = Int.max / 4 * 3
    let lower = (0..<3000).count { _ in stream.next(below: bound) < bound / 2 }
    #expect((1350...1650).contains(lower))
  }

  @Test func aPermutationHoldsEveryNumberOnce() {
    var stream = RandomStream(seed: 13)
    let first = stream.permutation(50)
    #expect(first.sorted() == Array(0..<50))
    #expect(first != stream.permutation(50))
    #expect(stream.permutation(0).isEmpty)
    #expect(stream.permutation(1) == [0])
  }

  @Test func normalNumbersHaveMeanZeroAndDeviationOne() {
    var stream = RandomStream(seed: 14)
    let numbers = (0..<20_000).map { _ in stream.nextNormal() }
    let mean = numbers.reduce(0, +) / 20_000
    #expect(abs(mean) < 0.03)
    #expect(abs(numbers.reduce(0) { $0 + $1 * $1 } / 20_000 - 1) < 0.04)
  }
}

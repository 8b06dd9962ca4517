import Support

/// The order examples are taken in: each epoch a fresh shuffle that depends on seed and epoch only, so that a position
/// is all a checkpoint has to keep.
package struct DataOrder: Sendable {
  private let count: Int
  private let seed: UInt64
  private let shuffles: Bool
  private var epoch = -1
  private var order: [Int] = []

  package init(count: Int, seed: UInt64, shuffles: Bool) {
    precondition(count > 0)
    self.count = count
    self.seed = seed
    self.shuffles = shuffles
  }

  /// The example at a position of the endless sequence of epochs.
  package mutating func index(at position: Int) -> Int {
    let wanted = position / count
    if wanted != epoch {
      epoch = wanted
      if shuffles {
        var stream = RandomStream(seed: seed, path: [0x4F_52_44_45_52, UInt64(wanted)])
        order = stream.permutation(count)
      } else {
        order = Array(0..<count)
      }
    }
    return order[position % count]
  }

  package mutating func indices(_ positions: Range<Int>) -> [Int] { positions.map { index(at: $0) } }
}

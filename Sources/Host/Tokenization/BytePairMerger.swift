/// Merges the tokens of one word pair by pair: always the lowest rank, the leftmost of equals.
///
/// The tokens stand in a linked list and the pairs in a heap, so a word of n bytes takes n log n steps. Kept between
/// words for its memory only.
struct BytePairMerger {
  private var tokens: [Int32] = []
  private var next: [Int32] = []
  private var previous: [Int32] = []
  /// The rank of the pair that begins at a place; what the heap says otherwise is out of date.
  private var ranks: [Int32] = []
  private var merged: [Int32] = []
  private var queue = MinimumHeap<UInt64>()

  /// Appends the tokens of a word, given as the tokens of its single bytes.
  mutating func merge(_ word: [Int32], _ table: MergeTable, into output: inout [Int32]) {
    let count = word.count
    if count < 2 {
      output += word
      return
    }
    tokens = word
    next = Array(1...Int32(count))
    previous = Array(-1..<Int32(count - 1))
    ranks = Array(repeating: -1, count: count)
    merged = ranks
    for place in 0..<(count - 1) { rankPair(at: place, count, table) }

    while let entry = queue.pop() {
      let place = Int(entry & 0xFFFF_FFFF)
      guard ranks[place] == Int32(entry >> 32) else { continue }
      let second = Int(next[place])
      tokens[place] = merged[place]
      ranks[second] = -1
      next[place] = next[second]
      if next[place] < count { previous[Int(next[place])] = Int32(place) }
      rankPair(at: place, count, table)
      if previous[place] >= 0 { rankPair(at: Int(previous[place]), count, table) }
    }
    var place = 0
    while place < count {
      output.append(tokens[place])
      place = Int(next[place])
    }
  }

  private mutating func rankPair(at place: Int, _ count: Int, _ table: MergeTable) {
    let second = Int(next[place])
    guard second < count, let merge = table[tokens[place], tokens[second]] else {
      ranks[place] = -1
      return
    }
    ranks[place] = merge.rank
    merged[place] = merge.token
    queue.push(UInt64(merge.rank) << 32 | UInt64(place))
  }
}

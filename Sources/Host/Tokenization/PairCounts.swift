/// How often each pair of neighbouring tokens stands in the words of a text, kept up to date through merges.
struct PairCounts {
  private struct Word {
    var tokens: [Int32]
    var count: Int
  }

  /// A pair as frequent as it was when it was queued; the most frequent, then the lowest ids come first.
  private struct Entry: Comparable {
    var count: Int
    var pair: UInt64

    static func < (left: Entry, right: Entry) -> Bool {
      left.count != right.count ? left.count > right.count : left.pair < right.pair
    }
  }

  private var words: [Word] = []
  private var counts: [UInt64: Int] = [:]
  /// The words a pair may stand in; some may have lost it since.
  private var places: [UInt64: [Int32]] = [:]
  private var queue = MinimumHeap<Entry>()

  mutating func add(_ tokens: [Int32], count: Int) {
    let place = Int32(words.count)
    words.append(Word(tokens: tokens, count: count))
    for (left, right) in zip(tokens, tokens.dropFirst()) { change(MergeTable.pair(left, right), by: count, at: place) }
  }

  mutating func mostFrequent() -> (left: Int32, right: Int32, count: Int)? {
    while let entry = queue.pop() {
      let count = counts[entry.pair] ?? 0
      if count == entry.count {
        return (Int32(truncatingIfNeeded: entry.pair >> 32), Int32(truncatingIfNeeded: entry.pair), count)
      }
    }
    return nil
  }

  /// Replaces a pair by a token in every word, from left to right.
  mutating func merge(_ left: Int32, _ right: Int32, into token: Int32) {
    let pair = MergeTable.pair(left, right)
    var last: Int32 = -1
    for place in (places.removeValue(forKey: pair) ?? []).sorted() where place != last {
      last = place
      let old = words[Int(place)].tokens
      var new: [Int32] = []
      var index = 0
      while index < old.count {
        if index + 1 < old.count, old[index] == left, old[index + 1] == right {
          new.append(token)
          index += 2
        } else {
          new.append(old[index])
          index += 1
        }
      }
      if new.count == old.count { continue }
      let count = words[Int(place)].count
      for (left, right) in zip(old, old.dropFirst()) { change(MergeTable.pair(left, right), by: -count, at: nil) }
      words[Int(place)].tokens = new
      for (left, right) in zip(new, new.dropFirst()) { change(MergeTable.pair(left, right), by: count, at: place) }
    }
    counts[pair] = nil
  }

  private mutating func change(_ pair: UInt64, by difference: Int, at place: Int32?) {
    let count = (counts[pair] ?? 0) + difference
    counts[pair] = count == 0 ? nil : count
    if let place {
      if places[pair]?.last != place { places[pair, default: []].append(place) }
    }
    if count > 0 { queue.push(Entry(count: count, pair: pair)) }
  }
}

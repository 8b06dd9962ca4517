import Synchronization

/// The tokens of words met before. Stops taking new ones when it is full.
struct WordCache: Sendable {
  private static let capacity = 1 << 16
  private static let longestWord = 48

  private var words = ByteStringTable()
  private var ends: [Int] = []
  private var tokens: [Int32] = []

  var count: Int { words.count }

  /// Appends the tokens of a word if it is known.
  func append(_ word: Span<UInt8>, to output: inout [Int32]) -> Bool {
    guard let index = words.find(word) else { return false }
    for place in (index == 0 ? 0 : ends[index - 1])..<ends[index] { output.append(tokens[place]) }
    return true
  }

  mutating func insert(_ word: Span<UInt8>, _ wordTokens: ArraySlice<Int32>) {
    guard words.count < Self.capacity, word.count <= Self.longestWord else { return }
    guard words.insert(word).isNew else { return }
    tokens += wordTokens
    ends.append(tokens.count)
  }

  /// Lends one cache to one encoding at a time; an encoding beside it begins with an empty one, so none waits.
  final class Pool: Sendable {
    private let resting = Mutex<WordCache?>(nil)

    func take() -> WordCache {
      resting.withLock { cache in
        defer { cache = nil }
        return cache ?? WordCache()
      }
    }

    func giveBack(_ cache: consuming WordCache) {
      let cache = cache
      resting.withLock { if cache.count > ($0?.count ?? 0) || $0 == nil { $0 = cache } }
    }
  }
}

/// The name that a misspelt one was probably meant to be.
package enum NearestName {
  /// The nearest of `candidates`, or nil where none is near.
  package static func find(_ word: String, among candidates: [String]) -> String? {
    var best: (name: String, distance: Int)?
    for candidate in candidates {
      let isPrefix = word.count >= 3 && candidate.hasPrefix(word)
      let distance = isPrefix ? 1 : distance(Array(word.utf8), Array(candidate.utf8))
      let limit = max(1, min(3, max(word.count, candidate.count) / 3))
      if distance <= limit, distance < best?.distance ?? .max { best = (candidate, distance) }
    }
    return best?.name
  }

  /// Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment).
  private static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    var before = [Int](repeating: 0, count: b.count + 1)
    var above = Array(0...b.count)
    for i in a.indices {
      var row = [i + 1] + [Int](repeating: 0, count: b.count)
      for j in b.indices {
        row[j + 1] = min(above[j + 1] + 1, row[j] + 1, above[j] + (a[i] == b[j] ? 0 : 1))
        if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { row[j + 1] = min(row[j + 1], before[j - 1] + 1) }
      }
      before = above
      above = row
    }
    return above[b.count]
  }
}

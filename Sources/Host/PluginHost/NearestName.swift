/// The name among `known` that a user may have meant; nil where none is close.
func nearestName(to text: String, among known: [String]) -> String? {
  let candidates = known.map { (name: $0, distance: editDistance(text.lowercased(), $0.lowercased())) }
  guard let best = candidates.min(by: { $0.distance < $1.distance }) else { return nil }
  return best.distance <= max(2, text.count / 3) && best.distance < text.count ? best.name : nil
}

/// How many letters to insert, remove or change to turn one text into the other (Levenshtein).
private func editDistance(_ a: String, _ b: String) -> Int {
  let b = Array(b)
  var row = Array(0...b.count)
  for (i, letter) in a.enumerated() {
    var diagonal = row[0]
    row[0] = i + 1
    for j in b.indices {
      let above = row[j + 1]
      row[j + 1] = letter == b[j] ? diagonal : 1 + min(diagonal, above, row[j])
      diagonal = above
    }
  }
  return row[b.count]
}

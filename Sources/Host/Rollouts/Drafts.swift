/// Guesses of what comes next, from what a prompt and its completions have said so far: after the same few tokens the same ones are likely
/// to follow (prompt lookup, Saxena 2023; the completions of a group look into each other's as well).
package struct Drafts {
  /// Rows of a step up to which drafts are added: as many as cost about what reading the weights costs.
  static let rows = 12
  /// Parameters of a model from which on no cache holds its weights.
  static let parameters = 32 << 20
  /// Tokens that have to be the same.
  private static let gram = 3
  private static let longest = 8

  /// A prompt and its completions.
  private struct Group {
    /// The prompt, then each sample's completion by its number.
    var prompt: [Int32]
    var samples: [Int: [Int32]] = [:]
    /// Where the last few tokens were last followed by one: in which text, and at what place.
    var places: [Gram: (sample: Int?, index: Int)] = [:]
    /// Tokens that a sample's next draft may have: more where the last were right.
    var trust: [Int: Int] = [:]
  }

  private struct Gram: Hashable {
    let first, second, third: Int32
  }

  private var groups: [Int: Group] = [:]

  package init() {}

  package mutating func begin(_ request: Int, prompt: [Int32]) {
    var group = Group(prompt: prompt)
    for index in prompt.indices.dropFirst(Self.gram) {
      group.places[Gram(first: prompt[index - 3], second: prompt[index - 2], third: prompt[index - 1])] = (nil, index)
    }
    groups[request] = group
  }

  package mutating func forget(_ request: Int) { groups[request] = nil }

  /// The last tokens of a sample, with those of the prompt before it.
  private static func last(_ group: Group, _ sample: Int) -> Gram? {
    let completion = group.samples[sample] ?? []
    func back(_ distance: Int) -> Int32? {
      if distance <= completion.count { return completion[completion.count - distance] }
      let place = group.prompt.count - (distance - completion.count)
      return place >= 0 ? group.prompt[place] : nil
    }
    guard let first = back(3), let second = back(2), let third = back(1) else { return nil }
    return Gram(first: first, second: second, third: third)
  }

  package mutating func append(_ token: Int32, to sample: Int, of request: Int) {
    guard var group = groups.removeValue(forKey: request) else { return }
    if let gram = Self.last(group, sample) { group.places[gram] = (sample, group.samples[sample]?.count ?? 0) }
    group.samples[sample, default: []].append(token)
    groups[request] = group
  }

  /// Up to `most` tokens that may follow a sample's.
  package func next(of sample: Int, of request: Int, most: Int) -> [Int32] {
    guard most > 0, let group = groups[request], let gram = Self.last(group, sample), let place = group.places[gram] else { return [] }
    let text = place.sample.map { group.samples[$0] ?? [] } ?? group.prompt
    return Array(text[place.index..<min(text.count, place.index + min(most, group.trust[sample] ?? Self.longest / 2))])
  }

  /// Drafts get longer while they are right and shorter when they are not.
  package mutating func learn(accepted: Int, of drafted: Int, sample: Int, request: Int) {
    guard drafted > 0, let trust = groups[request].map({ $0.trust[sample] ?? Self.longest / 2 }) else { return }
    groups[request]?.trust[sample] = accepted == drafted ? min(Self.longest, 2 * trust) : max(1, accepted)
  }
}

import Support

/// Generated word problems of grade school: a story of one to four steps with whole numbers, its worked solution and an
/// answer that is right by construction.
///
/// A problem is a pure function of seed, split, level and index. Its templates and numbers, without names, things and
/// wordings, decide by a hash which split it belongs to, whatever the seed: the generator draws again until the split is
/// the one asked for, so that no held-out problem stands in any training set.
package enum WordProblems {
  package enum Split: String, Sendable, CaseIterable {
    case train
    /// One in eight of all problems.
    case heldOut = "held-out"
  }

  /// The number of steps.
  package static let levels = 1...4

  /// The problem at an index; `level` nil mixes all levels evenly. `distractors` lets one in eight problems of three and
  /// four steps have a number that does not matter; `working` changes the solution and nothing else.
  ///
  /// - Precondition: `level` is one of ``levels``.
  package static func make(
    seed: UInt64, split: Split, level: Int? = nil, index: Int, distractors: Bool = true, working: Working = .full
  ) -> Example {
    problem(seed: seed, split: split, level: level, index: index, distractors: distractors, working: working).example
  }

  /// A text to train a base model on from scratch: question, steps and answer of a problem of the training split.
  package static func pretrainingText(
    seed: UInt64, index: Int, level: Int? = nil, distractors: Bool = true, working: Working = .full
  ) -> String {
    let example = make(
      seed: seed, split: .train, level: level, index: index, distractors: distractors, working: working)
    return "Question: \(example.question)\nAnswer: \(example.solution ?? "")\nThe answer is \(example.answer ?? "")."
  }

  /// A problem with what its split hangs on.
  struct Problem: Sendable {
    let example: Example
    let signature: String
  }

  static func problem(
    seed: UInt64, split: Split, level: Int?, index: Int, distractors: Bool = true, working: Working = .full
  ) -> Problem {
    precondition(level.map(levels.contains) ?? true, "a level is one of 1 to 4")
    let isHeldOut: UInt64 = split == .heldOut ? 1 : 0
    let place = [isHeldOut, UInt64(level ?? 0), UInt64(bitPattern: Int64(index))]
    var stream = RandomStream(seed: seed, path: [0x574F_5244] + place)
    let level = level ?? stream.next(in: levels)
    while true {
      guard let story = Story.write(level: level, distractors: distractors, stream: &stream),
        self.split(of: story.signature) == split
      else { continue }
      let lines = working.lines(story.solution, level: level, place: place, seed: seed)
      let example = Example(
        question: story.text, solution: lines.joined(separator: "\n"), answer: String(story.value),
        level: level)
      return Problem(example: example, signature: story.signature)
    }
  }

  static func split(of signature: String) -> Split {
    var hash = StableHash()
    hash.combine(signature)
    // FNV's low bits see only the low bits of the text; its high bits see all of it.
    return (hash.value >> 32) % 8 == 0 ? .heldOut : .train
  }
}

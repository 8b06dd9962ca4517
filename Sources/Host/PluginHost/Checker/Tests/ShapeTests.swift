import Support

extension CheckRun {
  func shapes() throws(Failure) -> CheckVerdict {
    var shapes: [(String, CheckCase.Shape)] = [
      ("no group", .init(groups: 0)),
      ("one sequence of one token", .init(groups: 1, sizes: 1...1, lengths: 1...1)),
      ("one empty completion", .init(groups: 1, sizes: 1...1, lengths: 0...0)),
      ("groups of one", .init(groups: 5, sizes: 1...1)),
      ("only empty completions", .init(groups: 3, lengths: 0...0)),
      ("some empty completions", .init(groups: 6, lengths: 0...2)),
      ("all right", .init(rewards: .allRight)),
      ("all wrong", .init(rewards: .allWrong)),
      ("one right", .init(sizes: 8...8, rewards: .oneRight)),
      ("fractions of rewards", .init(rewards: .fractions)),
      ("uneven groups", .init(groups: 7, sizes: 1...9, lengths: 0...20)),
      ("the first step", .init(step: 0)),
    ]
    if !settings.isQuick {
      shapes.append(("a long completion", .init(groups: 1, sizes: 2...2, lengths: 40000...40000)))
      shapes.append(("many groups", .init(groups: 3000, sizes: 1...3, lengths: 0...2)))
    }
    func run(_ name: String, _ given: CheckCase, _ configuration: Configuration) throws(Failure) {
      do throws(Failure) {
        let instance = try CheckInstance(library, configuration.values)
        let (kept, stage) = try advantages(given, instance)
        let result = try instance.loss(try BatchCall(kept.wholeBatch(stage), instance))
        if kept.rollout.tokenCount == 0, result.loss != 0 {
          throw .badData("loss: the loss of no tokens is \(result.loss), expected 0")
        }
      } catch { throw Failure(error.code, "\(name): \(error.message)") }
    }
    try underEach { (configuration, index) throws(Failure) in
      for (number, shape) in shapes.enumerated() {
        var random = numbers(index, UInt64(number))
        try run(shape.0, CheckCase(shape.1, &random), configuration)
      }
    }
    if settings.isQuick { return .passed("\(shapes.count) shapes") }
    var random = numbers(1000)
    let large = CheckCase(.init(groups: 125, sizes: 8...8, lengths: 1000...1000), &random)
    try run("a million tokens", large, configurations[0])
    return .passed("\(shapes.count) shapes, the largest of \(large.rollout.tokenCount) tokens")
  }

  func permutation() throws(Failure) -> CheckVerdict {
    let rounds = UInt64(count(8, quick: 2))
    try underEach { (configuration, index) throws(Failure) in
      for round in 0..<rounds {
        var random = numbers(index, round)
        let given = CheckCase(.init(groups: 5, sizes: 2...6, rewards: round % 2 == 0 ? .mixed : .fractions), &random)
        let (shuffled, groups, _) = given.shuffled(&random)
        let keep = try keep(given, configuration)
        let shuffledKeep = try self.keep(shuffled, configuration)
        for (place, group) in groups.enumerated() where keep[group] != shuffledKeep[place] {
          throw .badData("select keeps group \(group) in one order of the groups and not in another")
        }
        // Order among what is kept: both stages see the kept groups only.
        let kept = given.keeping(keep)
        let (other, _, sequences) = kept.shuffled(&random)
        let (one, two) = (try CheckInstance(library, configuration.values), try CheckInstance(library, configuration.values))
        let first = try one.advantages(try RolloutCall(kept.rollout, one))
        let second = try two.advantages(try RolloutCall(other.rollout, two))
        try compare("advantages", kept.rollout.gathered(first.advantages, sequences), second.advantages)
        if let returns = first.returns { try compare("returns", kept.rollout.gathered(returns, sequences), second.returns ?? []) }
        let whole = try one.loss(try BatchCall(kept.wholeBatch(first), one))
        let moved = try two.loss(try BatchCall(other.wholeBatch(second), two))
        try compare("d_current", kept.rollout.gathered(whole.dCurrent, sequences), moved.dCurrent)
        guard abs(whole.loss - moved.loss) <= 1e-5 * max(abs(whole.loss), abs(moved.loss), 1e-3) else {
          throw .badData("the loss is \(whole.loss) in one order of groups and sequences and \(moved.loss) in another")
        }
      }
    }
    return .passed("\(rounds) orders")
  }

  private func keep(_ given: CheckCase, _ configuration: Configuration) throws(Failure) -> [Bool] {
    let instance = try CheckInstance(library, configuration.values)
    return try instance.select(try RolloutCall(given.rollout, instance, isSelection: true))
  }

  /// Sums in another order differ in the last bits of a float, or a few more where they cancel.
  private func compare(_ name: String, _ first: [Float], _ second: [Float]) throws(Failure) {
    let scale = first.reduce(0) { max($0, abs($1)) }
    for index in first.indices where abs(first[index] - second[index]) > 1e-5 * max(abs(first[index]), 0.1 * scale) {
      throw .badData(
        "\(name): a token's value is \(first[index]) in one order of groups and sequences and \(second[index]) in another")
    }
  }

  func select() throws(Failure) -> CheckVerdict {
    guard unsafe library.table.pointee.select != nil else { return .skipped("it has none: all groups are kept") }
    try underEach { (configuration, index) throws(Failure) in
      for (number, rewards) in [CheckCase.Shape.Rewards.mixed, .oneRight, .allRight].enumerated() {
        var random = numbers(index, UInt64(number))
        let given = CheckCase(.init(groups: 6, rewards: rewards), &random)
        let (asked, other) = (
          try CheckInstance(library, configuration.values), try CheckInstance(library, configuration.values)
        )
        let call = try RolloutCall(given.rollout, asked, isSelection: true)
        let before = try asked.save()
        let first = try asked.select(call)
        for _ in 0..<3 where try asked.select(call) != first {
          throw .badData("select answers otherwise when it is asked again")
        }
        if try asked.save() != before { throw .badData("select changes the instance's state") }
        let one = try asked.advantages(try RolloutCall(given.rollout, asked))
        let two = try other.advantages(try RolloutCall(given.rollout, other))
        if one.advantages.map(\.bitPattern) != two.advantages.map(\.bitPattern) {
          throw .badData("advantages depend on whether select was asked before")
        }
      }
    }
    return .passed
  }

  func split() throws(Failure) -> CheckVerdict {
    let rounds = UInt64(count(12, quick: 3))
    try underEach { (configuration, index) throws(Failure) in
      for round in 0..<rounds {
        var random = numbers(index, round)
        let given = CheckCase(.init(groups: 5, sizes: 2...6, lengths: 0...12), &random)
        let instance = try CheckInstance(library, configuration.values)
        let (kept, stage) = try advantages(given, instance)
        let whole = try instance.loss(try BatchCall(kept.wholeBatch(stage), instance))
        let parts = 2 + random.next(below: 4)
        var members = [[Int]](repeating: [], count: parts)
        for sequence in 0..<kept.rollout.sequenceCount { members[random.next(below: parts)].append(sequence) }
        var sum = 0.0
        var size = 0.0
        for sequences in members {
          let part = try instance.loss(try BatchCall(kept.batch(sequences, stage), instance))
          sum += part.loss
          size += abs(part.loss)
          try compareBits("d_current", kept.rollout.gathered(whole.dCurrent, sequences), part.dCurrent, parts)
          try compareBits("d_entropy", kept.rollout.gathered(ifAny: whole.dEntropy, sequences), part.dEntropy ?? [], parts)
          try compareBits("d_values", kept.rollout.gathered(ifAny: whole.dValues, sequences), part.dValues ?? [], parts)
        }
        guard abs(sum - whole.loss) <= 1e-9 * max(size, abs(whole.loss)) else {
          throw .badData(
            "the losses of \(parts) micro-batches add up to \(sum), the undivided update has \(whole.loss): divide by update_tokens, update_sequences or update_groups, never by what a micro-batch holds"
          )
        }
      }
    }
    return .passed("\(rounds) random splits")
  }

  private func compareBits(_ name: String, _ whole: [Float], _ part: [Float], _ parts: Int) throws(Failure) {
    for (one, other) in zip(whole, part) where one.bitPattern != other.bitPattern && !(one == 0 && other == 0) {
      throw .badData("\(name) of a token is \(one) in the undivided update and \(other) in one of \(parts) micro-batches")
    }
  }
}

extension PluginRollout {
  fileprivate func gathered(ifAny array: [Float]?, _ sequences: [Int]) -> [Float] {
    array.map { gathered($0, sequences) } ?? []
  }
}

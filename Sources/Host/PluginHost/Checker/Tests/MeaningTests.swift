import Support

/// Tests of what a loss means rather than of its form: a plugin may be flawless in memory and calculus and still train the wrong way.
extension CheckRun {
  /// A completion whose reward rises must not get a smaller advantage for it.
  func rewardOrder() throws(Failure) -> CheckVerdict {
    var raised = 0
    try underEach { (configuration, index) throws(Failure) in
      for round in 0..<UInt64(count(6, quick: 2)) {
        var random = numbers(index, round)
        var given = CheckCase(.init(groups: 4, sizes: 3...6, lengths: 2...6), &random)
        // Each group with a completion that is right and two that are wrong, of which one becomes right.
        for group in 0..<given.rollout.groupCount {
          for (place, sequence) in given.rollout.sequences(of: group).enumerated() { given.setReward(place == 0 ? 1 : 0, of: sequence) }
        }
        let group = random.next(below: given.rollout.groupCount)
        let sequence = given.rollout.sequences(of: group).lowerBound + 1
        var better = given
        better.setReward(1, of: sequence)
        guard let before = try meanAdvantage(given, sequence, group, configuration),
          let after = try meanAdvantage(better, sequence, group, configuration)
        else { continue }
        raised += 1
        if after < before - 1e-6 * max(1, abs(before)) {
          throw .badData(
            "advantages: sequence \(sequence) has the mean advantage \(rounded(before)) with the reward 0 and \(rounded(after)) with the reward 1: a better completion must not be worth less; is a sign wrong?")
        }
      }
    }
    return raised == 0 ? .skipped("it drops all groups that were tried") : .passed("\(raised) rewards raised")
  }

  /// Over a sequence's tokens, in a fresh instance; nil where its group is dropped.
  private func meanAdvantage(
    _ given: CheckCase, _ sequence: Int, _ group: Int, _ configuration: Configuration
  ) throws(Failure) -> Double? {
    let instance = try CheckInstance(library, configuration.values)
    let keep = try instance.select(try RolloutCall(given.rollout, instance, isSelection: true))
    guard keep[group] else { return nil }
    let kept = given.keeping(keep)
    let stage = try instance.advantages(try RolloutCall(kept.rollout, instance))
    let place = sequence - (0..<group).filter { !keep[$0] }.reduce(0) { $0 + given.rollout.sequences(of: $1).count }
    let tokens = kept.rollout.tokens(of: place)
    return tokens.reduce(0.0) { $0 + Double(stage.advantages[$1]) } / Double(max(1, tokens.count))
  }

  /// What a plugin without `save` remembers of earlier updates is lost when a run is resumed.
  func hiddenState() throws(Failure) -> CheckVerdict {
    if unsafe library.table.pointee.save != nil { return .skipped("it saves its state, which the test state compares") }
    try underEach { (configuration, index) throws(Failure) in
      var random = numbers(index)
      let used = try CheckInstance(library, configuration.values)
      for step in 0..<3 { _ = try wholeUpdate(CheckCase(.init(lengths: 1...9, step: step), &random), used) }
      let next = CheckCase(.init(lengths: 1...9, step: 3), &random)
      let (one, two) = (try wholeUpdate(next, used), try wholeUpdate(next, try CheckInstance(library, configuration.values)))
      guard one.0.advantages.map(\.bitPattern) == two.0.advantages.map(\.bitPattern), one.1.dCurrent.map(\.bitPattern) == two.1.dCurrent.map(\.bitPattern),
        abs(one.1.loss - two.1.loss) <= 1e-9 * max(abs(one.1.loss), abs(two.1.loss))
      else {
        throw .badData(
          "after three updates an instance gives the loss \(one.1.loss) where a fresh one gives \(two.1.loss): it remembers something and has no save and restore, so a resumed run goes on without it")
      }
    }
    return .passed
  }

  /// With no advantage anywhere, tokens that are likelier than under the reference must not be made likelier still.
  func referencePull() throws(Failure) -> CheckVerdict {
    var pulls = 0
    var tried = 0
    try underEach { (configuration, index) throws(Failure) in
      var random = numbers(index)
      var given = CheckCase(.init(groups: 4, lengths: 2...6), &random)
      given.makeOnPolicy()
      given.rollout.reference = given.current.map { $0 - 0.0625 - Float(random.next(below: 64)) / 64 }
      let instance = try CheckInstance(library, configuration.values)
      guard instance.needs.contains(.reference) else { return }
      tried += 1
      let (kept, stage) = try advantages(given, instance)
      let none = PluginAdvantages(
        advantages: stage.advantages.map { _ in 0 }, returns: stage.returns.map { _ in kept.values }, counted: stage.counted, metrics: [])
      let result = try instance.loss(try BatchCall(kept.wholeBatch(none), instance))
      let slope = zip(result.dCurrent, zip(kept.current, kept.rollout.reference ?? [])).reduce(0.0) {
        $0 + Double($1.0) * Double($1.1.0 - $1.1.1)
      }
      if slope < 0 {
        throw .badData(
          "where the policy is likelier than the reference at every token and there is no advantage, minimising the loss makes those tokens likelier still (the sum of d_current times the difference is \(rounded(slope))): the KL term pushes away from the reference")
      }
      if slope > 0 { pulls += 1 }
    }
    if tried == 0 { return .skipped("it does not need reference") }
    return .passed("\(pulls) of \(tried) configurations pull in the loss")
  }

  private static let ratios: [Float] = [0.5, 0.7, 0.9, 1, 1.1, 1.4, 2]

  /// How strongly a token of advantage +1 or −1 is pushed at ratios from a half to two: the form of a clip by its values.
  func clipSide() throws(Failure) -> CheckVerdict {
    var table = ""
    try underEach { (configuration, index) throws(Failure) in
      var random = numbers(index)
      let ratios = Self.ratios
      var given = CheckCase(.init(groups: 2 * ratios.count, sizes: 2...2, lengths: 1...1), &random)
      given.makeOnPolicy()
      let instance = try CheckInstance(library, configuration.values)
      let (kept, stage) = try advantages(given, instance)
      guard kept.rollout.sequenceCount == given.rollout.sequenceCount else { return }
      var moved = kept
      var signs: [Float] = []
      for (sequence, old) in (kept.rollout.old ?? []).enumerated() {
        let cell = sequence / 2
        // Far enough below 0 that a doubled probability is one.
        moved.rollout.old![sequence] = min(old, -1)
        moved.current[sequence] = min(old, -1) + Float(logarithm(Double(ratios[cell % ratios.count])))
        signs.append(cell < ratios.count ? 1 : -1)
      }
      moved.rollout.sampler = moved.rollout.old
      moved.rollout.reference = moved.current
      let fixed = PluginAdvantages(advantages: signs, returns: stage.returns.map { _ in moved.values }, counted: stage.counted, metrics: [])
      let result = try instance.loss(try BatchCall(moved.wholeBatch(fixed), instance))
      // Per cell, so that a plugin that shares within a group is read as a whole; positive raises the token's probability.
      let pushes = (0..<2 * ratios.count).map { -(Double(result.dCurrent[2 * $0]) + Double(result.dCurrent[2 * $0 + 1])) }
      let unit = abs(pushes[3]) + abs(pushes[ratios.count + 3])
      guard unit > 0 else { return }
      let scaled = pushes.map { 2 * $0 / unit }
      let (up, down) = (Array(scaled[..<ratios.count]), Array(scaled[ratios.count...]))
      let lines = [("A=+1", up), ("A=-1", down)].map { name, row in
        name + zip(ratios, row).map { "  \(Self.text($0)): \(rounded($1))" }.joined()
      }
      if configuration.name.isEmpty { table = "\n" + lines.joined(separator: "\n") }
      func fail(_ what: String) -> Failure { .badData("\(what)\n\(lines.joined(separator: "\n"))") }
      for (place, ratio) in ratios.enumerated() {
        if up[place] < -0.25 { throw fail("a token with advantage +1 is made less likely at the ratio \(Self.text(ratio))") }
        if down[place] > 0.25 { throw fail("a token with advantage -1 is made likelier at the ratio \(Self.text(ratio))") }
      }
      func isFlat(_ value: Double) -> Bool { abs(value) < 1e-6 }
      if isFlat(up[0]), isFlat(up[1]), !isFlat(up[5]), !isFlat(up[6]) {
        throw fail("with advantage +1 the push ends at small ratios and goes on at large ones: the larger of the two terms is taken where the smaller is meant (min and max changed about?)")
      }
      if isFlat(down[5]), isFlat(down[6]), !isFlat(down[0]), !isFlat(down[1]) {
        throw fail("with advantage -1 the push ends at large ratios and goes on at small ones: the larger of the two terms is taken where the smaller is meant (min and max changed about?)")
      }
    }
    return .passed(table)
  }

  private static func text(_ ratio: Float) -> String { ratio == ratio.rounded() ? String(Int(ratio)) : "\(ratio)" }

  private func rounded(_ value: Double) -> String { Format.shortest((value * 1000).rounded() / 1000) }
}

/// The natural logarithm by the C library.
private func logarithm(_ value: Double) -> Double { log(value) }

extension CheckCase {
  /// As a run sets it: reward, its one part and the flag.
  mutating func setReward(_ reward: Float, of sequence: Int) {
    rollout.rewards[sequence] = reward
    rollout.rewardParts[sequence] = reward
    let flags = rollout.sequenceFlags[sequence] & ~PluginRollout.correct
    rollout.sequenceFlags[sequence] = reward >= 1 ? flags | PluginRollout.correct : flags
  }
}

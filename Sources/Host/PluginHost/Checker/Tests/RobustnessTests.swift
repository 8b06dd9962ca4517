internal import CPluginAPI
import Support

extension CheckRun {
  func extremes() throws(Failure) -> CheckVerdict {
    try underEach { (configuration, index) throws(Failure) in
      for round in 0..<UInt64(count(6, quick: 2)) {
        var random = numbers(index, round)
        var given = CheckCase(.init(rewards: round % 2 == 0 ? .mixed : .huge), &random)
        let extremes: [Float] = [0, -0.0, -1e-30, -1e4, -50, -1]
        for token in given.current.indices {
          given.current[token] = random.pick(extremes)
          given.rollout.old![token] = random.pick(extremes)
          given.rollout.reference![token] = random.pick(extremes)
          given.rollout.sampler?[token] = random.pick(extremes)
          given.entropy[token] = random.pick([0, 1e-30, 12])
          given.values[token] = random.pick([-1e4, 0, 1e4])
          given.rollout.values![token] = random.pick([-1e4, 0, 1e4])
        }
        let instance = try CheckInstance(library, configuration.values)
        let (kept, stage) = try advantages(given, instance)
        let factors: [Float] = [1, 1e6, -1e6]
        for factor in factors {
          let scaled = PluginAdvantages(
            advantages: stage.advantages.map { $0 * factor }, returns: stage.returns, counted: stage.counted, metrics: [])
          _ = try instance.loss(try BatchCall(kept.wholeBatch(scaled), instance))
        }
      }
    }
    return .passed
  }

  /// A struct from a newer host has more at its end; one that is cut is refused. Neither may be read beyond its size.
  func foreignSizes() throws(Failure) -> CheckVerdict {
    var random = numbers()
    let given = CheckCase(.init(), &random)
    let values = configurations[0].values
    let (plain, newer) = (try CheckInstance(library, values), try CheckInstance(library, values))
    let first = try wholeUpdate(given, plain)
    let (rolloutBytes, resultBytes, batchBytes, gradientBytes) = unsafe (
      MemoryLayout<nr_rollout>.size, MemoryLayout<nr_advantages>.size, MemoryLayout<nr_batch>.size,
      MemoryLayout<nr_gradients>.size
    )
    let selection = try RolloutCall(
      given.rollout, newer, isSelection: true, foreign: .init(rolloutBytes: rolloutBytes + 64))
    let kept = given.keeping(try newer.select(selection))
    let rollout = try RolloutCall(
      kept.rollout, newer, foreign: .init(rolloutBytes: rolloutBytes + 64, resultBytes: resultBytes + 32))
    let stage = try newer.advantages(rollout)
    let batch = try BatchCall(
      kept.wholeBatch(stage), newer, foreign: .init(batchBytes: batchBytes + 64, resultBytes: gradientBytes + 32))
    let result = try newer.loss(batch)
    guard first.0.advantages == stage.advantages, first.1.dCurrent == result.dCurrent,
      abs(first.1.loss - result.loss) <= 1e-9 * abs(result.loss)
    else {
      throw .badData("structs with something appended, as a newer host sends them, change the result")
    }
    // A host of version 1.0 sends what that has, and there is nothing behind it.
    let older = try RolloutCall(
      kept.rollout, plain, foreign: .init(rolloutBytes: Int(NR_ROLLOUT_1_0), resultBytes: Int(NR_ADVANTAGES_1_0)))
    guard try plain.advantages(older).advantages.map(\.bitPattern) == stage.advantages.map(\.bitPattern) || plain.hasState else {
      throw .badData("structs as a host of version 1.0 sends them change the result")
    }
    func expectRefusal(_ status: Int32, _ what: String) throws(Failure) {
      if status == Int32(NR_OK) {
        throw .badData("\(what) cut to 16 bytes is accepted; compare struct_size and return NR_BAD_ARGUMENT")
      }
    }
    if plain.selects {
      let cut = try RolloutCall(given.rollout, plain, isSelection: true, foreign: .init(rolloutBytes: 16))
      try expectRefusal(plain.callSelect(cut), "select: an nr_rollout")
    }
    let cutRollout = try RolloutCall(kept.rollout, plain, foreign: .init(rolloutBytes: 16))
    try expectRefusal(plain.callAdvantages(cutRollout), "advantages: an nr_rollout")
    let cutResult = try RolloutCall(kept.rollout, plain, foreign: .init(resultBytes: 8))
    try expectRefusal(plain.callAdvantages(cutResult), "advantages: an nr_advantages")
    let cutBatch = try BatchCall(kept.wholeBatch(stage), plain, foreign: .init(batchBytes: 16))
    try expectRefusal(plain.callLoss(cutBatch), "loss: an nr_batch")
    let cutGradients = try BatchCall(kept.wholeBatch(stage), plain, foreign: .init(resultBytes: 8))
    try expectRefusal(plain.callLoss(cutGradients), "loss: an nr_gradients")
    return .passed
  }

  func state() throws(Failure) -> CheckVerdict {
    if unsafe library.table.pointee.save == nil { return .skipped("it has no state") }
    try underEach { (configuration, index) throws(Failure) in
      let original = try CheckInstance(library, configuration.values)
      func step(_ number: UInt64, _ instance: CheckInstance) throws(Failure) -> (PluginAdvantages, PluginGradients) {
        var random = numbers(index, number)
        return try wholeUpdate(CheckCase(.init(step: Int(number)), &random), instance)
      }
      for number in 0..<3 as Range<UInt64> { _ = try step(number, original) }
      let saved = try original.save()
      if !saved.isEmpty {
        let small = try original.callSave(capacity: saved.count - 1)
        if small.status != Int32(NR_NO_SPACE) || small.size != saved.count || small.bytes.contains(where: { $0 != 0xA5 }) {
          throw .badData(
            "save: with room for \(saved.count - 1) of \(saved.count) bytes it must name the size, write nothing and return NR_NO_SPACE; it returned \(small.status) and \(small.size)"
          )
        }
      }
      let restored = try CheckInstance(library, configuration.values)
      guard try restored.restore(saved) else { throw .badData("restore refuses what save gave") }
      if try restored.save() != saved { throw .badData("save gives other bytes after restore than before") }
      for number in 3..<6 as Range<UInt64> {
        let (one, two) = (try step(number, original), try step(number, restored))
        // The last bits are same-bits' business.
        guard one.0.advantages == two.0.advantages, one.1.dCurrent == two.1.dCurrent,
          abs(one.1.loss - two.1.loss) <= 1e-9 * abs(one.1.loss)
        else {
          throw .badData(
            "step \(number) after save and restore differs from the same step without: loss \(two.1.loss), expected \(one.1.loss); something is missing in the state"
          )
        }
      }
    }
    return .passed
  }

  func garbageState() throws(Failure) -> CheckVerdict {
    if unsafe library.table.pointee.save == nil { return .skipped("it has no state") }
    var random = numbers()
    let instance = try self.instance()
    let given = CheckCase(.init(), &random)
    _ = try wholeUpdate(given, instance)
    let saved = try instance.save()
    var wrongSizes = [saved + [0], saved + saved + [7], [UInt8](repeating: 0x5A, count: 1 << 16)]
    if !saved.isEmpty { wrongSizes += [[], Array(saved.dropLast())] }
    for bytes in wrongSizes where try instance.restore(bytes) {
      throw .badData("restore takes \(bytes.count) bytes, of which save gives \(saved.count); it must return NR_BAD_STATE")
    }
    if try instance.save() != saved { throw .badData("a state that restore refused has changed the instance") }
    for fill in [0xFF, 0x00, 0x7F] as [UInt8] {
      let other = try self.instance()
      // Bytes of the right size may pass for a state; then what follows has to be finite numbers.
      if try other.restore([UInt8](repeating: fill, count: saved.count)) { _ = try wholeUpdate(given, other) }
      let noise = (0..<saved.count).map { _ in UInt8(truncatingIfNeeded: random.nextBits()) }
      if try other.restore(noise) { _ = try wholeUpdate(given, other) }
    }
    return .passed
  }

  func cost() throws(Failure) -> CheckVerdict {
    var random = numbers()
    let given = CheckCase(.init(groups: 32, sizes: 8...8, lengths: 200...600), &random)
    let instance = try self.instance()
    let (kept, stage) = try advantages(given, instance)
    let rollout = try RolloutCall(kept.rollout, instance)
    let batch = try BatchCall(kept.wholeBatch(stage), instance)
    func seconds(_ body: () -> Void) -> Double {
      (0..<3).reduce(.infinity) { (best, _) in
        let watch = Stopwatch()
        body()
        return min(best, watch.seconds)
      }
    }
    let millions = Double(kept.rollout.tokenCount) / 1e6
    let first = seconds { _ = instance.callAdvantages(rollout) } / millions * 1000
    let second = seconds { _ = instance.callLoss(batch) } / millions * 1000
    return .passed(
      "advantages \(CheckReport.rounded(first)) ms, loss \(CheckReport.rounded(second)) ms per million tokens")
  }
}

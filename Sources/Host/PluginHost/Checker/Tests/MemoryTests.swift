internal import CPluginAPI
import Support

extension CheckRun {
  func bounds() throws(Failure) -> CheckVerdict {
    try underEach { (configuration, index) throws(Failure) in
      for guards in [[.pages], [.pages, .atStart]] as [Guards] {
        for (number, shape) in [CheckCase.Shape(), .init(groups: 1, sizes: 1...1, lengths: 1...1), .init(groups: 0)]
          .enumerated()
        {
          var random = numbers(index, UInt64(number))
          let instance = try CheckInstance(library, configuration.values)
          let given = CheckCase(shape, &random)
          let selection = try RolloutCall(given.rollout, instance, isSelection: true, guards)
          let kept = given.keeping(try instance.select(selection, prefill: 1))
          try selection.memory.checkBounds("select")
          let rollout = try RolloutCall(kept.rollout, instance, guards)
          let stage = try instance.advantages(rollout, prefill: 0)
          try rollout.memory.checkBounds("advantages")
          let batch = try BatchCall(kept.wholeBatch(stage), instance, guards)
          _ = try instance.loss(batch, prefill: 0)
          try batch.memory.checkBounds("loss")
        }
      }
    }
    return .passed
  }

  func inputs() throws(Failure) -> CheckVerdict {
    try underEach { (configuration, index) throws(Failure) in
      var random = numbers(index)
      let instance = try CheckInstance(library, configuration.values)
      let given = CheckCase(.init(), &random)
      let selection = try RolloutCall(given.rollout, instance, isSelection: true, .sealed)
      let kept = given.keeping(try instance.select(selection, prefill: 1))
      let stage = try instance.advantages(try RolloutCall(kept.rollout, instance, .sealed), prefill: 0)
      _ = try instance.loss(try BatchCall(kept.wholeBatch(stage), instance, .sealed), prefill: 0)
    }
    return .passed
  }

  /// An element is unwritten where it keeps whatever was there before; a marked NaN alone would also be what is left where a
  /// plugin adds to it.
  func written() throws(Failure) -> CheckVerdict {
    try eachOutput(keepFill: 0xA5) { (name, before, after) throws(Failure) in
      for index in after[0].indices {
        if zip(before, after).allSatisfy({ $0.bitPattern == $1[index].bitPattern }) {
          throw .badData("\(name)[\(index)] of \(after[0].count) was left unwritten")
        }
      }
    }
    return .passed
  }

  func overwrites() throws(Failure) -> CheckVerdict {
    try eachOutput(keepFill: 1) { (name, before, after) throws(Failure) in
      for index in after[0].indices {
        let isUnwritten = zip(before, after).allSatisfy { $0.bitPattern == $1[index].bitPattern }
        if !isUnwritten, after[0][index].bitPattern != after[1][index].bitPattern {
          throw .badData(
            "\(name)[\(index)] is \(after[0][index]) where the array held \(before[0]) and \(after[1][index]) where it held \(before[1]): what was there before must not matter"
          )
        }
      }
    }
    return .passed
  }

  /// Runs every stage twice on arrays that hold one number, then another, in memory that forgives.
  private func eachOutput(
    keepFill: UInt8, _ check: (String, [Float], [[Float]]) throws(Failure) -> Void
  ) throws(Failure) {
    let prefills: [Float] = [0.75, -1.5]
    try underEach { (configuration, index) throws(Failure) in
      for (number, lengths) in [0...7, 1...40].enumerated() {
        var random = numbers(index, UInt64(number))
        let given = CheckCase(.init(lengths: lengths), &random)
        var outputs: [[(name: String, values: [Float])]] = []
        for prefill in prefills {
          let instance = try CheckInstance(library, configuration.values)
          let selection = try RolloutCall(given.rollout, instance, isSelection: true, [])
          let status = instance.callSelect(selection, prefill: keepFill)
          if status != Int32(NR_OK) { throw .badData("select returned \(status)") }
          let flags = selection.keep.array(of: UInt8.self)
          if let group = flags.firstIndex(of: 0xA5) {
            throw .badData("select: keep[\(group)] of \(flags.count) was left unwritten")
          }
          let kept = given.keeping(flags.map { $0 == 1 })
          let stage = try instance.advantages(try RolloutCall(kept.rollout, instance, []), prefill: prefill)
          // The second stage sees the same advantages both times.
          let fixed = PluginAdvantages(
            advantages: kept.current.map { $0 + 2 }, returns: stage.returns.map { _ in kept.values.map { $0 + 0.25 } },
            counted: stage.counted, metrics: [])
          let result = try instance.loss(try BatchCall(kept.wholeBatch(fixed), instance, []), prefill: prefill)
          outputs.append([
            ("advantages", stage.advantages), ("returns", stage.returns ?? []),
            ("d_current", result.dCurrent), ("d_entropy", result.dEntropy ?? []), ("d_values", result.dValues ?? []),
            ("loss", [Float(result.loss)]),
          ])
        }
        for (first, second) in zip(outputs[0], outputs[1]) {
          try check(first.name, prefills, [first.values, second.values])
        }
      }
    }
  }
}

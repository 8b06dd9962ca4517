import Support

extension CheckRun {
  /// Compares a derivative with finite differences of the loss, token by token.
  ///
  /// Inputs are floats on a grid of 2⁻¹⁶ and steps are powers of two, so that a moved input is exactly where it should be; a
  /// loss is a double, so that its rounding is some 1e-12 of a derivative. Where a loss has a corner, its derivative may be
  /// anything between that to the left and that to the right.
  func gradient(_ input: BatchCall.Input) throws(Failure) -> CheckVerdict {
    var points = 0
    var corners = 0
    var stopped = 0
    var jointly = 0
    try underEach { (configuration, index) throws(Failure) in
      let instance = try CheckInstance(library, configuration.values)
      if !instance.has(input) { return }
      if instance.stopped.contains(input) {
        stopped += 1
        if input == .current { jointly += try stoppedGradient(configuration, index) }
        return
      }
      for round in 0..<UInt64(count(10, quick: 3)) {
        var random = numbers(index, round)
        // From policies that have hardly moved to ones far beyond any clip.
        let spread = [0.3, 0.002, 0.05, 2][Int(round % 4)]
        var given = CheckCase(
          .init(groups: 4, sizes: 2...5, lengths: 0...6, rewards: round % 3 == 1 ? .fractions : .mixed, spread: spread),
          &random)
        // Corners: some tokens exactly where they were sampled.
        if round % 2 == 1 {
          for token in given.current.indices where random.next(below: 2) == 0 {
            given.current[token] = given.rollout.old![token]
            given.values[token] = given.rollout.values![token]
          }
        }
        if round % 5 == 2 { given.makeOnPolicy() }
        let differences = try Differences(self, configuration, given)
        corners += try differences.compare(input)
        points += differences.tokenCount
      }
    }
    if points == 0, jointly > 0 {
      return .passed("it stops a part of this gradient on purpose; the rest agrees at \(jointly) points where old and current move together")
    }
    if points == 0 {
      return stopped > 0
        ? .skipped("it declares that it stops this gradient on purpose") : .skipped("it does not need \(input.rawValue)")
    }
    let note = stopped > 0 ? ", \(stopped) configurations declare that they stop it" : ""
    return .passed("\(points) points, \(corners) at corners\(note)")
  }

  /// Of a loss that stops a part of its gradient, the rest: what is stopped is a function of how far current is from old (or from
  /// the sampler, or the reference) and stands still where both move by the same step. How many points agreed; 0 where the value of
  /// the loss does not show its derivative in any of these ways, as with exp(current - stopped current).
  private func stoppedGradient(_ configuration: Configuration, _ index: UInt64) throws(Failure) -> Int {
    var points = 0
    for round in 0..<UInt64(count(4, quick: 1)) {
      var random = numbers(index, 100 + round)
      let given = CheckCase(.init(groups: 4, sizes: 2...4, lengths: 1...5, spread: 0.3), &random)
      let differences = try Differences(self, configuration, given)
      var best: String?
      var isSeen = false
      // By itself at last: a derivative that is a multiple of the true one stops nothing and is wrong.
      for together in [["old"], ["old", "sampler"], ["old", "reference"], ["old", "sampler", "reference"], []] {
        guard let found = try differences.compareJointly(together) else {
          best = nil
          points += differences.tokenCount
          isSeen = true
          break
        }
        if found.isSeen, best == nil { best = found.message }
        isSeen = isSeen || found.isSeen
      }
      if let best { throw .badData(best) }
      if !isSeen { return 0 }
    }
    return points
  }

  func onPolicy() throws(Failure) -> CheckVerdict {
    try underEach { (configuration, index) throws(Failure) in
      for round in 0..<UInt64(count(4, quick: 1)) {
        var random = numbers(index, round)
        var given = CheckCase(.init(groups: 5, lengths: 1...6), &random)
        given.makeOnPolicy()
        let instance = try CheckInstance(library, configuration.values)
        let (stage, result) = try wholeUpdate(given, instance)
        let slope = zip(stage.advantages, result.dCurrent).reduce(0.0) {
          $0 + Double($1.0) * Double($1.1)
        }
        if slope > 0 {
          throw .badData(
            "the sum of advantage times d_current is \(slope) where current = old: minimising this loss makes tokens with positive advantage less likely; is a sign wrong?"
          )
        }
      }
    }
    return .passed
  }
}

/// The derivatives at one point, and the means to move away from it.
private struct Differences {
  let run: CheckRun
  let configuration: CheckRun.Configuration
  let given: CheckCase
  let stage: PluginAdvantages
  let result: PluginGradients
  private let instance: CheckInstance
  private let creation: CheckInstance.Creation
  private let rollout: RolloutCall
  private let call: BatchCall
  var tokenCount: Int { call.batch.tokenCount }

  init(_ run: CheckRun, _ configuration: CheckRun.Configuration, _ given: CheckCase) throws(Failure) {
    self.run = run
    self.configuration = configuration
    creation = try CheckInstance.Creation(configuration.values)
    instance = try CheckInstance(run.library, creation)
    (self.given, stage) = try run.advantages(given, instance)
    rollout = try RolloutCall(self.given.rollout, instance)
    call = try BatchCall(self.given.wholeBatch(stage), instance)
    result = try instance.loss(call)
  }

  /// Throws at the first token whose derivative is wrong; how many tokens stood at a corner.
  func compare(_ input: BatchCall.Input) throws(Failure) -> Int {
    let (inputs, derivatives): ([Float], [Float]) =
      switch input {
      case .current: (call.batch.current, result.dCurrent)
      case .entropy: (call.batch.entropy ?? [], result.dEntropy ?? [])
      case .values: (call.batch.values ?? [], result.dValues ?? [])
      }
    let scale = derivatives.reduce(0.0) { max($0, Double(abs($1))) }
    var corners = 0
    for token in inputs.indices {
      var value = 0.0
      let derivative = Double(derivatives[token])
      func isClose(_ found: Double) -> Bool {
        abs(found - derivative) <= 2e-4 * max(abs(found), abs(derivative)) + 1e-6 * scale + 1e-12
      }
      var matches = false
      // A smaller step where the wider one may reach over a corner.
      for step in [0x1p-8, 0x1p-11, 0x1p-14] where !matches {
        value = try central(input, token, inputs[token], step)
        matches = isClose(value)
      }
      if matches { continue }
      let step = 0x1p-14
      let left = try side(input, token, inputs[token], -step)
      let right = try side(input, token, inputs[token], step)
      let slack = 2e-4 * max(abs(left), abs(right)) + 1e-6 * scale
      guard derivative >= min(left, right) - slack, derivative <= max(left, right) + slack, abs(left - right) > slack
      else {
        throw .badData(
          "d_\(input.rawValue)[\(token)] of \(inputs.count) is \(derivative), finite differences give \(value) (from the left \(left), from the right \(right)) at \(input.rawValue) \(inputs[token])\(context(token))"
        )
      }
      corners += 1
    }
    return corners
  }

  /// Moves a token's current together with other inputs; nil where the derivative is that of the loss so. Otherwise what differs
  /// first, and whether the loss shows most of it.
  func compareJointly(_ others: [String]) throws(Failure) -> (message: String, isSeen: Bool)? {
    let scale = result.dCurrent.reduce(0.0) { max($0, Double(abs($1))) }
    var message: String?
    var (found, given, shared) = (0.0, 0.0, 0.0)
    for token in result.dCurrent.indices {
      let derivative = Double(result.dCurrent[token])
      var value = 0.0
      var matches = false
      for step in [0x1p-8, 0x1p-11] where !matches {
        value = (try moved(token, others, step) - moved(token, others, -step)) / (2 * step)
        matches = abs(value - derivative) <= 1e-3 * max(abs(value), abs(derivative)) + 1e-5 * scale + 1e-12
      }
      found += value * value
      given += derivative * derivative
      shared += value * derivative
      if !matches, message == nil {
        message =
          "d_current[\(token)] of \(result.dCurrent.count) is \(derivative); \(others.isEmpty ? "it is declared to stop a part of this gradient, and yet" : "moving current and \(others.joined(separator: ", ")) together, which leaves what is stopped where it is,") finite differences give \(value)\(context(token))"
      }
    }
    // Where most of it does not show, as beside exp(current - stopped current), what does show says nothing about the rest.
    let isMultiple = found > 0 && abs(shared) > 0.99999 * (found * given).squareRoot()
    return message.map { ($0, isMultiple || !others.isEmpty && found > 0.25 * given) }
  }

  private func moved(_ token: Int, _ others: [String], _ step: Double) throws(Failure) -> Double {
    let arrays: [String: [Float]?] = [
      "current": call.batch.current, "old": call.batch.old, "sampler": call.batch.sampler, "reference": call.batch.reference,
    ]
    let names = ["current"] + others
    for name in names { if let value = arrays[name]??[token] { call.set(name, token, Float(Double(value) + step)) } }
    defer { for name in names { if let value = arrays[name]??[token] { call.set(name, token, value) } } }
    if !instance.hasState { return try instance.lossAlone(call) }
    let fresh = try CheckInstance(run.library, creation)
    _ = try fresh.advantages(rollout)
    return try fresh.lossAlone(call)
  }

  private func context(_ token: Int) -> String {
    ", old \(call.batch.old[token]), advantage \(call.batch.advantages[token])"
  }

  private func central(_ input: BatchCall.Input, _ token: Int, _ value: Float, _ step: Double) throws(Failure) -> Double
  {
    let (low, high) = (Float(Double(value) - step), Float(Double(value) + step))
    let difference = try loss(input, token, value, at: high) - loss(input, token, value, at: low)
    return difference / (Double(high) - Double(low))
  }

  /// One-sided and of second order: exact for parabolas.
  private func side(_ input: BatchCall.Input, _ token: Int, _ value: Float, _ step: Double) throws(Failure) -> Double {
    let near = try loss(input, token, value, at: Float(Double(value) + step))
    let far = try loss(input, token, value, at: Float(Double(value) + 2 * step))
    return (4 * near - far - 3 * result.loss) / (2 * step)
  }

  private func loss(_ input: BatchCall.Input, _ token: Int, _ value: Float, at moved: Float) throws(Failure) -> Double {
    call.set(input, token, moved)
    defer { call.set(input, token, value) }
    if !instance.hasState { return try instance.lossAlone(call) }
    // What has state may remember the last call: every evaluation begins anew.
    let fresh = try CheckInstance(run.library, creation)
    _ = try fresh.advantages(rollout)
    return try fresh.lossAlone(call)
  }
}

extension CheckInstance {
  fileprivate func has(_ input: BatchCall.Input) -> Bool {
    switch input {
    case .current: true
    case .entropy: needs.contains(.entropy)
    case .values: needs.contains(.critic)
    }
  }
}

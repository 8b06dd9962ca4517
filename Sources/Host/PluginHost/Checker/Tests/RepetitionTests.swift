import Support
import Synchronization

extension CheckRun {
  func sameBits() throws(Failure) -> CheckVerdict {
    let here = try digest()
    if try digest() != here { throw .badData("the same calls give other bits in the same process when they are repeated") }
    let elsewhere = try Threads.run([prepared()])[0]
    if elsewhere != here { throw .badData("the same calls give other bits in another thread") }
    guard let program = Files.program else { return .passed("not compared with another process: its program is unknown") }
    let child = try ChildProcess.run(
      program, CheckChild.arguments(settings, .digest), seconds: settings.timeLimit)
    let found = String(decoding: child.report, as: UTF8.self)
    if found != "digest\t\(here)\n" { throw .badData("the same calls give other bits in another process") }
    return .passed
  }

  /// SHA-256 over the bits of all that a series of updates gives, under every configuration.
  func digest() throws(Failure) -> String { try prepared()() }

  /// The series with its memory made beforehand, so that any thread may run it.
  private func prepared() throws(Failure) -> @Sendable () -> String {
    var parts: [Series] = []
    try underEach { (configuration, index) throws(Failure) in
      // The same numbers whatever test asks for them: another process runs no test.
      parts.append(try Series(self, configuration, RandomStream(seed: settings.seed, path: [index]), updates: 4))
    }
    let series = Box(parts)
    return { SHA256.hex(series.value.flatMap { $0.run() }) }
  }

  func isolation() throws(Failure) -> CheckVerdict {
    let base = configurations[0]
    let alone = try Series(self, base, numbers(0), updates: 3).losses()
    // Another instance, with other numbers for all reals and integers, runs in between.
    var others = [base]
    var moved = base.values
    for (index, parameter) in library.descriptor.parameters.enumerated() {
      guard parameter.kind == .real || parameter.kind == .integer else { continue }
      for candidate in [(moved[index] + parameter.maximum) / 2, (moved[index] + parameter.minimum) / 2, 0.5, 2] {
        let value = parameter.kind == .integer ? candidate.rounded() : candidate
        guard value != moved[index], value >= parameter.minimum, value <= parameter.maximum else { continue }
        var trial = moved
        trial[index] = value
        if let instance = try? CheckInstance(library, trial), instance.needs == (try self.instance()).needs {
          moved = trial
          break
        }
      }
    }
    others.append(Configuration(name: "other parameters", values: moved))
    for other in others {
      let one = try Series(self, base, numbers(0), updates: 3)
      let two = try Series(self, other, numbers(1), updates: 3)
      var found: [Double] = []
      for update in 0..<3 {
        one.advantages(update)
        two.advantages(update)
        two.loss(update)
        found.append(one.loss(update))
      }
      try compare(found, alone, "an instance whose calls alternate with those of another")
    }
    let rounds = count(200, quick: 40)
    var threads: [@Sendable () -> [Double]] = []
    for _ in 0..<2 {
      let series = Box(try Series(self, base, numbers(0), updates: 3, instances: rounds))
      threads.append { series.value.losses() }
    }
    for found in try Threads.run(threads) {
      for round in 0..<rounds {
        try compare(Array(found[(3 * round)..<(3 * round + 3)]), alone, "an instance beside another thread's")
      }
    }
    return .passed
  }

  private func compare(_ found: [Double], _ expected: [Double], _ what: String) throws(Failure) {
    for (update, (one, other)) in zip(found, expected).enumerated() {
      guard abs(one - other) <= 1e-9 * abs(other) else {
        throw .badData(
          "\(what) gives the loss \(one) in update \(update), alone it is \(other): is something kept outside the instance?")
      }
    }
  }
}

/// A few updates of one instance, or the same of several, in memory made beforehand.
private final class Series {
  private let instances: [CheckInstance]
  private let selections: [RolloutCall]
  private let rollouts: [RolloutCall]
  private let batches: [BatchCall]

  init(
    _ run: CheckRun, _ configuration: CheckRun.Configuration, _ random: RandomStream, updates: Int,
    instances count: Int = 1
  ) throws(Failure) {
    var random = random
    // Stage 1 of a twin gives the advantages that the batches hold; the bits of both twins are compared with others'.
    let twin = try CheckInstance(run.library, configuration.values)
    var (selections, rollouts, batches): ([RolloutCall], [RolloutCall], [BatchCall]) = ([], [], [])
    let creation = try CheckInstance.Creation(configuration.values)
    instances = try (0..<count).map { (_) throws(Failure) in try CheckInstance(run.library, creation) }
    for update in 0..<updates {
      let given = CheckCase(.init(lengths: 0...12, step: update), &random)
      selections.append(try RolloutCall(given.rollout, twin, isSelection: true, .sealed))
      let kept = given.keeping(try twin.select(selections[update]))
      rollouts.append(try RolloutCall(kept.rollout, twin, .sealed))
      batches.append(try BatchCall(kept.wholeBatch(try twin.advantages(rollouts[update])), twin, .sealed))
    }
    (self.selections, self.rollouts, self.batches) = (selections, rollouts, batches)
  }

  func advantages(_ update: Int, _ instance: Int = 0) { _ = instances[instance].callAdvantages(rollouts[update]) }

  @discardableResult func loss(_ update: Int, _ instance: Int = 0) -> Double {
    _ = instances[instance].callLoss(batches[update])
    return batches[update].loss
  }

  /// One instance's after another's.
  func losses() -> [Double] {
    var losses: [Double] = []
    for instance in instances.indices {
      for update in rollouts.indices {
        advantages(update, instance)
        losses.append(loss(update, instance))
      }
    }
    return losses
  }

  /// All that the first instance gives, bit for bit.
  func run() -> [UInt8] {
    var bytes: [UInt8] = []
    for update in rollouts.indices {
      _ = instances[0].callSelect(selections[update])
      advantages(update)
      loss(update)
      let (first, second) = (rollouts[update], batches[update])
      for block in [selections[update].keep, first.advantages, first.returns, first.metrics, second.dCurrent,
        second.dEntropy, second.dValues, second.metrics]
      {
        if let block { bytes += block.array(of: UInt8.self) }
      }
      unsafe withUnsafeBytes(of: second.loss) { bytes += unsafe Array($0) }
    }
    return bytes
  }
}

/// Hands what one thread made to another, one at a time.
private final class Box<Value>: @unchecked Sendable {
  var value: Value
  init(_ value: Value) { self.value = value }
}

/// Threads of the operating system, which begin together: none before all of them are there.
private enum Threads {
  /// The results, in order.
  static func run<Result: Sendable>(_ bodies: [@Sendable () -> Result]) throws(Failure) -> [Result] {
    let gate = Gate(bodies.count)
    let work = bodies.map { Work($0, gate) }
    #if canImport(Darwin)
    var threads: [pthread_t?] = []
    #else
    var threads: [pthread_t] = []
    #endif
    for item in work {
      #if canImport(Darwin)
      var thread: pthread_t?
      #else
      var thread = pthread_t()
      #endif
      let context = unsafe Unmanaged.passRetained(item as AnyWork).toOpaque()
      #if canImport(Darwin)
      let status = unsafe pthread_create(&thread, nil, { unsafe Unmanaged<AnyWork>.fromOpaque($0).takeRetainedValue().perform(); return nil }, context)
      #else
      let status = unsafe pthread_create(
        &thread, nil,
        { context in
          if let context = unsafe context { unsafe Unmanaged<AnyWork>.fromOpaque(context).takeRetainedValue().perform() }
          return nil
        }, context)
      #endif
      if status != 0 { throw unsafe .internalError("cannot start a thread: \(String(cString: strerror(status)))") }
      threads.append(thread)
    }
    for thread in threads {
      #if canImport(Darwin)
      if let thread { pthread_join(thread, nil) }
      #else
      pthread_join(thread, nil)
      #endif
    }
    return work.compactMap(\.result)
  }

  private class AnyWork {
    func perform() {}
  }

  private final class Work<Result>: AnyWork {
    private let body: () -> Result
    private let gate: Gate
    private(set) var result: Result?

    init(_ body: @escaping () -> Result, _ gate: Gate) {
      self.body = body
      self.gate = gate
    }

    override func perform() {
      gate.pass()
      result = body()
    }
  }

  private final class Gate: Sendable {
    private let missing: Atomic<Int>

    init(_ count: Int) { missing = Atomic(count) }

    func pass() {
      missing.subtract(1, ordering: .acquiringAndReleasing)
      while missing.load(ordering: .acquiring) > 0 { sched_yield() }
    }
  }
}

internal import CPluginAPI
internal import CPluginCheck
import Support

extension CheckRun {
  /// The entry under other hosts' versions.
  func loading() throws(Failure) -> CheckVerdict {
    let opened = try DynamicLibrary(library.path)
    guard let symbol = unsafe opened.symbol(PluginLibrary.entryName) else {
      throw .badData("does not export \(PluginLibrary.entryName)")
    }
    let entry = unsafe unsafeBitCast(symbol, to: nr_entry.self)
    guard unsafe entry(UInt32(NR_ABI_MAJOR), UInt32(NR_ABI_MINOR)) == library.table else {
      throw .badData("the entry gives another table when it is called again")
    }
    guard let newer = unsafe entry(UInt32(NR_ABI_MAJOR), UInt32(NR_ABI_MINOR) + 7) else {
      throw .badData("refuses a host with a newer minor version, which has all that it needs")
    }
    for major in [UInt32(NR_ABI_MAJOR) + 1, 0, .max] {
      if let table = unsafe entry(major, 0), unsafe table.pointee.abi_major != UInt32(NR_ABI_MAJOR) {
        throw .badData("tells a host of ABI \(major) that it speaks that too, but its table has version \(NR_ABI_MAJOR)")
      }
    }
    let (major, minor) = unsafe (newer.pointee.abi_major, newer.pointee.abi_minor)
    let descriptor = library.descriptor
    return .passed("\(descriptor.id) \(descriptor.version), ABI \(major).\(minor)")
  }

  /// What the descriptor says beyond what opening it has checked, and that what it presets makes an instance.
  func description() throws(Failure) -> CheckVerdict {
    let descriptor = library.descriptor
    if descriptor.title.isEmpty { throw .badData("has no title") }
    if descriptor.reference.isEmpty { throw .badData("has no reference: name the paper or URL the mathematics comes from") }
    for parameter in descriptor.parameters where parameter.help.isEmpty {
      throw .badData("parameter \(parameter.name) has no help")
    }
    for metric in descriptor.metrics where metric.help.isEmpty { throw .badData("metric \(metric.name) has no help") }
    for line in descriptor.card.split(separator: "\n") where !line.contains(":") {
      throw .badData("the card's line \"\(line)\" is not of the form topic: text")
    }
    let hasState = unsafe library.table.pointee.save != nil
    if hasState != (descriptor.stateVersion > 0) {
      throw .badData("its state version is \(descriptor.stateVersion), but it has \(hasState ? "" : "no ")save and restore")
    }
    let known = PluginNeeds.known.reduce(0) { $0 | $1.need.rawValue }
    try underEach { (configuration, _) throws(Failure) in
      let needs = try CheckInstance(library, configuration.values).needs.rawValue
      if needs & ~known != 0 {
        throw .badData("needs something unknown (bits 0x\(String(needs & ~known, radix: 16)))")
      }
    }
    return .passed(
      "\(descriptor.parameters.count) parameters, \(descriptor.metrics.count) metrics, \(configurations.count) configurations")
  }

  /// All stages once, in memory that forgives: what fails here is about nothing more particular.
  func runs() throws(Failure) -> CheckVerdict {
    var needs: PluginNeeds = []
    try underEach { (configuration, index) throws(Failure) in
      var random = numbers(index)
      let instance = try CheckInstance(library, configuration.values)
      let given = CheckCase(.init(lengths: 1...7), &random)
      let selection = try RolloutCall(given.rollout, instance, isSelection: true, [])
      let kept = given.keeping(try instance.select(selection, prefill: 1))
      // Unwritten elements and sums with what was there before have tests of their own.
      let stage = try instance.advantages(try RolloutCall(kept.rollout, instance, []), prefill: 0)
      _ = try instance.loss(try BatchCall(kept.wholeBatch(stage), instance, []), prefill: 0)
      if instance.needsNow != instance.needs { throw .badData("what it needs changed while it ran") }
      needs.formUnion(instance.needs)
    }
    return .passed(needs.isEmpty ? "" : "needs \(needs.names.joined(separator: ", "))")
  }

  func metrics() throws(Failure) -> CheckVerdict {
    if library.descriptor.metrics.isEmpty { return .skipped("it declares none") }
    try underEach { (configuration, index) throws(Failure) in
      for (number, lengths) in [1...7, 0...1, 0...0].enumerated() {
        var random = numbers(index, UInt64(number))
        let instance = try CheckInstance(library, configuration.values)
        let (first, second) = try wholeUpdate(CheckCase(.init(lengths: lengths), &random), instance)
        for (stage, values) in [("advantages", first.metrics), ("loss", second.metrics)] {
          for (metric, value) in zip(library.descriptor.metrics, values) {
            guard value.weight.isFinite, value.weight >= 0, value.weight == 0 || value.value.isFinite else {
              throw .badData("\(stage): metric \(metric.name) is \(value.value) with weight \(value.weight)")
            }
          }
        }
      }
    }
    return .passed
  }

  func parameters() throws(Failure) -> CheckVerdict {
    let values = configurations[0].values
    if values.isEmpty { return .skipped("it has none") }
    func expectRefusal(_ index: Int, _ value: Double) throws(Failure) {
      var changed = values
      changed[index] = value
      let parameter = library.descriptor.parameters[index]
      let accepted: Bool
      do throws(Failure) {
        _ = try CheckInstance(library, changed)
        accepted = true
      } catch { accepted = false }
      if accepted {
        throw .badData(
          "create takes \(parameter.name) = \(Format.shortest(value)), declared as \(parameter.kind.rawValue) from \(Format.shortest(parameter.minimum)) to \(Format.shortest(parameter.maximum)); it must return NR_BAD_PARAMETER"
        )
      }
    }
    for (index, parameter) in library.descriptor.parameters.enumerated() {
      var bad = [Double.nan, .infinity, -.infinity]
      bad.append(parameter.minimum - max(1, abs(parameter.minimum)))
      bad.append(parameter.maximum + max(1, abs(parameter.maximum)))
      if parameter.kind != .real { bad.append(parameter.minimum + 0.5) }
      for value in bad { try expectRefusal(index, value) }
    }
    return .passed
  }

  func lifeCycle() throws(Failure) -> CheckVerdict {
    if heapInUse() == 0 { return .skipped("this system does not tell how large the heap is") }
    let cycles = count(1000, quick: 200)
    try underEach { (configuration, index) throws(Failure) in
      var random = numbers(index)
      let given = CheckCase(.init(), &random)
      let instance = try CheckInstance(library, configuration.values)
      let selection = try RolloutCall(given.rollout, instance, isSelection: true)
      let kept = given.keeping(try instance.select(selection, prefill: 1))
      let rollout = try RolloutCall(kept.rollout, instance)
      let batch = try BatchCall(kept.wholeBatch(try instance.advantages(rollout)), instance)
      let creation = try CheckInstance.Creation(configuration.values)
      func cycle(_ number: Int) throws(Failure) {
        let instance = try CheckInstance(library, creation)
        _ = instance.callSelect(selection)
        for _ in 0..<2 {
          _ = instance.callAdvantages(rollout)
          _ = instance.callLoss(batch)
        }
        if number % 8 == 0 { _ = try instance.save() }
      }
      for number in 0..<50 { try cycle(number) }
      let before = heapInUse()
      for number in 0..<cycles { try cycle(number) }
      let growth = heapInUse() - before
      // The smallest allocation has 16 bytes; one that every eighth cycle makes has to be found too.
      if growth >= cycles * 2 {
        throw .badData(
          "\(cycles) instances with two rounds of calls each left \(growth) bytes on the heap, \(growth / cycles) a cycle")
      }
    }
    nr_check_stage(Int32(NR_CALL_DESTROY))
    unsafe library.table.pointee.destroy(nil)
    return .passed("\(cycles) cycles")
  }
}

/// Bytes on the C heap, where plugins have theirs.
private func heapInUse() -> Int { Int(nr_check_heap()) }

import Support

/// The digests of what a step computed, stage after stage, and the link that chains them to those of all steps before: `proof` of a line
/// of `metrics.jsonl`. docs/proof.md says what each is made of.
package struct StepDigests: Sendable, Equatable {
  package struct Stage: Sendable, Equatable {
    package let name: String
    package let digests: [Digest]
    /// Whether there is one for each of the step's optimiser updates.
    package let isOfUpdates: Bool
  }

  package private(set) var stages: [Stage] = []
  package private(set) var chain: Digest?

  /// The key in a line.
  package static let key = "proof"
  private static let chainKey = "chain"
  /// The stages that stand once for each optimiser update.
  private static let ofUpdates: Set<String> = ["scores", "derivatives", "gradients"]

  package init() {}

  package mutating func add(_ name: String, _ digest: Digest) {
    stages.append(Stage(name: name, digests: [digest], isOfUpdates: false))
  }

  /// Nothing where there was no update.
  package mutating func add(_ name: String, ofUpdates digests: [Digest]) {
    if !digests.isEmpty { stages.append(Stage(name: name, digests: digests, isOfUpdates: true)) }
  }

  package subscript(name: String) -> [Digest]? { stages.first { $0.name == name }?.digests }

  /// Makes the link.
  package mutating func close(stage: String, step: Int, after previous: Digest) {
    chain = link(stage: stage, step: step, after: previous)
  }

  /// What the link is by these digests.
  package func link(stage: String, step: Int, after previous: Digest) -> Digest {
    var writer = DigestWriter()
    writer.add(previous)
    writer.add(stage)
    writer.add(step)
    for stage in stages {
      writer.add(stage.name)
      writer.add(stage.digests.count)
      for digest in stage.digests { writer.add(digest) }
    }
    return writer.digest()
  }

  package var json: JSON {
    var object = JSON.Object()
    for stage in stages {
      let digests = stage.digests.map { JSON.string($0.hex) }
      object[stage.name] = stage.isOfUpdates ? .array(digests) : digests[0]
    }
    if let chain { object[Self.chainKey] = .string(chain.hex) }
    return .object(object)
  }

  /// - Throws: where it is no proof as this program writes them.
  package init(_ json: JSON) throws(Failure) {
    guard let object = json.object else { throw .badData("\"\(Self.key)\": expected an object, found \(json.kind)") }
    func digest(_ value: JSON, _ key: String) throws(Failure) -> Digest {
      guard let digest = value.string.flatMap(Digest.init(hex:)) else {
        throw .badData("\"\(Self.key)\": \"\(key)\": expected 64 hexadecimal digits, found \(value.kind)")
      }
      return digest
    }
    for key in object.keys {
      guard let value = object[key] else { continue }
      if key == Self.chainKey {
        chain = try digest(value, key)
      } else if Self.ofUpdates.contains(key) {
        guard let list = value.array else { throw .badData("\"\(Self.key)\": \"\(key)\": expected a list, found \(value.kind)") }
        var digests: [Digest] = []
        for item in list { digests.append(try digest(item, key)) }
        add(key, ofUpdates: digests)
      } else {
        add(key, try digest(value, key))
      }
    }
    if chain == nil { throw .badData("\"\(Self.key)\": has no \"\(Self.chainKey)\"") }
  }
}

extension Metrics {
  /// What clock and machine say, which no two runs share.
  private static func isMeasured(_ name: String) -> Bool {
    name.hasPrefix("seconds/") || name.hasSuffix("_per_second") || name == "peak_mebibytes"
  }

  /// What an evaluation says, which may come and go where a run is resumed.
  private static func isHeldOut(_ name: String) -> Bool { name.hasPrefix("held_out_") }

  /// The digests of all numbers of a step that are not measured, those of held-out data apart; nil where there are none of them.
  package var numbersDigest: Digest { digest { !Self.isMeasured($0) && !Self.isHeldOut($0) } }
  package var heldOutDigest: Digest? { names.contains(where: Self.isHeldOut) ? digest(Self.isHeldOut) : nil }

  private func digest(_ isMeant: (String) -> Bool) -> Digest {
    var writer = DigestWriter()
    for name in names where isMeant(name) {
      writer.add(name)
      writer.add(self[name] ?? .nan)
    }
    return writer.digest()
  }
}

extension StepDigests {
  /// Where two steps part first.
  package struct Parting: Sendable, Equatable {
    package let stage: String
    /// Counted from 1; nil where the stage is not of an update.
    package let update: Int?
    /// nil where one of them has none.
    package let digests: (Digest?, Digest?)

    package static func == (a: Parting, b: Parting) -> Bool {
      a.stage == b.stage && a.update == b.update && a.digests.0 == b.digests.0 && a.digests.1 == b.digests.1
    }
  }

  /// What is compared behind everything else: which library answered, and the numbers that were made of what was compared before.
  private static let last = ["plugin", "numbers"]
  /// What is compared nowhere: an evaluation changes nothing of a run.
  private static let incomparable: Set<String> = ["held_out"]

  /// The digests in the order in which a step computes them: update after update, whatever their order in the line.
  package var inOrder: [(stage: String, update: Int?, digest: Digest)] {
    var ordered: [(stage: String, update: Int?, digest: Digest)] = []
    var hasUpdates = false
    for stage in stages where !Self.last.contains(stage.name) && !Self.incomparable.contains(stage.name) {
      guard stage.isOfUpdates else {
        ordered.append((stage.name, nil, stage.digests[0]))
        continue
      }
      if hasUpdates { continue }
      hasUpdates = true
      let ofUpdates = stages.filter(\.isOfUpdates)
      for update in 0..<(ofUpdates.map(\.digests.count).max() ?? 0) {
        for stage in ofUpdates where update < stage.digests.count { ordered.append((stage.name, update + 1, stage.digests[update])) }
      }
    }
    for name in Self.last { for digest in self[name] ?? [] { ordered.append((name, nil, digest)) } }
    return ordered
  }

  /// nil where all that can be compared is the same.
  ///
  /// - Parameter passedOver: stages that are not compared.
  package func parting(from other: StepDigests, passingOver passedOver: Set<String> = []) -> Parting? {
    let (ours, theirs) = (inOrder.filter { !passedOver.contains($0.stage) }, other.inOrder.filter { !passedOver.contains($0.stage) })
    for (own, their) in zip(ours, theirs) {
      // Where one has a stage that the other has not, it is the stage that parts.
      guard own.stage == their.stage, own.update == their.update else {
        return Parting(stage: own.stage, update: own.update, digests: (own.digest, nil))
      }
      if own.digest != their.digest { return Parting(stage: own.stage, update: own.update, digests: (own.digest, their.digest)) }
    }
    if ours.count > theirs.count {
      let more = ours[theirs.count]
      return Parting(stage: more.stage, update: more.update, digests: (more.digest, nil))
    }
    if theirs.count > ours.count {
      let more = theirs[ours.count]
      return Parting(stage: more.stage, update: more.update, digests: (nil, more.digest))
    }
    return nil
  }
}

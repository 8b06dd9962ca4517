import Support

/// The metrics of one step of one stage: one line of `metrics.jsonl`.
package struct MetricRecord: Sendable {
  /// Keys of the line that are not metrics.
  static let reserved: Set<String> = ["stage", "step", "time", "elapsed", "nonfinite", StepDigests.key]

  /// No run is longer.
  private static let largestStep = 1 << 40

  /// `sft`, `rl`, `eval`, …
  package let stage: String
  package let step: Int
  package let time: Timestamp
  /// Seconds since the run began, over all its parts.
  package let elapsed: Double
  package let metrics: Metrics
  /// ``StepDigests``, as it stands; nil in a line of a version that wrote none.
  package let proof: JSON?

  package init(
    stage: String, step: Int, time: Timestamp = .now, elapsed: Double, metrics: Metrics, proof: JSON? = nil
  ) {
    self.stage = stage
    self.step = step
    self.time = time
    self.elapsed = elapsed
    self.metrics = metrics
    self.proof = proof
  }

  /// A flat object but for the proof. A number that is not finite stands as null, and its name in the list `nonfinite`.
  package func json() throws(Failure) -> JSON {
    var object: JSON.Object = [
      "stage": .string(stage), "step": .integer(step), "time": .string(time.description), "elapsed": .number(elapsed),
    ]
    var nonfinite: [JSON] = []
    for name in metrics.names {
      if Self.reserved.contains(name) {
        throw .internalError("a metric is called \"\(name)\", which is a field of every record of metrics.jsonl")
      }
      guard let value = metrics[name], value.isFinite else {
        object[name] = .null
        nonfinite.append(.string(name))
        continue
      }
      object[name] = .number(value)
    }
    if !nonfinite.isEmpty { object["nonfinite"] = .array(nonfinite) }
    if let proof { object[StepDigests.key] = proof }
    return .object(object)
  }

  /// Reads a record back; a null metric becomes not-a-number.
  package init(_ json: JSON, name: String) throws(Failure) {
    guard let object = json.object, let stage = json["stage"]?.string, let step = json["step"]?.int, (0...Self.largestStep).contains(step) else {
      throw .badData("\(name): expected an object with \"stage\" and \"step\", found \(json.kind)")
    }
    var metrics = Metrics()
    for key in object.keys where !Self.reserved.contains(key) {
      guard let value = object[key] else { continue }
      guard let number = value.isNull ? .nan : value.double else {
        throw .badData("\(name): \"\(key)\": expected a number or null, found \(value.kind)")
      }
      metrics[key] = number
    }
    self.init(
      stage: stage, step: step, time: Timestamp(description: json["time"]?.string ?? ""),
      elapsed: json["elapsed"]?.double ?? .nan, metrics: metrics, proof: json[StepDigests.key])
  }
}

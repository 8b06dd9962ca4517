import Support

/// One completion as it is logged: what was asked, what was written, what it earned, and numbers for each token.
package struct Sample: Sendable {
  package var example = 0
  package var question = ""
  /// Position in its group.
  package var index = 0
  package var completion = ""
  /// nil where it has none, which ``error`` explains.
  package var reward: Double? = 0
  /// What the reward is made of; empty where it has one part.
  package var parts: [Part] = []
  package var error: String?
  package var isCorrect = false
  /// The verifier's view: the answer it found, the one it wanted, and why it judged as it did.
  package var extracted: String?
  package var gold = ""
  package var reason = ""
  package var length = 0
  package var isTruncated = false
  /// Whether the step learned from it; a plugin may drop groups.
  package var isKept = true
  /// The mean advantage over its tokens; nil where none was computed.
  package var advantage: Double?
  package var tokens: SampleTokens?

  /// A part of the reward; nil where it has no say on the completion.
  package struct Part: Sendable, Equatable {
    package let name: String
    package let value: Double?

    package init(name: String, value: Double?) {
      self.name = name
      self.value = value
    }
  }

  package init() {}

  /// Right, wrong or cut off, as people call it.
  package var outcome: String { isCorrect ? "right" : isTruncated ? "truncated" : "wrong" }
}

/// Numbers of a completion's tokens, one after another; an array that is empty says nothing.
package struct SampleTokens: Sendable {
  /// Joined they are the completion with its special tokens.
  package var texts: [String] = []
  /// Under the policy that wrote them, nats.
  package var logProbs: [Float] = []
  package var entropies: [Float] = []
  /// current / old in the last pass over the rollout.
  package var ratios: [Float] = []
  /// Only where they differ within the completion.
  package var advantages: [Float] = []

  package init() {}
}

extension Sample {
  /// One line of `samples.jsonl` with its line feed. Written byte by byte: a step has tens of thousands of these numbers.
  func append(stage: String, step: Int, to line: inout [UInt8]) {
    line += Array("{\"stage\":".utf8)
    JSON.append(stage, to: &line)
    func key(_ name: StaticString) {
      line += Array(", \"".utf8)
      line += Array("\(name)".utf8)
      line += Array("\":".utf8)
    }
    func flag(_ name: StaticString, _ value: Bool) {
      key(name)
      line += Array((value ? "true" : "false").utf8)
    }
    key("step")
    line += Array("\(step)".utf8)
    key("example")
    line += Array("\(example)".utf8)
    key("question")
    JSON.append(question, to: &line)
    key("sample")
    line += Array("\(index)".utf8)
    key("completion")
    JSON.append(completion, to: &line)
    key("reward")
    line += Array((reward.map(JSON.number) ?? .null).text().utf8)
    if !parts.isEmpty {
      key("parts")
      var object = JSON.Object()
      for part in parts { object[part.name] = part.value.map(JSON.number) ?? .null }
      line += Array(JSON.object(object).text().utf8)
    }
    if let error {
      key("error")
      JSON.append(error, to: &line)
    }
    flag("correct", isCorrect)
    key("extracted")
    if let extracted { JSON.append(extracted, to: &line) } else { line += Array("null".utf8) }
    key("gold")
    JSON.append(gold, to: &line)
    key("reason")
    JSON.append(reason, to: &line)
    key("length")
    line += Array("\(length)".utf8)
    flag("truncated", isTruncated)
    if !isKept { flag("kept", false) }
    if let advantage {
      key("advantage")
      line += Array(JSON.number(advantage).text().utf8)
    }
    if let tokens {
      key("tokens")
      line.append(UInt8(ascii: "["))
      for (position, text) in tokens.texts.enumerated() {
        if position > 0 { line.append(UInt8(ascii: ",")) }
        JSON.append(text, to: &line)
      }
      line.append(UInt8(ascii: "]"))
      func numbers(_ name: StaticString, _ values: [Float]) {
        if values.isEmpty { return }
        key(name)
        Self.append(values, to: &line)
      }
      numbers("log_probs", tokens.logProbs)
      numbers("entropies", tokens.entropies)
      numbers("ratios", tokens.ratios)
      numbers("advantages", tokens.advantages)
    }
    line += Array("}\n".utf8)
  }

  /// An array with four decimals, enough to colour by and a third of the length of exact values.
  static func append(_ values: [Float], to line: inout [UInt8]) {
    line.append(UInt8(ascii: "["))
    for (index, value) in values.enumerated() {
      if index > 0 { line.append(UInt8(ascii: ",")) }
      append(value, to: &line)
    }
    line.append(UInt8(ascii: "]"))
  }

  private static func append(_ value: Float, to line: inout [UInt8]) {
    guard value.magnitude < 1e9 else {
      line += Array((value.isFinite ? "\(value)" : "null").utf8)
      return
    }
    var scaled = Int((Double(value) * 10_000).rounded())
    if scaled < 0 {
      line.append(UInt8(ascii: "-"))
      scaled = -scaled
    }
    line += Array(String(scaled / 10_000).utf8)
    var fraction = scaled % 10_000
    if fraction == 0 { return }
    line.append(UInt8(ascii: "."))
    var place = 1000
    while fraction > 0 {
      line.append(UInt8(ascii: "0") + UInt8(fraction / place))
      fraction %= place
      place /= 10
    }
  }
}

extension Sample {
  /// Whether a line of `samples.jsonl` has the types that whoever shows it counts on.
  static func check(_ json: JSON) throws(Failure) {
    guard json["stage"]?.string != nil, json["step"]?.int != nil else {
      throw .badData("expected an object with \"stage\" and \"step\", found \(json.kind)")
    }
    func require(_ keys: [String], _ what: String, _ isRight: (JSON) -> Bool) throws(Failure) {
      for key in keys {
        guard let value = json[key], !value.isNull, !isRight(value) else { continue }
        throw .badData("\"\(key)\": expected \(what), found \(value.kind)")
      }
    }
    try require(["question", "completion", "extracted", "gold", "reason", "error"], "a text") { $0.string != nil }
    try require(["parts"], "an object of numbers") { $0.object.map { parts in parts.keys.allSatisfy { parts[$0]?.isNull == true || parts[$0]?.double != nil } } == true }
    try require(["example", "sample", "length", "reward", "advantage"], "a number") { $0.double != nil }
    try require(["correct", "truncated", "kept"], "true or false") { $0.bool != nil }
    try require(["tokens"], "a list of texts") { $0.array?.allSatisfy { $0.string != nil } == true }
    try require(["log_probs", "entropies", "ratios", "advantages"], "a list of numbers") {
      $0.array?.allSatisfy { $0.isNull || $0.double != nil } == true
    }
  }

  /// Reads a line of `samples.jsonl` back; fields that are not there keep their empty values, so that logs of older
  /// versions can be read too.
  package init(_ json: JSON) {
    example = json["example"]?.int ?? 0
    question = json["question"]?.string ?? ""
    index = json["sample"]?.int ?? 0
    completion = json["completion"]?.string ?? ""
    error = json["error"]?.string
    reward = json["reward"]?.double ?? (error == nil ? 0 : nil)
    if let object = json["parts"]?.object { parts = object.keys.map { Part(name: $0, value: object[$0]?.double) } }
    isCorrect = json["correct"]?.bool ?? false
    extracted = json["extracted"]?.string
    gold = json["gold"]?.string ?? ""
    reason = json["reason"]?.string ?? ""
    length = json["length"]?.int ?? 0
    isTruncated = json["truncated"]?.bool ?? false
    isKept = json["kept"]?.bool ?? true
    advantage = json["advantage"]?.double
    guard let texts = json["tokens"]?.array else { return }
    func numbers(_ key: String) -> [Float] { json[key]?.array?.map { Float($0.double ?? .nan) } ?? [] }
    var tokens = SampleTokens()
    tokens.texts = texts.map { $0.string ?? "" }
    tokens.logProbs = numbers("log_probs")
    tokens.entropies = numbers("entropies")
    tokens.ratios = numbers("ratios")
    tokens.advantages = numbers("advantages")
    self.tokens = tokens
  }
}

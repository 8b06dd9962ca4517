import Compute
import Support

/// The shape of a model, as `config.json` gives it.
///
/// Reads the layouts of transformers 4 (`rope_theta`) and 5 (`rope_parameters`). What this program does not compute is
/// refused by name rather than ignored.
package struct ModelConfiguration: Sendable, Equatable {
  package var family: Family
  package var vocabularySize: Int
  package var hiddenSize: Int
  package var intermediateSize: Int
  package var layerCount: Int
  package var heads: HeadShape
  package var rotary: RotarySettings
  package var rmsEpsilon: Float
  package var tiesEmbeddings: Bool
  package var maxPositions: Int
  /// The linear layers that have a bias.
  package var biased: Set<LinearPlace>
  /// Whether queries and keys are normed head by head.
  package var normsQueriesAndKeys = false

  /// A Qwen2 model of that shape.
  package init(
    vocabularySize: Int, hiddenSize: Int, intermediateSize: Int, layerCount: Int, heads: HeadShape,
    ropeTheta: Double = 10_000, rmsEpsilon: Float = 1e-6, tiesEmbeddings: Bool = true, maxPositions: Int = 32_768
  ) {
    family = .qwen2
    biased = [.q, .k, .v]
    self.vocabularySize = vocabularySize
    self.hiddenSize = hiddenSize
    self.intermediateSize = intermediateSize
    self.layerCount = layerCount
    self.heads = heads
    rotary = RotarySettings(theta: ropeTheta)
    self.rmsEpsilon = rmsEpsilon
    self.tiesEmbeddings = tiesEmbeddings
    self.maxPositions = maxPositions
  }

  package init(json: JSON, path: String) throws(Failure) {
    func whole(_ key: String, _ fallback: Int? = nil) throws(Failure) -> Int {
      let value = json[key]
      if value == nil || value?.isNull == true, let fallback { return fallback }
      guard let value else { throw .badData("\(path): \"\(key)\" is missing") }
      guard let number = value.int, number > 0, number < 1 << 31 else {
        throw .badData("\(path): \"\(key)\": expected a positive whole number, found \(value.kind)")
      }
      return number
    }
    func number(_ key: String, in object: JSON?, _ fallback: Double) throws(Failure) -> Double {
      guard let value = object?[key], !value.isNull else { return fallback }
      guard let number = value.double, number > 0, number.isFinite else {
        throw .badData("\(path): \"\(key)\": expected a positive number, found \(value.kind)")
      }
      return number
    }
    guard json.object != nil else { throw .badData("\(path): expected an object, found \(json.kind)") }
    _ = try FolderQuantization(json, path: path)
    guard let family = json["model_type"]?.string.flatMap({ name in Family.allCases.first { $0.own.type == name } }) else {
      throw .badData(
        "\(path): \"model_type\": expected one of \(Family.list), found \(json["model_type"]?.kind ?? "nothing"); nothing else is computed")
    }
    self.family = family
    try ConfigurationKeys.check(json, family: family.own, path: path)
    vocabularySize = try whole("vocab_size")
    hiddenSize = try whole("hidden_size")
    intermediateSize = try whole("intermediate_size")
    layerCount = try whole("num_hidden_layers")
    let queryHeads = try whole("num_attention_heads")
    let keyValueHeads = try whole("num_key_value_heads", queryHeads)
    guard queryHeads % keyValueHeads == 0 else {
      throw .badData(
        "\(path): \"num_attention_heads\" (\(queryHeads)) must be a multiple of \"num_key_value_heads\" (\(keyValueHeads))"
      )
    }
    if json["head_dim"] == nil, family.own.defaultChannels == nil, hiddenSize % queryHeads != 0 {
      throw .badData("\(path): \"hidden_size\" (\(hiddenSize)) must be a multiple of \"num_attention_heads\" (\(queryHeads))")
    }
    let channels = try whole("head_dim", family.own.defaultChannels ?? hiddenSize / queryHeads)
    guard channels % 2 == 0 else { throw .badData("\(path): \"head_dim\": expected an even number, found \(channels)") }
    heads = HeadShape(queryHeads: queryHeads, keyValueHeads: keyValueHeads, channels: channels)
    rmsEpsilon = Float(try number("rms_norm_eps", in: json, 1e-6))
    maxPositions = try whole("max_position_embeddings", family.own.defaultPositions)
    guard rmsEpsilon > 0 else {
      throw .badData("\(path): \"rms_norm_eps\": expected a number that float32 can hold, found \(json["rms_norm_eps"]?.kind ?? "nothing")")
    }
    if let tied = json["tie_word_embeddings"], tied.bool == nil {
      throw .badData("\(path): \"tie_word_embeddings\": expected true or false, found \(tied.kind)")
    }
    tiesEmbeddings = json["tie_word_embeddings"]?.bool ?? false

    rotary = try ConfigurationKeys.rotary(json, path: path)
    biased = []
    if let sliding = json["use_sliding_window"], !sliding.isNull, sliding.bool != false {
      throw .badData(
        "\(path): \"use_sliding_window\": expected false, found \(sliding.kind); sliding windows are not computed")
    }
    if let activation = json["hidden_act"], activation.string != "silu" {
      throw .badData("\(path): \"hidden_act\": expected \"silu\", found \(activation.kind)")
    }
    try family.own.complete(&self, from: json, path: path)
  }

  /// `config.json` in the layout that transformers 4 and 5, vLLM and llama.cpp read.
  package func json(format: WeightFormat, endOfText: [Int32]) -> JSON {
    var object: JSON.Object = [
      "architectures": [.string(family.own.className)], "model_type": .string(family.own.type), "vocab_size": .integer(vocabularySize),
      "hidden_size": .integer(hiddenSize), "intermediate_size": .integer(intermediateSize),
      "num_hidden_layers": .integer(layerCount), "num_attention_heads": .integer(heads.queryHeads),
      "num_key_value_heads": .integer(heads.keyValueHeads), "head_dim": .integer(heads.channels),
      "hidden_act": "silu", "max_position_embeddings": .integer(maxPositions),
      "rms_norm_eps": .number(Double("\(rmsEpsilon)") ?? Double(rmsEpsilon)), "rope_theta": .number(rotary.theta),
      "tie_word_embeddings": .bool(tiesEmbeddings),
    ]
    if let stretch = rotary.stretch { object["rope_scaling"] = stretch.json }
    let own = family.own.keys(of: self)
    for key in own.keys { object[key] = own[key] }
    object["attention_dropout"] = .number(0)
    object["eos_token_id"] =
      endOfText.count == 1 ? .integer(Int(endOfText[0])) : .array(endOfText.map { .integer(Int($0)) })
    object["torch_dtype"] = .string(format.name)
    return .object(object)
  }
}

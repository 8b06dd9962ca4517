import Support

/// Qwen3 (dense): queries and keys are normed head by head before they are rotated; no biases unless `config.json` asks for them.
enum Qwen3: ModelFamily {
  static let type = "qwen3"
  static let className = "Qwen3ForCausalLM"
  static let models = "Qwen3"
  static let computedKeys: Set<String> = ["attention_bias"]
  static let requiredKeys: [String: JSON] = ["use_qk_norm": .bool(true), "qk_norm": .bool(true)]
  static let defaultPositions = 32_768
  static let defaultChannels: Int? = 128

  static func complete(_ configuration: inout ModelConfiguration, from json: JSON, path: String) throws(Failure) {
    configuration.normsQueriesAndKeys = true
    configuration.biased = try ConfigurationKeys.flag(json, "attention_bias", path: path) ? [.q, .k, .v, .o] : []
  }

  static func keys(of configuration: ModelConfiguration) -> JSON.Object {
    ["attention_bias": .bool(configuration.biased.contains(.q)), "use_sliding_window": false]
  }
}

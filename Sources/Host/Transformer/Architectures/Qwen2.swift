import Support

/// Qwen2, Qwen2.5, Qwen2.5-Math: biases on queries, keys and values.
enum Qwen2: ModelFamily {
  static let type = "qwen2"
  static let className = "Qwen2ForCausalLM"
  static let models = "Qwen2, Qwen2.5, Qwen2.5-Math"
  static let computedKeys: Set<String> = []
  static let requiredKeys: [String: JSON] = ["qkv_bias": .bool(true), "use_qkv_bias": .bool(true)]
  static let defaultPositions = 32_768
  static let defaultChannels: Int? = nil

  static func complete(_ configuration: inout ModelConfiguration, from json: JSON, path: String) {
    configuration.biased = [.q, .k, .v]
  }

  static func keys(of configuration: ModelConfiguration) -> JSON.Object { ["use_sliding_window": false] }
}

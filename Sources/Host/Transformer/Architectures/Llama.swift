import Support

/// Llama 2 and 3, SmolLM2, and what else is written in their form: no biases unless `config.json` asks for them, channels of a head
/// apart from hidden size by heads, Llama 3's stretched rotary embedding.
enum Llama: ModelFamily {
  static let type = "llama"
  static let className = "LlamaForCausalLM"
  static let models = "Llama 2, Llama 3, SmolLM2"
  static let computedKeys: Set<String> = ["attention_bias", "mlp_bias"]
  static let requiredKeys: [String: JSON] = [:]
  static let defaultPositions = 2048
  static let defaultChannels: Int? = nil

  static func complete(_ configuration: inout ModelConfiguration, from json: JSON, path: String) throws(Failure) {
    configuration.biased = []
    if try ConfigurationKeys.flag(json, "attention_bias", path: path) { configuration.biased.formUnion([.q, .k, .v, .o]) }
    if try ConfigurationKeys.flag(json, "mlp_bias", path: path) { configuration.biased.formUnion([.gate, .up, .down]) }
  }

  static func keys(of configuration: ModelConfiguration) -> JSON.Object {
    ["attention_bias": .bool(configuration.biased.contains(.q)), "mlp_bias": .bool(configuration.biased.contains(.gate))]
  }
}

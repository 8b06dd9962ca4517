import Compute
import Support

/// How the linear layers of a folder are quantised, as `quantization_config` in its `config.json` says: NF4 as bitsandbytes and
/// transformers save it. Any other way is refused by name.
package struct FolderQuantization: Sendable, Equatable {
  /// `bnb_4bit_compute_dtype`: what values are rounded to before they are multiplied.
  package let computeType: String
  /// Modules that are said to be as they were.
  private let skipped: [String]

  /// Keys that say nothing of weights of four bits.
  private static let irrelevant: Set<String> = [
    "llm_int8_threshold", "llm_int8_has_fp16_weight", "llm_int8_enable_fp32_cpu_offload", "bnb_4bit_use_double_quant", "_load_in_4bit",
    "_load_in_8bit",
  ]

  /// nil where the weights are not quantised. Asked before anything else: what fails for quantised weights later would not say why.
  init?(_ config: JSON, path: String) throws(Failure) {
    if let value = config["compression_config"], !value.isNull {
      throw Self.refusal(path, "compression_config", value["quantization_method"]?.string ?? value["quant_method"]?.string ?? "method not named")
    }
    guard let value = config["quantization_config"], !value.isNull else { return nil }
    let name = "\(path): \"quantization_config\""
    guard let object = value.object else { throw .badData("\(name): expected an object or null, found \(value.kind)") }
    func isSet(_ key: String) -> Bool { object[key]?.bool == true || object["_" + key]?.bool == true }
    let isBitsAndBytes = isSet("load_in_4bit") || isSet("load_in_8bit")
    let method = object["quant_method"]?.string ?? object["quantization_method"]?.string ?? (isBitsAndBytes ? "bitsandbytes" : "method not named")
    guard method == "bitsandbytes" else { throw Self.refusal(path, "quantization_config", method) }
    func refuse(_ what: String) -> Failure {
      .badData(
        "\(name): the weights are quantised (bitsandbytes): \(what) is not computed, only 4 bits of type nf4 are; take the folder with float32 or bfloat16 weights, and --quantize nf4 where it has to be small")
    }
    guard isSet("load_in_4bit"), !isSet("load_in_8bit") else { throw refuse(isSet("load_in_8bit") ? "\"load_in_8bit\"" : "anything but \"load_in_4bit\"") }
    let type = object["bnb_4bit_quant_type"]?.string ?? "fp4"
    guard type == "nf4" else { throw refuse("\"bnb_4bit_quant_type\" \(type)") }
    if let storage = object["bnb_4bit_quant_storage"], !storage.isNull, storage.string != "uint8" { throw refuse("\"bnb_4bit_quant_storage\" \(storage.kind)") }
    var (computeType, skipped) = ("float32", [String]())
    for key in object.keys {
      guard let value = object[key], !value.isNull else { continue }
      switch key {
      case "quant_method", "quantization_method", "load_in_4bit", "load_in_8bit", "bnb_4bit_quant_type", "bnb_4bit_quant_storage": break
      case "bnb_4bit_compute_dtype":
        guard let text = value.string else { throw .badData("\(name): \"\(key)\": expected the name of a type, found \(value.kind)") }
        computeType = text
      case "llm_int8_skip_modules":
        guard let names = value.array, names.allSatisfy({ $0.string != nil }) else {
          throw .badData("\(name): \"\(key)\": expected a list of modules' names, found \(value.kind)")
        }
        skipped = names.compactMap(\.string)
      case let key where Self.irrelevant.contains(key): break
      default:
        throw .badData("\(name): \"\(key)\": \(value.kind): this program does not know what the key changes; if it changes nothing in the computation, remove it from the file")
      }
    }
    self.computeType = computeType
    self.skipped = skipped
  }

  /// Whether a module is one of those; of patterns, the plain ones count: a name, its beginning up to a dot, its end.
  func skips(_ module: some StringProtocol) -> Bool { skipped.contains { module.hasSuffix($0) || module.hasPrefix($0 + ".") } }

  private static func refusal(_ path: String, _ key: String, _ method: String) -> Failure {
    .badData("\(path): \"\(key)\": the weights are quantised (\(method)): not supported; take the folder with float32 or bfloat16 weights")
  }

  /// What `config.json` says of a folder whose linear layers are quantised here.
  static func json(computeType: String, skipping modules: [String]) -> JSON {
    [
      "quant_method": "bitsandbytes", "load_in_4bit": .bool(true), "load_in_8bit": .bool(false), "_load_in_4bit": .bool(true),
      "_load_in_8bit": .bool(false), "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": .bool(true), "bnb_4bit_quant_storage": "uint8",
      "bnb_4bit_compute_dtype": .string(computeType), "llm_int8_skip_modules": .array(modules.map { .string($0) }),
      "llm_int8_threshold": .number(6), "llm_int8_has_fp16_weight": .bool(false), "llm_int8_enable_fp32_cpu_offload": .bool(false),
    ]
  }
}

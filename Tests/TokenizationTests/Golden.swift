import Support
import Testing
import Tokenization

/// The files beside the tests, and the shared data where it is there.
enum Golden {
  static let tests = Files.directory(of: #filePath)
  static let folder = tests + "/Goldens"
  static let small = folder + "/small"

  /// `NR_SHARED`, or `../shared` beside the package; nil where neither holds the tokenizer and GSM8K.
  static let sharedData: String? = {
    let root = Files.directory(of: Files.directory(of: tests))
    let candidates = (environmentVariable("NR_SHARED").map { [$0 + "/data", $0] } ?? []) + [root + "/../shared/data"]
    return candidates.first {
      Files.exists($0 + "/qwen2.5-tokenizer/tokenizer.json") && Files.exists($0 + "/gsm8k/train.jsonl")
    }
  }()

  static let whyShared: Comment = "needs the Qwen2.5 tokenizer and GSM8K in ../shared/data (or in $NR_SHARED)"

  /// SmolLM2's folder: `NR_SMOLLM2`, or `~/.cache/smollm2`; nil where there is no tokenizer.
  static let smolLM2: String? = {
    let folder = environmentVariable("NR_SMOLLM2") ?? (environmentVariable("HOME") ?? "") + "/.cache/smollm2"
    return Files.exists(folder + "/tokenizer.json") ? folder : nil
  }()

  static let whySmolLM2: Comment = "needs SmolLM2's tokenizer in ~/.cache/smollm2 (or in $NR_SMOLLM2), and GSM8K in ../shared/data"

  static let temporary = environmentVariable("TMPDIR") ?? "/tmp"

  static func read(_ name: String) throws -> JSON { try JSON.read(folder + "/" + name) }

  static func tokenizer() throws -> Tokenizer { try Tokenizer(folder: small) }
}

extension JSON {
  /// An array of ids, as goldens hold them.
  var ids: [Int32] { (array ?? []).compactMap { $0.int.map(Int32.init) } }
}

/// Whether two texts are the same scalars; `==` takes canonically equivalent texts for the same.
func isSame(_ left: String, _ right: String) -> Bool { left.utf8.elementsEqual(right.utf8) }

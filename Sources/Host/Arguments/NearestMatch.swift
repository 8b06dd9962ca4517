/// The name that a misspelt one was probably meant to be.
enum NearestMatch {
  /// The nearest of `candidates`, or nil where none is near.
  static func find(_ word: String, among candidates: [String]) -> String? {
    if let meant = aliases[word]?.first(where: candidates.contains) { return meant }
    var best: (name: String, distance: Int)?
    for candidate in candidates {
      let isPrefix = word.count >= 3 && candidate.hasPrefix(word)
      let distance = isPrefix ? 1 : distance(Array(word.utf8), Array(candidate.utf8))
      let limit = max(1, min(3, max(word.count, candidate.count) / 3))
      if distance <= limit, distance < best?.distance ?? .max { best = (candidate, distance) }
    }
    return best?.name
  }

  /// What other programs of the field call it.
  private static let aliases: [String: [String]] = [
    "learning-rate": ["lr"], "num-train-epochs": ["epochs"], "num-epochs": ["epochs"], "num-generations": ["group-size", "samples"], "num-iterations": ["inner-epochs"],
    "per-device-train-batch-size": ["batch-size"], "train-batch-size": ["batch-size"], "max-completion-length": ["max-new-tokens"], "max-tokens": ["max-new-tokens"],
    "max-length": ["max-new-tokens"], "max-seq-length": ["max-length"], "model-name": ["model"], "model-name-or-path": ["model"], "model-path": ["model"],
    "dataset": ["data"], "dataset-name": ["data"], "train-file": ["data"], "eval-dataset": ["eval-data"], "output-dir": ["out"], "output": ["out"], "outdir": ["out"],
    "lora-r": ["lora-rank"], "rank": ["lora-rank"], "target-modules": ["lora-targets"], "max-grad-norm": ["clip-grad-norm"], "grad-clip": ["clip-grad-norm"],
    "lr-scheduler-type": ["schedule"], "scheduler": ["schedule"], "save-steps": ["checkpoint-every"], "eval-steps": ["eval-every"], "resume-from-checkpoint": ["resume"],
    "algorithm": ["algo"], "loss": ["algo"], "n": ["samples"], "num-samples": ["samples", "max-samples"], "train": ["sft"], "trian": ["sft"], "finetune": ["sft"],
    "fine-tune": ["sft"], "grpo": ["rl"], "ppo": ["rl"], "evaluate": ["eval"], "test": ["eval"], "sample": ["generate"], "infer": ["generate"], "merge": ["export"],
    "compare": ["bench"], "benchmark": ["bench"], "grade": ["judge"], "verify": ["judge"],
  ]

  /// Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment).
  static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    var before = [Int](repeating: 0, count: b.count + 1)
    var above = Array(0...b.count)
    for i in a.indices {
      var row = [i + 1] + [Int](repeating: 0, count: b.count)
      for j in b.indices {
        row[j + 1] = min(above[j + 1] + 1, row[j] + 1, above[j] + (a[i] == b[j] ? 0 : 1))
        if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { row[j + 1] = min(row[j + 1], before[j - 1] + 1) }
      }
      before = above
      above = row
    }
    return above[b.count]
  }
}

import Support

/// What other programs of the field call an option or a command: TRL, verl, transformers, vLLM. Only for advice: none of these
/// names is accepted.
enum FieldNames {
  private static let options: [(name: String, known: [String])] = [
    ("lr", ["learning-rate", "learning-rate-actor", "actor-lr", "step-size"]),
    ("epochs", ["num-epochs", "num-train-epochs", "n-epochs", "epoch", "total-epochs"]),
    ("max-steps", ["num-steps", "num-train-steps", "train-steps", "total-steps", "iterations"]),
    ("steps", ["max-steps", "num-steps", "num-train-steps", "train-steps", "total-steps", "total-training-steps", "iterations"]),
    ("batch-size", ["per-device-train-batch-size", "train-batch-size", "micro-batch-size", "bs"]),
    ("prompts-per-step", ["batch-size", "train-batch-size", "rollout-batch-size", "per-device-train-batch-size"]),
    ("micro-batch-tokens", ["gradient-accumulation-steps", "micro-batch-size", "ppo-max-token-len-per-gpu"]),
    ("group-size", ["num-generations", "rollout-n", "n-samples-per-prompt", "num-samples", "samples"]),
    ("samples", ["num-samples", "n-samples", "num-return-sequences", "num-generations", "n"]),
    ("max-new-tokens", ["max-tokens", "max-completion-length", "max-response-length", "max-generated-tokens"]),
    ("max-length", ["max-seq-length", "max-seq-len", "cutoff-len", "sequence-length", "seq-len"]),
    ("max-samples", ["num-samples", "max-train-samples", "limit"]),
    ("limit", ["max-samples", "max-eval-samples", "num-samples"]),
    ("inner-epochs", ["num-iterations", "ppo-epochs", "num-ppo-epochs", "mu"]),
    ("minibatches", ["num-mini-batches", "mini-batches"]),
    ("clip-grad-norm", ["max-grad-norm", "grad-clip", "gradient-clipping", "gradient-clip-val"]),
    ("schedule", ["lr-scheduler-type", "lr-scheduler", "scheduler", "lr-schedule"]),
    ("warmup-steps", ["warmup", "num-warmup-steps", "lr-warmup-steps", "warmup-ratio"]),
    ("weight-decay", ["wd"]),
    ("lora-rank", ["lora-r", "rank", "r"]),
    ("lora-alpha", ["alpha"]),
    ("lora-targets", ["target-modules", "lora-target-modules", "lora-target"]),
    ("full", ["full-finetune", "full-fine-tuning", "no-lora"]),
    ("model", ["model-name-or-path", "model-path", "model-name", "model-id", "pretrained"]),
    ("base", ["model", "model-name-or-path", "model-path"]),
    ("adapter", ["adapter-name-or-path", "lora-path", "lora", "peft", "adapter-path"]),
    ("data", ["dataset", "dataset-name", "train-file", "train-data", "data-path", "train-files", "dataset-path", "input"]),
    ("eval-data", ["val-data", "eval-file", "eval-dataset", "val-files", "validation-file", "test-data"]),
    ("eval-every", ["eval-steps", "test-freq"]),
    ("out", ["output", "outdir", "out-dir", "output-dir", "output-path", "save-dir", "save-path"]),
    ("checkpoint-every", ["save-steps", "save-freq", "save-every"]),
    ("resume", ["resume-from-checkpoint", "continue"]),
    ("algo", ["algorithm", "advantage-estimator", "adv-estimator", "loss-type", "loss", "plugin"]),
    ("algos", ["algorithms", "algo"]),
    ("reward", ["reward-function", "reward-funcs", "verifier"]),
    ("precision", ["dtype", "torch-dtype", "bf16", "fp16"]),
    ("quantize", ["quantization", "load-in-4bit", "load-in-8bit"]),
    ("device", ["gpu", "cuda"]),
    ("threads", ["num-threads", "num-workers", "n-threads"]),
    ("wandb", ["report-to", "wandb-project", "project-name"]),
    ("prompt", ["text", "question", "query"]),
    ("prompts", ["prompts-file", "input-file"]),
    ("temperature", ["temp"]),
    ("json", ["output-format", "format"]),
    ("quiet", ["silent", "no-progress"]),
    ("gold", ["reference", "ground-truth", "target"]),
    ("set", ["beta", "kl-coef", "clip-range", "cliprange", "epsilon", "clip-low", "clip-high", "epsilon-high"]),
  ]

  private static let commands: [(name: String, known: [String])] = [
    ("sft or rl", ["train", "finetune", "fine-tune", "tune", "fit"]),
    ("rl", ["grpo", "ppo", "dapo", "gspo", "rlhf", "rlvr", "reinforce"]),
    ("generate", ["infer", "inference", "predict", "chat", "complete", "run", "sample", "serve"]),
    ("eval", ["evaluate", "evaluation", "test", "validate"]),
    ("export", ["merge", "save", "convert"]),
    ("bench", ["benchmark", "compare"]),
    ("report", ["plot", "html", "dashboard"]),
    ("judge", ["verify", "grade", "reward"]),
    ("quickstart", ["demo", "example", "tutorial", "start"]),
    ("plugin list", ["plugins", "algorithms", "algos"]),
    ("doctor", ["info", "env", "check", "devices"]),
    ("tokenize", ["tokenise", "encode", "decode"]),
    ("list", ["ls"]), ("show", ["info", "describe", "view"]), ("new", ["create", "init"]), ("check", ["test", "verify"]),
    ("make", ["generate", "create"]),
  ]

  /// The option that `word` is another name of.
  static func option(_ word: String, among known: [String]) -> String? {
    options.first { known.contains($0.name) && $0.known.contains(word) }?.name
  }

  /// The option that `word` is nearly another name of.
  static func nearestOption(_ word: String, among known: [String]) -> String? {
    let candidates = options.filter { known.contains($0.name) }.flatMap(\.known)
    return NearestName.find(word, among: candidates).flatMap { option($0, among: known) }
  }

  /// The command that `word` is, or nearly is, another name of.
  static func command(_ word: String, among known: [String]) -> String? {
    let candidates = commands.filter { known.contains(String($0.name.prefix { $0 != " " })) }
    let name = NearestName.find(word.lowercased(), among: candidates.flatMap(\.known))
    return candidates.first { $0.known.contains(name ?? "") }?.name
  }
}

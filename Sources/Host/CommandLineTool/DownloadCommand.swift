import Arguments
import Hub
import Support
import Telemetry

/// `download`: a model or a data set from the hub into its cache.
enum DownloadCommand {
  enum Kind: String, CaseIterable {
    case auto, model, dataset
  }

  static let spec = CommandSpec(
    name: "download", summary: "fetch a model or a data set from the hub into its cache",
    discussion:
      "NAME is owner/name, with @revision if it is not main; of a data set with :split, :configuration or :configuration/split, otherwise all splits of its standard configuration. Of a model come configuration, tokenizer and safetensors; of a data set README.md and the files of the split. Run again after an interruption, it goes on where it was. HF_ENDPOINT, HF_TOKEN, HF_HOME and HF_HUB_CACHE are as for the hub's own programs, which find what was fetched.",
    examples: [
      "nano-reasoner download Qwen/Qwen2.5-Math-1.5B-Instruct", "nano-reasoner download openai/gsm8k",
      "nano-reasoner download HuggingFaceH4/MATH-500:test",
    ],
    options: [
      .positional("name", .checked("owner/name, as openai/gsm8k:test") { HubName($0) != nil }, "what to fetch", placeholder: "NAME"),
      .value("type", .choice(Kind.self), default: "auto", "what it is, where there is a model and a data set of one name", group: .data),
      .value(
        "with", .choice(HubDownload.Way.self), default: "auto",
        "what fetches: huggingface_hub in $NR_PYTHON or python3, or libcurl; auto takes the first of them that is there", group: .other),
      ModelOptions.quiet, ModelOptions.json,
    ])

  static func run(_ arguments: ParsedArguments) throws(Failure) {
    guard let name = HubName(try arguments.text("name")) else { throw .usage("NAME: expected owner/name") }
    let chosen: Kind = try arguments.choice("type")
    let kind = HubName.Kind(rawValue: chosen.rawValue)
    if kind == .model, let part = name.part { throw .usage("--type model: a model has no \":\(part)\"; leave it out") }
    let console = ConsoleObserver(quiet: try arguments.flag("quiet")).console
    let watch = Stopwatch()
    let download = try HubDownload(
      try arguments.choice("with"), endpoint: try .user(), cache: .user, say: { console.info($0) },
      progress: { now in
        if watch.seconds < 1 { return }
        var shown = Telemetry.Progress(stage: "downloading MiB", step: now.done >> 20, total: max(1, now.total >> 20))
        shown.activity = "\(now.file)  \(Format.fixed(Double(now.brought) / 1_048_576 / watch.seconds, 1)) MiB/s"
        console.show(shown)
      }, goesOn: { !Interruption.isRequested })
    console.info("\(name.pinned) from \(try HubEndpoint.user().address), with \(download.clientName)")
    let result = try download.run(name, kind: kind)
    console.finish()
    if try arguments.flag("json") {
      return try Output.json([
        "type": .string(result.kind.rawValue), "snapshot": .string(result.snapshot), "commit": .string(result.commit), "with": .string(result.client),
        "files": .array(result.files.map { ["path": .string($0.path), "bytes": .integer($0.size)] }),
      ])
    }
    try Output.line(
      "\(result.snapshot): \(result.files.count) files, \(Format.fixed(Double(result.bytes) / 1_048_576, 1)) MiB; \(result.kind == .model ? "--model" : "--data") \(try arguments.text("name"))")
  }
}

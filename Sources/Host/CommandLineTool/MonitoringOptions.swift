import Arguments
import Foundations
import Telemetry

/// The options of a training command that say where the run is shown; none of them changes what it computes.
enum MonitoringOptions {
  static let options: [OptionSpec] = [
    .flag("live", "keep OUT/report.html fresh while the run goes on", group: .output),
    .flag("no-tensorboard", "write no TensorBoard event files to OUT/tensorboard", group: .output),
    .value(
      "wandb", .text, "send the run to Weights & Biases; WANDB_MODE says online, offline or disabled", group: .output,
      placeholder: "PROJECT[/NAME]"),
    .value("wandb-group", .text, "the run's group there", group: .output),
    .value("wandb-tags", .list, "the run's tags there", group: .output),
    .value("sample-every", .integer(1...), default: 1, "steps between those whose completions are kept (RL)", group: .output),
  ]

  static let names = Set(options.map(\.name))

  static func monitoring(_ arguments: ParsedArguments) throws(Failure) -> Monitoring {
    var monitoring = Monitoring()
    monitoring.livePage = try arguments.flag("live")
    monitoring.tensorBoard = !(try arguments.flag("no-tensorboard"))
    monitoring.sampleEvery = try arguments.integer("sample-every")
    if let text = try arguments.optionalText("wandb") {
      var settings = try WeightsAndBiases(text)
      settings.group = try arguments.optionalText("wandb-group")
      settings.tags = try arguments.list("wandb-tags")
      monitoring.weightsAndBiases = settings
    } else {
      for name in ["wandb-group", "wandb-tags"] where try arguments.isGiven(name) {
        throw .usage("--\(name) belongs to --wandb PROJECT[/NAME], which is not given")
      }
    }
    return monitoring
  }
}

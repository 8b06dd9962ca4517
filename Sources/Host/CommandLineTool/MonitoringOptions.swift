import Arguments
import Support
import Telemetry

/// The options of a training command that say where the run is shown; none of them changes what it computes.
enum MonitoringOptions {
  /// Of a command that writes no completions.
  static let options: [OptionSpec] = [
    .flag("live", "keep OUT/report.html fresh while the run goes on", group: .output),
    .flag("no-tensorboard", "write no TensorBoard event files to OUT/tensorboard", group: .output),
    .value(
      "wandb", .text, "send the run to Weights & Biases; WANDB_MODE says online, offline or disabled", group: .output,
      placeholder: "PROJECT[/NAME]"),
    .value("wandb-group", .text, "the run's group there", group: .output),
    .value("wandb-tags", .list, "the run's tags there", group: .output),
  ]

  static let samples = OptionSpec.value(
    "sample-every", .integer(Limits.count), default: 1, "steps between those whose completions are kept", group: .output)

  static let rules: [OptionRule] = [
    .inVain(["wandb-group", "wandb-tags"], .missing("wandb"), because: "it says where the run stands there")
  ]

  static let names = Set((options + [samples]).map(\.name))

  static func monitoring(_ arguments: ParsedArguments) throws(Failure) -> Monitoring {
    var monitoring = Monitoring()
    monitoring.livePage = try arguments.flag("live")
    monitoring.tensorBoard = !(try arguments.flag("no-tensorboard"))
    if arguments.declares(samples.name) { monitoring.sampleEvery = try arguments.integer(samples.name) }
    if arguments.declares("wandb"), let text = try arguments.optionalText("wandb") {
      var settings = try WeightsAndBiases(text)
      settings.group = try arguments.optionalText("wandb-group")
      settings.tags = try arguments.list("wandb-tags")
      monitoring.weightsAndBiases = settings
    }
    return monitoring
  }
}

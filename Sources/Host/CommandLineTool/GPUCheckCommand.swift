import Arguments
import Benchmarking
import Compute
import Support
import Training

/// `gpu-check`: what a GPU computes held against the CPU, and how fast it is.
enum GPUCheckCommand {
  static let spec = CommandSpec(
    name: "gpu-check", summary: "hold what a GPU computes against the CPU, and measure it",
    discussion:
      "Parts in the order of what must be right first: copies; every operation of the plain kernels against the CPU, bit by bit; tensor cores against what is known of them; rows alone and in batches; twenty training steps in float32 and in bfloat16; a model of Qwen2.5-Math-1.5B's shape with random weights in bfloat16 and in NF4: drawing, whether the trainer finds the sampler's log-probabilities, an update; products and attention of real shapes. DIR/gpu-check.json is written anew after each part. Exit 70 where something disagrees.",
    examples: ["nano-reasoner gpu-check --out gpu"],
    options: [
      .required("out", .path, "the folder of the record", group: .output, placeholder: "DIR"),
      .value(
        "device", .checked("cuda or cuda:N", { $0.hasPrefix("cuda") && Backends.isDevice($0) }), default: "cuda", "the GPU", group: .model,
        placeholder: "cuda[:N]"),
      .value("seconds", .number(above: 0, through: 86_400), default: 540, "no part begins later"),
      .flag("small", "the shapes of a toy: for an emulated GPU"),
      ModelOptions.threads,
    ])

  static func run(_ arguments: ParsedArguments) throws(Failure) {
    let out = try arguments.text("out")
    try Files.makeDirectory(out)
    let watch = Stopwatch()
    guard let device = try ModelOptions.backend(arguments, bfloat16: true) as? TensorCoreBackend else {
      throw .internalError("--device \(try arguments.text("device")) is no GPU")
    }
    let opening = watch.seconds
    let cpu = try CPUBackend(threads: try arguments.optionalInteger("threads"))
    var check = DeviceCheck(device, cpu: cpu, path: out + "/gpu-check.json")
    check.seconds = try arguments.number("seconds")
    check.isSmall = try arguments.flag("small")
    check.say = Output.note
    let card = device.properties
    let agrees = try check.run([
      "program": .string(RunRecord.programVersion), "device": .string(device.name), "card": .string(card.name), "capability": .integer(card.capability),
      "multiprocessors": .integer(card.multiprocessors), "memory_mib": .integer(card.memoryBytes >> 20),
      "available_mib": .integer(device.availableBytes >> 20), "driver": .integer(device.driverVersion), "cpu": .string(cpu.name),
      "opening_seconds": .number(opening),
    ])
    try Output.line("\(check.path): \(agrees ? "everything agrees" : "something disagrees")")
    if !agrees { throw .internalError("\(check.path): what \"agrees\": false stands in disagrees with the CPU") }
  }
}

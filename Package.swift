// swift-tools-version: 6.2
import PackageDescription

// The rooms of the program and the arrows between them: a target may import what it names here and nothing else.
// `Sources/Host` is the host, `Sources/PluginAPI` the contract, `Plugins` the algorithms.

let host: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .strictMemorySafety(),
  .unsafeFlags(["-O"], .when(configuration: .debug)),
  // One build serves program and tests, in both configurations.
  .unsafeFlags(["-enable-testing"]),
]

let kernels: [CSetting] = [.unsafeFlags(["-O3", "-ffp-contract=off", "-fno-math-errno", "-Wall", "-Wextra"])]

let emulator: [CXXSetting] = [.unsafeFlags(["-O2", "-fno-exceptions", "-fno-rtti", "-Wall", "-Wextra"])]

/// A plugin is Embedded Swift: a library of some 60 KB that needs libc and nothing else.
let embedded: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .strictMemorySafety(),
  .enableExperimentalFeature("Embedded"),
  .unsafeFlags(["-wmo", "-O", "-Xfrontend", "-function-sections"]),
]

let exportOneSymbol: [LinkerSetting] = [
  .linkedLibrary("m", .when(platforms: [.linux])),
  .unsafeFlags(
    [
      "-Xlinker", "--version-script=\(Context.packageDirectory)/Sources/PluginAPI/plugin.map",
      "-Xlinker", "--gc-sections",
    ], .when(platforms: [.linux])),
  .unsafeFlags(["-Xlinker", "-s"], .when(platforms: [.linux], configuration: .release)),
]

/// Headers first.
let kernelFiles = [
  "arguments.h", "attention_arguments.h", "device.cuh", "flash_arguments.h", "head_arguments.h", "linear_arguments.h",
  "optimizer_arguments.h", "product.cuh", "product_arguments.h", "product_backward_arguments.h", "rows_arguments.h",
  "rows_bf16_arguments.h", "sampler.cuh", "sampler_arguments.h", "softmax.cuh", "vocabulary.cuh", "vocabulary_arguments.h",
  "weights_arguments.h", "attention.cu", "flash.cu", "head.cu", "linear.cu", "optimizer.cu", "product.cu", "product_backward.cu",
  "product_nf4.cu", "rows.cu", "rows_bf16.cu", "sampler.cu", "sampler_tiles.cu", "vocabulary.cu", "weights.cu",
]

func room(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: dependencies, path: "Sources/Host/\(name)", swiftSettings: host)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], excluding excluded: [String] = []) -> Target {
  .testTarget(
    name: name, dependencies: dependencies + ["TestSupport"], path: "Tests/\(name)",
    exclude: ["Goldens"] + excluded, swiftSettings: host)
}

func plugin(_ name: String) -> Target {
  .target(
    name: "\(name)Plugin", dependencies: ["PluginAPI"], path: "Plugins/\(name)", swiftSettings: embedded,
    linkerSettings: exportOneSymbol)
}

let package = Package(
  name: "nano-reasoner",
  products: [
    .executable(name: "nano-reasoner", targets: ["CommandLineTool"]),
    .library(name: "nr-grpo", type: .dynamic, targets: ["GRPOPlugin"]),
    .library(name: "nr-dr-grpo", type: .dynamic, targets: ["DrGRPOPlugin"]),
    .library(name: "nr-ppo", type: .dynamic, targets: ["PPOPlugin"]),
    .library(name: "nr-gspo", type: .dynamic, targets: ["GSPOPlugin"]),
    .library(name: "nr-dapo", type: .dynamic, targets: ["DAPOPlugin"]),
    .library(name: "nr-grpo-lead", type: .dynamic, targets: ["GRPOLeadPlugin"]),
    // Carries losses in Python: packed behind its bytes, a file is a plugin like those above.
    .library(name: "nr-python", type: .dynamic, targets: ["PythonBridge"]),
    // A GPU for tests: the driver and NVRTC in one library that runs kernels on the CPU.
    .library(name: "nr-cuda-emulator", type: .dynamic, targets: ["CUDAEmulator"]),
  ],
  dependencies: [],
  targets: [
    .target(name: "CPluginAPI", path: "Sources/PluginAPI/C"),
    .target(name: "PluginAPI", dependencies: ["CPluginAPI"], path: "Sources/PluginAPI/Swift", swiftSettings: embedded),
    plugin("GRPO"), plugin("DrGRPO"), plugin("PPO"), plugin("GSPO"), plugin("DAPO"), plugin("GRPOLead"),

    .target(name: "CKernels", path: "Sources/Host/CKernels", cSettings: kernels),
    .target(name: "CDigest", path: "Sources/Host/CDigest", cSettings: [.unsafeFlags(["-O3", "-Wall", "-Wextra"])]),
    .target(
      name: "Support", dependencies: ["CDigest"], path: "Sources/Host/Support",
      resources: [.embedInCode("Helper/python_packages.py"), .embedInCode("Helper/parquet_helper.py")], swiftSettings: host),
    .target(name: "CHub", path: "Sources/Host/CHub"),
    .target(
      name: "Hub", dependencies: ["CHub", "Support"], path: "Sources/Host/Hub", resources: [.embedInCode("Helper/hub_helper.py")],
      swiftSettings: host),
    room("Arguments", ["Support"]),
    .target(name: "CCUDA", path: "Sources/Host/CCUDA"),
    // Kernels of GPUs are text until NVRTC compiles them on the machine they run on.
    .target(
      name: "Compute", dependencies: ["CKernels", "CCUDA", "Support"], path: "Sources/Host/Compute",
      resources: kernelFiles.map { .embedInCode("CUDA/Kernels/\($0)") }, swiftSettings: host),
    room("Transformer", ["Compute", "Hub", "Support"]),
    room("Tokenization", ["Support"]),
    .target(
      name: "Tasks", dependencies: ["Tokenization", "Hub", "Support"], path: "Sources/Host/Tasks",
      resources: [.embedInCode("Helper/math_verify_helper.py"), .embedInCode("Helper/reward_helper.py")], swiftSettings: host),
    room("Rollouts", ["Transformer", "Compute", "Support"]),
    .target(name: "CPluginCheck", path: "Sources/Host/CPluginCheck"),
    .target(
      name: "PythonBridge", dependencies: ["CPluginAPI"], path: "Sources/PluginAPI/Python", publicHeadersPath: ".",
      cSettings: [.unsafeFlags(["-O2", "-Wall", "-Wextra"])], linkerSettings: exportOneSymbol),
    .target(
      name: "PluginHost", dependencies: ["CPluginAPI", "CPluginCheck", "Support"], path: "Sources/Host/PluginHost",
      resources: [.embedInCode("Python/python_loss.py")], swiftSettings: host),
    // The page of a report and the W&B helper are files of their own, compiled into the program as bytes.
    .target(
      name: "Telemetry", dependencies: ["Support"], path: "Sources/Host/Telemetry",
      resources: [
        .embedInCode("Page/report.html"), .embedInCode("Page/report.css"), .embedInCode("Page/report.js"),
        .embedInCode("Page/wandb_helper.py"),
      ], swiftSettings: host),
    room("Evaluation", ["Rollouts", "Tasks", "Tokenization", "Transformer", "Compute", "Support"]),
    room(
      "Training",
      [
        "Rollouts", "Tasks", "Tokenization", "PluginHost", "Evaluation", "Telemetry", "Transformer", "Compute",
        "Support",
      ]),
    room(
      "Benchmarking",
      [
        "Training", "Rollouts", "Tasks", "Tokenization", "PluginHost", "Evaluation", "Telemetry", "Transformer",
        "Compute", "Support",
      ]),
    .executableTarget(
      name: "CommandLineTool",
      dependencies: [
        "Arguments", "Benchmarking", "Training", "Evaluation", "Rollouts", "Tasks", "Tokenization", "PluginHost", "Telemetry",
        "Transformer", "Compute", "Hub", "Support",
      ],
      path: "Sources/Host/CommandLineTool", resources: [], swiftSettings: host),

    .target(
      name: "CUDAEmulator", path: "Tests/CUDAEmulator", exclude: ["README.md", "harness", "kernels", "planted.cu", "planted.txt"],
      publicHeadersPath: ".", cxxSettings: emulator, linkerSettings: [.linkedLibrary("dl", .when(platforms: [.linux]))]),
    .target(name: "TestSupport", dependencies: ["Compute", "Support"], path: "Tests/TestSupport", swiftSettings: host),
    tests("SupportTests", ["Support", "CDigest"]),
    tests("HubTests", ["Hub", "Support"]),
    tests("ArgumentsTests", ["Arguments", "Support"]),
    tests("ComputeTests", ["Compute", "Support"]),
    tests("TransformerTests", ["Transformer", "Compute", "Support"]),
    tests("TokenizationTests", ["Tokenization", "Support"]),
    tests("TasksTests", ["Tasks", "Tokenization", "Hub", "Support"]),
    tests("RolloutsTests", ["Rollouts", "Transformer", "Compute", "Support"]),
    tests("PluginHostTests", ["PluginHost", "Support"], excluding: ["Broken", "ABI", "Twins"]),
    tests("TelemetryTests", ["Telemetry", "Support"]),
    tests("EvaluationTests", ["Evaluation", "Tasks", "Support"]),
    tests(
      "TrainingTests",
      [
        "Training", "Rollouts", "Tasks", "Tokenization", "PluginHost", "Telemetry", "Transformer", "Compute",
        "Support",
      ]),
    tests(
      "BenchmarkingTests",
      [
        "Benchmarking", "Training", "Rollouts", "Tasks", "Tokenization", "PluginHost", "Evaluation", "Telemetry",
        "Transformer", "Compute", "Support",
      ]),
    tests("CommandLineTests", ["Support"]),
    tests(
      "FuzzTests",
      [
        "Training", "Tasks", "Tokenization", "PluginHost", "Evaluation", "Telemetry", "Transformer", "Compute", "Support",
      ]),
  ],
  cLanguageStandard: .c11, cxxLanguageStandard: .cxx17
)

import Support
import TestSupport
import Testing

/// `--device`, `doctor` and `gpu-check` where there is a GPU, one that is emulated, and where there is none.
@Suite struct DeviceTests {
  /// A folder where the program finds the emulated GPU, and what is set to find it.
  private func withGPU(_ more: [String: String] = [:]) throws -> (folder: TrialFolder, environment: [String: String]) {
    let folder = try TrialFolder()
    try Files.makeDirectory(folder.file("libraries"))
    for library in ["libcuda.so.1", "libnvrtc.so.13", "libcublasLt.so.13"] { unsafe symlink(Emulator.path, folder.file("libraries/\(library)")) }
    let environment = ["NR_CUDA_LIBRARIES": folder.file("libraries"), "XDG_CACHE_HOME": Place.build + "/nr-cuda-emulator-cache"]
    return (folder, environment.merging(more) { $1 })
  }

  @Test func doctorNamesTheCardAndItsCompiler() throws {
    let (folder, environment) = try withGPU(["NREMU_DEVICES": "2"])
    let found = try tool(["doctor"], environment: environment)
    #expect(found.code == 0, "\(found.error)")
    for words in [
      "yes  cuda driver", "13.0 (\(folder.file("libraries/libcuda.so.1")))", "yes  cuda:0", "yes  cuda:1", "emulated", "sm_90", "yes  nvrtc",
      folder.file("libraries/libnvrtc.so.13"), "yes  cublasLt", "--device auto takes cuda:0.",
    ] { #expect(found.output.contains(words), "\(words): \(found.output)") }
  }

  @Test func whatIsMissingIsNamedWithItsPackage() throws {
    let (folder, environment) = try withGPU()
    Files.remove(folder.file("libraries/libnvrtc.so.13"))
    let nothing = environment.merging(["NR_PYTHON": "/no/such/python", "VIRTUAL_ENV": "", "CUDA_HOME": "/no/such"]) { $1 }
    let found = try tool(["doctor"], environment: nothing)
    #expect(found.output.contains("no   nvrtc") && found.output.contains("pip install nvidia-cuda-nvrtc"), "\(found.output)")
    let refused = try tool(["score", "--model", Place.model, "--tokens", "f", "--out", "o", "--device", "cuda"], environment: nothing)
    expectRefusal(refused, 64, "--device cuda:", "NVRTC", "pip install nvidia-cuda-nvrtc")
    // A card of before kernels were written for.
    let old = environment.merging(["NREMU_CAPABILITY": "7.5"]) { $1 }
    unsafe symlink(Emulator.path, folder.file("libraries/libnvrtc.so.13"))
    #expect(try tool(["doctor"], environment: old).output.contains("kernels need sm_80 or newer"))
    expectRefusal(try tool(["generate", "--model", Place.model, "--prompt", "x", "--device", "cuda"], environment: old), 64, "compute capability 7.5", "8.0")
    expectRefusal(try tool(["generate", "--model", Place.model, "--prompt", "x", "--device", "cuda:1"], environment: environment), 64, "cuda:1: this machine has cuda:0 only")
  }

  @Test func autoTakesTheCardThatCanBeUsedAndSaysWhich() throws {
    let (folder, environment) = try withGPU()
    defer { withExtendedLifetime(folder) {} }
    let words = ["generate", "--model", Place.model, "--prompt", "x", "--max-new-tokens", "3"]
    let taken = try tool(words, environment: environment)
    #expect(taken.code == 0 && taken.error.contains("device: cuda:0 (emulated"), "\(taken.error)")
    let old = try tool(words, environment: environment.merging(["NREMU_CAPABILITY": "7.5"]) { $1 })
    #expect(old.code == 0 && old.error.contains("device: cpu (cuda:0: emulated") && old.error.contains("compute capability 7.5"), "\(old.error)")
    #expect(old.output == taken.output)
    let told = try tool(words + ["--device", "cpu"], environment: environment)
    #expect(told.code == 0 && told.error.isEmpty && told.output == taken.output, "\(told.error)")
  }

  @Test func withoutACardTheCPUIsTakenAndNothingIsSaid() throws {
    let folder = try TrialFolder()
    let none = ["NR_CUDA_LIBRARIES": folder.path]
    try #require(failure { () throws(Failure) in try DynamicLibrary("libcuda.so.1") } != nil, "this machine has a driver")
    let auto = try tool(["generate", "--model", Place.model, "--prompt", "x", "--max-new-tokens", "3"], environment: none)
    #expect(auto.code == 0 && auto.error.isEmpty, "\(auto.error)")
    expectRefusal(
      try tool(["generate", "--model", Place.model, "--prompt", "x", "--device", "cuda"], environment: none), 64, "no CUDA driver", "libcuda.so.1")
    #expect(try tool(["doctor"], environment: none).output.contains("No CUDA driver: everything runs on the CPU."))
  }

  /// A run of reinforcement learning, killed and resumed: on a GPU the CPU's bytes.
  @Test func aRunOnTheGPUIsTheCPUsAlsoWhenItIsKilled() throws {
    let (folder, environment) = try withGPU()
    func words(_ device: String, _ more: [String] = []) -> [String] {
      [
        "rl", "--model", Place.model, "--data", folder.file("data.jsonl"), "--algo", "grpo", "--steps", "4", "--group-size", "4", "--prompts-per-step", "2",
        "--max-new-tokens", "12", "--lr", "1e-3", "--checkpoint-every", "1", "--out", folder.file(device), "--device", device,
        "--precision", "fp32",
      ] + more
    }
    try AtomicFile.write((1...9).map { "{\"question\": \"q \($0)\", \"answer\": \"#### \($0)\"}\n" }.joined(), to: folder.file("data.jsonl"))
    let cpu = try tool(words("cpu"), environment: environment)
    try #require(cpu.code == 0, "\(cpu.error)")
    let run = try RunningTool(words("cuda"), environment: environment)
    #expect(run.wait { Files.exists(folder.file("cuda/checkpoints/step-2")) })
    run.signal(SIGKILL)
    _ = run.wait()
    let resumed = try tool(words("cuda", ["--resume"]), environment: environment)
    #expect(resumed.code == 0 && resumed.error.contains("device: cuda:0 ("), "\(resumed.error)")
    for name in ["adapter/adapter_model.safetensors", "checkpoints/step-4/state.safetensors", "samples.jsonl"] {
      #expect(try Files.read("\(folder.file("cpu"))/\(name)") == Files.read("\(folder.file("cuda"))/\(name)"), "\(name)")
    }
    #expect(try JSON.read(folder.file("cuda/run.json")).text().contains("cuda:0 (emulated"))
  }

  /// What was begun in float32 does not go on in bfloat16, and what was begun on one device in bfloat16 does not go on on another.
  @Test func aRunKeepsItsArithmetic() throws {
    let (folder, environment) = try withGPU()
    try AtomicFile.write((1...9).map { "{\"question\": \"q \($0)\", \"answer\": \"#### \($0)\"}\n" }.joined(), to: folder.file("data.jsonl"))
    func words(_ steps: Int, _ device: String, _ more: [String] = []) -> [String] {
      [
        "rl", "--model", Place.model, "--data", folder.file("data.jsonl"), "--algo", "grpo", "--steps", "\(steps)", "--group-size", "2", "--prompts-per-step",
        "1", "--max-new-tokens", "4", "--out", folder.file("run"), "--precision", "bf16", "--device", device,
      ] + more
    }
    #expect(try tool(words(1, "cpu"), environment: environment).code == 0)
    let refused = try tool(words(2, "cuda", ["--resume"]), environment: environment)
    #expect(refused.code == 65 && refused.error.contains("\"arithmetic\"") && refused.error.contains("bfloat16"), "\(refused.error)")
    let plain = try tool(words(2, "cpu", ["--resume"]).map { $0 == "bf16" ? "fp32" : $0 }, environment: environment)
    #expect(plain.code == 65, "\(plain.error)")
    #expect(try tool(words(2, "cpu", ["--resume"]), environment: environment).code == 0)
  }

  /// Two processes that start together, and nothing compiled yet: whichever compiles what, both are right.
  @Test func twoProcessesMayCompileTheKernelsAtOnce() throws {
    let (folder, environment) = try withGPU()
    let fresh = environment.merging(["XDG_CACHE_HOME": folder.file("cache")]) { $1 }
    let words = ["generate", "--model", Place.model, "--prompt", "x", "--max-new-tokens", "3", "--device", "cuda"]
    let both = try (0..<2).map { _ in try RunningTool(words, environment: fresh) }.map { $0.wait() }
    for result in both { #expect(result.code == 0, "\(result.error)") }
    #expect(both.contains { $0.error.contains("compiling") }, "\(both[0].error)")
    #expect(both[0].output == both[1].output && !both[0].output.isEmpty)
    let kept = folder.file("cache/nano-reasoner/kernels")
    #expect(try Files.list(kept).allSatisfy { $0.hasSuffix(".cubin") } && Files.list(kept).count > 10)
    let third = try tool(words, environment: fresh)
    #expect(third.code == 0 && !third.error.contains("compiling") && third.output == both[0].output, "\(third.error)")
  }

  @Test func gpuCheckFindsTheEmulatedCardInAgreement() throws {
    let (folder, environment) = try withGPU()
    let check = try tool(["gpu-check", "--small", "--out", folder.file("out")], environment: environment)
    #expect(check.code == 0, "\(check.error)")
    let record = try JSON.read(folder.file("out/gpu-check.json"))
    #expect(record["agrees"]?.bool == true && record["skipped"]?.array?.isEmpty == true)
    let parts = [
      "copies", "operations", "tensor_cores", "exactness", "exactness_bf16", "training", "training_bf16", "products", "attention", "attention_bf16",
      "model_bf16", "model_nf4",
    ]
    for part in parts {
      #expect(record[part] != nil && record[part]?["failure"] == nil, "\(part)")
    }
    for part in ["operations", "training"] { #expect(record[part]?["same_bits"]?.bool == true, "\(part)") }
    for part in ["model_bf16", "model_nf4"] { #expect(record[part]?["sampler_is_trainer"]?.bool == true, "\(part)") }
    let short = try tool(["gpu-check", "--small", "--seconds", "0.001", "--out", folder.file("short")], environment: environment)
    #expect(short.code == 0)
    #expect(try JSON.read(folder.file("short/gpu-check.json"))["skipped"]?.array?.count == parts.count - 1)
  }

  /// A plan for a card needs none: its memory is said.
  @Test func aPlanNeedsNoCard() throws {
    let folder = try TrialFolder()
    let none = ["NR_CUDA_LIBRARIES": folder.path]
    try #require(failure { () throws(Failure) in try DynamicLibrary("libcuda.so.1") } != nil, "this machine has a driver")
    let (there, environment) = try withGPU(["NREMU_MEMORY": "\(1 << 30)"])
    defer { withExtendedLifetime(there) {} }
    let words = ["plan", "--model", Place.model, "--algo", "grpo", "--json", "--device", "cuda"]
    for more in [[], ["--precision", "bf16"], ["--quantize", "nf4", "--precision", "bf16"]] {
      let planned = try tool(words + more + ["--memory", "1"], environment: none)
      let real = try tool(words + more, environment: environment)
      #expect(planned.code == 0 && planned.error.contains("a card that is not here, of 1 GiB"), "\(planned.error)")
      #expect(planned.json["bytes"] == real.json["bytes"] && planned.json["bytes"] != nil, "\(more)")
    }
    expectRefusal(try tool(words, environment: none), 64, "no CUDA driver", "--memory")
  }

  /// What a plan for a card counts of the model is what the CPU's counts, in the card's form.
  @Test func aPlanForTheCardIsOfItsMemory() throws {
    let (folder, environment) = try withGPU(["NREMU_MEMORY": "\(1 << 30)"])
    defer { withExtendedLifetime(folder) {} }
    let plan = try tool(["plan", "--model", Place.model, "--algo", "grpo", "--json", "--device", "cuda"], environment: environment)
    #expect(plan.code == 0, "\(plan.error)")
    let available = try #require(plan.json["available_bytes"]?.int)
    #expect(available > 700 << 20 && available < 1 << 30)
    // What is the host's is not counted with it.
    #expect(plan.json["bytes"]?["program, tokenizer and data"] == nil && plan.json["host_bytes"]?.int ?? 0 > 1 << 20)
  }
}

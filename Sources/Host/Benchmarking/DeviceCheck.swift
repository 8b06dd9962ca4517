import Compute
import Rollouts
import Support
import Training
import Transformer

/// What a GPU computes held against the CPU, and how fast it is: one call for a machine that somebody has for some minutes.
///
/// The parts come in the order of what must be right before the next means anything. After each the record is written anew, so what a
/// machine that goes away has shown is not lost.
package struct DeviceCheck {
  /// In bfloat16, as a run computes.
  package let cores: TensorCoreBackend
  /// The same by kernels of ours alone.
  private let own: TensorCoreBackend
  /// The plain kernels, which give the CPU's bits.
  private let plain: CUDABackend
  package let cpu: CPUBackend
  /// The record.
  package let path: String
  /// No part begins later than this, in seconds; what does not begin is named.
  package var seconds = 540.0
  /// Shapes of a toy: for an emulated device.
  package var isSmall = false
  /// Told what is done, and what came of it.
  package var say: (String) -> Void = { _ in }

  package init(_ cores: TensorCoreBackend, cpu: CPUBackend, path: String) {
    self.cores = cores
    own = TensorCoreBackend(sharing: cores)
    plain = CUDABackend(sharing: cores)
    self.cpu = cpu
    self.path = path
  }

  /// A part: its name and what it measures.
  private typealias Part = (name: String, run: () throws(Failure) -> JSON.Object)

  /// - Returns: whether everything that was held against the CPU agrees.
  package func run(_ description: JSON.Object) throws(Failure) -> Bool {
    let watch = Stopwatch()
    var record = description
    var (skipped, agrees): ([JSON], Bool) = ([], true)
    let nf4 = WeightFormat.nf4(NF4Format(roundsToBFloat16: true))
    let parts: [Part] = [
      ("copies", copies), ("operations", operations), ("tensor_cores", tensorCores),
      ("exactness", { () throws(Failure) in try exactness(plain, [("float32", .float32), ("bfloat16", .bfloat16), ("nf4", nf4)]) }),
      ("exactness_bf16", { () throws(Failure) in try exactness(cores, [("bfloat16", .bfloat16), ("nf4", nf4)]) }),
      ("training", { () throws(Failure) in try training(plain, within: 1e-4) }),
      ("training_bf16", { () throws(Failure) in try training(cores, within: 0.05) }),
      ("model_bf16", { () throws(Failure) in try model(.bfloat16) }), ("model_nf4", { () throws(Failure) in try model(nf4) }),
      ("products", products),
      ("attention", { () throws(Failure) in try attention(plain) }), ("attention_bf16", { () throws(Failure) in try attention(cores) }),
    ]
    for part in parts {
      guard watch.seconds < seconds else {
        skipped.append(.string(part.name))
        continue
      }
      let lap = Stopwatch()
      var found: JSON.Object
      do throws(Failure) { found = try part.run() } catch {
        found = ["failure": .string(error.message), "agrees": false]
      }
      found["seconds"] = .number(lap.seconds)
      if found["agrees"]?.bool == false { agrees = false }
      record[part.name] = .object(found)
      record["skipped"] = .array(skipped)
      record["seconds"] = .number(watch.seconds)
      try AtomicFile.write(JSON.object(record).text(pretty: true) + "\n", to: path)
      say("\(part.name): \(Format.fixed(lap.seconds, 1)) s\(found["failure"]?.string.map { ": " + $0 } ?? "")")
    }
    record["skipped"] = .array(skipped)
    record["agrees"] = .bool(agrees)
    try AtomicFile.write(JSON.object(record).text(pretty: true) + "\n", to: path)
    return agrees
  }

  // MARK: What is right

  /// Two lists of results, number by number.
  private func compare(_ found: [BackendTrial.Result], _ expected: [BackendTrial.Result]) -> JSON.Object {
    var rows: [JSON] = []
    var (equal, agrees) = (true, found.count == expected.count)
    for (one, other) in zip(found, expected) {
      let different = zip(one.values, other.values).count { $0.bitPattern != $1.bitPattern }
      let scale = other.values.reduce(Float(1e-6)) { max($0, abs($1)) }
      let largest = zip(one.values, other.values).reduce(Float(0)) { $1.0.isNaN || $1.1.isNaN ? .infinity : max($0, abs($1.0 - $1.1)) } / scale
      if one.values.count != other.values.count || largest > 1e-5 { agrees = false }
      if different == 0, one.values.count == other.values.count { continue }
      equal = false
      rows.append(["name": .string(one.name), "numbers": .integer(other.values.count), "different": .integer(different), "largest": .number(Double(largest))])
    }
    return ["operations": .integer(expected.count), "same_bits": .bool(equal), "agrees": .bool(agrees), "different": .array(rows)]
  }

  private func operations() throws(Failure) -> JSON.Object {
    compare(try BackendTrial.operations(on: plain), try BackendTrial.operations(on: cpu))
  }

  /// What the emulator takes for granted of a card: a tensor core gives an element the same bits at every place of a tile, takes the operands
  /// that it is meant to, and a sum that is told from the CPU's is told by roundings only.
  private func tensorCores() throws(Failure) -> JSON.Object {
    let (rows, outputs, inputs) = isSmall ? (37, 70, 96) : (300, 520, 4800)
    func product(_ x: [Float], _ w: [Float], on backend: any Backend, _ format: WeightFormat) throws(Failure) -> [Float] {
      let y = try backend.tensor(rows, outputs)
      backend.linear(
        try backend.tensor(x, rows: rows, columns: inputs), try backend.pack(w, outputs: outputs, inputs: inputs, as: format), bias: nil, into: y,
        accumulate: false)
      return try backend.download(y).value()
    }
    // One row and one output everywhere: one number everywhere.
    let (line, other) = (values(inputs, 3), values(inputs, 4, scale: 0.1))
    let same = try product(
      (0..<rows).flatMap { _ in line }, (0..<outputs).flatMap { _ in other }, on: cores, .bfloat16)
    let places = same.count { $0.bitPattern != same[0].bitPattern }
    // Rows that pick one input each: the weights themselves.
    let weights = values(outputs * inputs, 5).map { BFloat16.float(BFloat16.bits($0)) }
    var picks = [Float](repeating: 0, count: rows * inputs)
    for row in 0..<rows { picks[row * inputs + (row * 31 + 7) % inputs] = 1 }
    let picked = try product(picks, weights, on: cores, .bfloat16)
    var misplaced = 0
    for row in 0..<rows {
      for output in 0..<outputs where picked[row * outputs + output] != weights[output * inputs + (row * 31 + 7) % inputs] { misplaced += 1 }
    }
    // Against float32 on the CPU, of the same rounded operands.
    let rounded = values(rows * inputs, 6).map { BFloat16.float(BFloat16.bits($0)) }
    let (found, expected) = (try product(rounded, weights, on: cores, .bfloat16), try product(rounded, weights, on: cpu, .float32))
    let scale = expected.reduce(Float(0)) { max($0, abs($1)) }
    let largest = zip(found, expected).reduce(Float(0)) { $1.0.isNaN ? .infinity : max($0, abs($1.0 - $1.1)) } / scale
    let untouched = try firstRowsThatDiffer()
    return [
      "agrees": .bool(places == 0 && misplaced == 0 && untouched == 0 && largest < 2e-5), "different_places": .integer(places),
      "misplaced": .integer(misplaced), "values_that_differ": .integer(untouched), "largest": .number(Double(largest)),
    ]
  }

  /// The first position of a sequence sees itself alone: 2⁰ has to be 1 and 2^−∞ 0, so that it gets its own value, bit for bit.
  private func firstRowsThatDiffer() throws(Failure) -> Int {
    let heads = HeadShape(queryHeads: 2, keyValueHeads: 1, channels: 64)
    let (length, count) = (70, 3)
    let rows = length * count
    let (q, k, v) = (try numbers(rows, 128, 1, on: cores), try numbers(rows, 64, 2, on: cores), try numbers(rows, 64, 3, on: cores))
    let (output, sums) = (try cores.activations(rows, 128), try cores.tensor(rows, 2))
    let arena = try Arena(on: cores)
    let plan = try cores.plan((0..<count).map { Segment(start: $0 * length, length: length) }, heads, rows: rows, in: arena)
    cores.attention(plan, q: q, k: k, v: v, into: output, logSum: sums)
    let (found, values) = (try cores.download(output).value(), try cores.download(v).value())
    var different = 0
    for row in stride(from: 0, to: rows, by: length) {
      for channel in 0..<128 where found[row * 128 + channel].bitPattern != values[row * 64 + channel % 64].bitPattern { different += 1 }
    }
    return different
  }

  /// Made of a few and repeated: what is measured does not depend on them.
  private func values(_ count: Int, _ seed: UInt64, scale: Double = 1) -> [Float] {
    var stream = RandomStream(seed: 11, stream: seed)
    let few = (0..<min(count, 1 << 16)).map { _ in Float(scale * stream.nextNormal()) }
    return (0..<count).map { few[$0 % few.count] }
  }

  /// What products read.
  private func numbers(_ rows: Int, _ columns: Int, _ seed: UInt64, on device: CUDABackend) throws(Failure) -> Tensor {
    let kept = try device.activations(rows, columns)
    device.copy(try device.tensor(values(rows * columns, seed), rows: rows, columns: columns), to: kept)
    return kept
  }

  private func matrix(_ outputs: Int, _ inputs: Int, _ format: WeightFormat, on device: CUDABackend) throws(Failure) -> PackedMatrix {
    try device.pack(values(outputs * inputs, UInt64(outputs), scale: 0.02), outputs: outputs, inputs: inputs, as: format)
  }

  /// A row is the same bits whatever else is in the batch: products of real widths, one row and a few against many.
  private func exactness(_ device: CUDABackend, _ formats: [(name: String, format: WeightFormat)]) throws(Failure) -> JSON.Object {
    var rows: [JSON] = []
    var agrees = true
    let shapes = isSmall ? [(48, 64)] : [(1536, 1536), (256, 1536), (8960, 1536), (1536, 8960)]
    for (outputs, inputs) in shapes {
      for (name, format) in formats {
        let (many, weight) = (isSmall ? 70 : 300, try matrix(outputs, inputs, format, on: device))
        let (x, all) = (try numbers(many, inputs, 1, on: device), try device.tensor(many, outputs))
        device.linear(x, weight, bias: nil, into: all, accumulate: false)
        let whole = try device.download(all).value().map(\.bitPattern)
        var different = 0
        for range in [0..<1, 17..<18, 5..<21, 30..<63] {
          let part = try device.tensor(range.count, outputs)
          device.linear(x.rows(range), weight, bias: nil, into: part, accumulate: false)
          let found = try device.download(part).value().map(\.bitPattern)
          different += zip(found, whole[(range.lowerBound * outputs)...]).count { $0 != $1 }
        }
        if different > 0 { agrees = false }
        rows.append(["outputs": .integer(outputs), "inputs": .integer(inputs), "format": .string(name), "different": .integer(different)])
      }
    }
    return ["agrees": .bool(agrees), "products": .array(rows)]
  }

  private static let toy = ModelConfiguration(
    vocabularySize: 300, hiddenSize: 64, intermediateSize: 96, layerCount: 2, heads: HeadShape(queryHeads: 4, keyValueHeads: 2, channels: 16),
    maxPositions: 256)

  /// Twenty updates of a toy, all of it trained: the losses of both.
  private func training(_ device: CUDABackend, within tolerance: Double) throws(Failure) -> JSON.Object {
    let steps = isSmall ? 4 : 20
    func losses(_ backend: any Backend) throws(Failure) -> [Double] {
      let model = try Transformer(random: Self.toy, seed: 3, endOfText: [0], on: backend)
      var settings = PolicySettings()
      settings.learningRate = 1e-3
      let policy = try Policy(model, adapter: nil, settings)
      var random = RandomStream(seed: 9)
      let sequences = (0..<8).map { index in
        TrainingSequence(tokens: (0..<(9 + 3 * index)).map { _ in Int32(random.next(below: 300)) }, lossStart: 1)
      }
      let trainer = SFTTrainer(policy, SFTBatches(sequences, batchSize: 4, shuffles: false, seed: 1))
      var losses: [Double] = []
      for _ in 0..<steps { losses.append(try trainer.trainStep().loss) }
      return losses
    }
    let (found, expected) = (try losses(device), try losses(cpu))
    let largest = zip(found, expected).reduce(0) { max($0, abs($1.0 - $1.1)) }
    return [
      "agrees": .bool(largest < tolerance), "same_bits": .bool(found == expected), "largest": .number(largest),
      "device": .array(found.map { .number($0) }), "cpu": .array(expected.map { .number($0) }),
    ]
  }

  // MARK: How fast it is

  /// The median time of some calls, the device idle before each.
  private func time(_ calls: Int = 5, _ body: () throws(Failure) -> Void) throws(Failure) -> Double {
    try body()
    var times: [Double] = []
    for _ in 0..<(isSmall ? 1 : calls) {
      try plain.wait()
      let watch = Stopwatch()
      try body()
      try plain.wait()
      times.append(watch.seconds)
    }
    return times.sorted()[times.count / 2]
  }

  private func copies() throws(Failure) -> JSON.Object {
    let count = isSmall ? 1 << 16 : 1 << 28
    let device = plain
    let (a, b) = (try device.tensor(1, count), try device.tensor(1, count))
    let onDevice = try time { device.copy(a, to: b) }
    let part = a.part(0..<min(count, 1 << 25), columns: min(count, 1 << 25))
    let values = [Float](repeating: 1, count: part.count)
    let up = try time(3) { device.upload(values, to: part) }
    let down = try time(3) { () throws(Failure) in _ = try device.download(part).value() }
    return [
      "device_gb_per_second": .number(8e-9 * Double(count) / onDevice), "upload_gb_per_second": .number(4e-9 * Double(part.count) / up),
      "download_gb_per_second": .number(4e-9 * Double(part.count) / down),
    ]
  }

  /// Products of a 1.5B model's shapes.
  private func products() throws(Failure) -> JSON.Object {
    var rows: [JSON] = []
    let kinds: [(name: String, device: CUDABackend, format: WeightFormat)] = [
      ("float32", plain, .float32), ("bfloat16", cores, .bfloat16), ("nf4", cores, .nf4(NF4Format(roundsToBFloat16: true))),
    ]
    for (outputs, inputs) in isSmall ? [(48, 64)] : [(2048, 1536), (1536, 1536), (17_920, 1536), (1536, 8960), (151_936, 1536)] {
      for (name, device, format) in kinds {
        let isHead = outputs > 100_000
        if isHead, name != "bfloat16" { continue }
        let weight = try matrix(outputs, inputs, format, on: device)
        for count in isSmall ? [40] : isHead ? [16, 128, 1024] : [16, 64, 128, 6144] {
          let (x, y) = (try numbers(count, inputs, 1, on: device), try device.activations(count, outputs))
          let operations = 2e-12 * Double(count) * Double(outputs) * Double(inputs)
          let forward = try time { device.linear(x, weight, bias: nil, into: y, accumulate: false) }
          var row: JSON.Object = [
            "outputs": .integer(outputs), "inputs": .integer(inputs), "format": .string(name), "rows": .integer(count),
            "forward_ms": .number(1e3 * forward), "forward_tflops": .number(operations / forward),
            "weight_gb_per_second": .number(1e-9 * Double(weight.storage.byteCount) / forward),
          ]
          if count > 1000 || isSmall {
            let backward = try time { device.linearBackward(y, weight, into: x, accumulate: false) }
            row["backward_tflops"] = .number(operations / backward)
            if device === cores, cores.hasLibrary {
              row["backward_of_ours_tflops"] = .number(operations / (try time { own.linearBackward(y, weight, into: x, accumulate: false) }))
            }
          }
          rows.append(.object(row))
        }
      }
    }
    return ["products": .array(rows)]
  }

  /// A prompt and eight completions of it, heads of a 1.5B model.
  private func attention(_ device: CUDABackend) throws(Failure) -> JSON.Object {
    let heads = isSmall ? HeadShape(queryHeads: 4, keyValueHeads: 2, channels: 16) : HeadShape(queryHeads: 12, keyValueHeads: 2, channels: 128)
    let (prompt, completion) = isSmall ? (7, 9) : (128, 384)
    var segments = [Segment(start: 0, length: prompt)]
    for index in 0..<8 { segments.append(Segment(start: prompt + index * completion, length: completion, prefixStart: 0, prefixLength: prompt)) }
    let rows = prompt + 8 * completion
    let (wide, narrow) = (heads.queryHeads * heads.channels, heads.keyValueHeads * heads.channels)
    let (q, k, v) = (try numbers(rows, wide, 1, on: device), try numbers(rows, narrow, 2, on: device), try numbers(rows, narrow, 3, on: device))
    let (output, sums) = (try device.activations(rows, wide), try device.tensor(rows, heads.queryHeads))
    let (dq, dk, dv) = (try device.activations(rows, wide), try device.activations(rows, narrow), try device.activations(rows, narrow))
    let arena = try Arena(on: device)
    let plan = try device.plan(segments, heads, rows: rows, in: arena)
    let forward = try time { device.attention(plan, q: q, k: k, v: v, into: output, logSum: sums) }
    let backward = try time {
      device.attentionBackward(plan, q: q, k: k, v: v, output: output, logSum: sums, dOutput: q, dq: dq, dk: dk, dv: dv)
    }
    let pairs = 0.5 * Double(prompt * prompt) + 8 * Double(completion) * (Double(prompt) + 0.5 * Double(completion))
    let operations = 4e-12 * pairs * Double(wide)
    return [
      "rows": .integer(rows), "forward_ms": .number(1e3 * forward), "forward_tflops": .number(operations / forward),
      "backward_ms": .number(1e3 * backward), "backward_tflops": .number(2.5 * operations / backward),
    ]
  }

  /// The shape of Qwen2.5-Math-1.5B.
  private static let large = ModelConfiguration(
    vocabularySize: 151_936, hiddenSize: 1536, intermediateSize: 8960, layerCount: 28,
    heads: HeadShape(queryHeads: 12, keyValueHeads: 2, channels: 128), maxPositions: 4096)

  /// A model with random weights: drawing, whether the trainer finds the sampler's log-probabilities, and an update of its adapter.
  private func model(_ format: WeightFormat) throws(Failure) -> JSON.Object {
    let architecture = Architecture(isSmall ? Self.toy : Self.large).training(.nothing).kept { spec in
      if case .matrix = spec.role { format } else { .bfloat16 }
    }
    let device = cores
    let before = device.memory.bytes
    var watch = Stopwatch()
    let model = try Transformer(architecture, source: .repeated(seed: 5), endOfText: [0], on: device)
    try device.wait()
    let loading = watch.lap()
    let weights = device.memory.bytes - before
    let adapter = try Adapter(AdapterSettings(), seed: 6, for: model)
    let policy = try Policy(model, adapter: adapter, PolicySettings())
    let arena = try Arena(on: device)
    let engine = GenerationEngine(model, in: arena)
    var random = RandomStream(seed: 13)
    let vocabulary = model.configuration.vocabularySize
    let prompts = (0..<(isSmall ? 2 : 32)).map { index in
      GenerationRequest(
        prompt: (0..<(isSmall ? 5 : 128)).map { _ in Int32(random.next(below: vocabulary)) }, samples: 8, stream: UInt64(index))
    }
    var drawing: [JSON] = []
    var fastest = 0.0
    var last: (requests: [GenerationRequest], completions: [[Completion]]) = ([], [])
    for count in isSmall ? [2] : [2, 8, 16, 32] {
      let requests = Array(prompts.prefix(count))
      let settings = GenerationSettings(
        sampling: SamplingSettings(temperature: 0.8), maxNewTokens: isSmall ? 11 : 96, seed: 7, stopTokens: [], batchSize: 8 * count)
      _ = watch.lap()
      let completions = try engine.generate(requests, settings, by: policy.current)
      let seconds = watch.lap()
      let tokens = completions.joined().reduce(0) { $0 + $1.tokens.count }
      drawing.append(["sequences": .integer(8 * count), "tokens": .integer(tokens), "seconds": .number(seconds), "tokens_per_second": .number(Double(tokens) / seconds)])
      fastest = max(fastest, Double(tokens) / seconds)
      last = (requests, completions)
    }
    // The trainer's log-probabilities of what was drawn.
    var (different, count) = (0, 0)
    policy.beginUpdate()
    _ = watch.lap()
    var rows = 0
    // Four prompts with their completions at a time.
    for start in stride(from: 0, to: last.requests.count, by: 4) {
      let groups = start..<min(start + 4, last.requests.count)
      var (batch, targets) = (TokenBatch(), TokenTargets())
      for group in groups {
        batch.append(prompt: last.requests[group].prompt, completions: last.completions[group].map(\.tokens), targets: &targets)
      }
      let drawn = last.completions[groups].joined().flatMap(\.logProbs)
      rows += batch.rowCount
      try policy.accumulate(batch, targets, temperature: 0.8) { scores in
        count += drawn.count
        different += zip(scores.logProbs, drawn).count { $0.bitPattern != $1.bitPattern }
        return TokenDerivatives(dLogProbs: Array(repeating: -1 / 1024, count: targets.count))
      }
    }
    let update = try policy.finishUpdate()
    try device.wait()
    let seconds = watch.lap()
    return [
      "agrees": .bool(different == 0 && count > 0 && update.gradientNorm > 0), "sampler_is_trainer": .bool(different == 0), "tokens": .integer(count),
      "different_log_probs": .integer(different), "loading_seconds": .number(loading), "weight_mib": .integer(weights >> 20),
      "peak_mib": .integer(device.memory.peakBytes >> 20), "decoding": .array(drawing), "update_rows": .integer(rows),
      "update_seconds": .number(seconds), "update_rows_per_second": .number(Double(rows) / seconds),
      "gradient_norm": .number(update.gradientNorm),
      // 5000 prompts of 150 tokens, 8 completions of 384, two passes over each: what this would take at these rates, nothing else counted.
      "owner_phase_minutes_at_these_rates": .number((15.36e6 / fastest + 2 * 16.11e6 * seconds / Double(rows)) / 60),
    ]
  }
}

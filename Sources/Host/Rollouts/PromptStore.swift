import Compute
import Support
import Transformer

/// Reads prompts into the cache, each once: its keys and values are copied to the slots of all its samples. Where the
/// samples of a prompt do not all find a slot at once, its keys, values and last hidden state are held for the rest.
struct PromptStore {
  private let model: Transformer
  private let held: KVCache
  private var heldRequest: Int?
  private var heldHidden: [Float] = []

  init(_ model: Transformer, capacity: Int) throws(Failure) {
    self.model = model
    held = try KVCache(model.configuration, slots: 1, capacity: capacity, on: model.backend)
  }

  /// Makes the admitted slots ready to continue their prompts.
  ///
  /// - Returns: the last hidden state of each admission's prompt `[n, D]`.
  mutating func read(_ admitted: [Admission], of requests: [GenerationRequest], into cache: KVCache)
    throws(Failure) -> Tensor
  {
    var batch = TokenBatch()
    var slots: [Int32] = []
    var lastRow: [Int: Int32] = [:]
    var firstSlot: [Int: Int32] = [:]
    for admission in admitted where firstSlot[admission.request] == nil && admission.request != heldRequest {
      let rows = batch.append(requests[admission.request].prompt)
      slots += Array(repeating: admission.slot, count: rows.count)
      lastRow[admission.request] = Int32(rows.upperBound - 1)
      firstSlot[admission.request] = admission.slot
    }
    let backend = model.backend
    let width = model.configuration.hiddenSize
    var rows: [Float] = []
    if batch.rowCount > 0 {
      let hidden = try model.forward(batch, sink: (cache, slots)).hidden
      let order = firstSlot.keys.sorted()
      let wanted = try backend.tensor(order.count, width)
      backend.take(try backend.upload(order.map { lastRow[$0]! }), of: hidden, into: wanted)
      rows = try backend.download(wanted)
      for (index, request) in order.enumerated() { lastRow[request] = Int32(index) }
    }

    var output: [Float] = []
    output.reserveCapacity(admitted.count * width)
    for admission in admitted {
      let length = requests[admission.request].prompt.count
      if admission.request == heldRequest {
        held.copy(slot: 0, to: cache, slot: Int(admission.slot), length: length)
        output += heldHidden
      } else {
        let source = firstSlot[admission.request]!
        if source != admission.slot {
          cache.copy(slot: Int(source), to: cache, slot: Int(admission.slot), length: length)
        }
        let row = Int(lastRow[admission.request]!)
        output += rows[(row * width)..<((row + 1) * width)]
      }
    }
    hold(after: admitted, of: requests, cache: cache, firstSlot: firstSlot, hidden: output)
    return try backend.tensor(output, rows: admitted.count, columns: width)
  }

  private mutating func hold(
    after admitted: [Admission], of requests: [GenerationRequest], cache: KVCache, firstSlot: [Int: Int32],
    hidden: [Float]
  ) {
    guard let last = admitted.last else { return }
    if last.sample + 1 == requests[last.request].samples {
      heldRequest = nil
    } else if last.request != heldRequest, let slot = firstSlot[last.request] {
      cache.copy(slot: Int(slot), to: held, slot: 0, length: requests[last.request].prompt.count)
      heldHidden = Array(hidden.suffix(model.configuration.hiddenSize))
      heldRequest = last.request
    }
  }
}

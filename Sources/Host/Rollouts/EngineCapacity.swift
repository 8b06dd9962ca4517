import Compute
import Support
import Transformer

/// What an engine has room for: how many sequences are decoded at once and how long they are.
package struct EngineCapacity: Sendable, Equatable {
  /// Sequences decoded at once.
  package var slots: Int
  /// Prompts whose keys and values are held at once; the samples of a prompt share them.
  package var promptSlots: Int
  /// Tokens of the longest prompt.
  package var longestPrompt: Int
  package var maxNewTokens: Int

  package init(slots: Int, promptSlots: Int, longestPrompt: Int, maxNewTokens: Int) {
    self.slots = slots
    self.promptSlots = promptSlots
    self.longestPrompt = longestPrompt
    self.maxNewTokens = maxNewTokens
  }

  /// Room for some prompts with as many samples each, as many at once as the memory for caches allows.
  ///
  /// - Parameters:
  ///   - batchSize: sequences decoded at once; nil chooses by memory.
  package init(
    prompts: Int, samples: Int, longestPrompt: Int, maxNewTokens: Int, batchSize: Int? = nil, of configuration: ModelConfiguration,
    on backend: any Backend
  ) {
    let (prompts, samples) = (max(1, prompts), max(1, samples))
    self.longestPrompt = longestPrompt
    // Nothing grows past the context.
    self.maxNewTokens = max(1, min(maxNewTokens, configuration.maxPositions - 1))
    let own = KVCache.bytesPerSlot(configuration, capacity: self.maxNewTokens, elementBytes: backend.activation.byteCount)
    let prompt = KVCache.bytesPerSlot(configuration, capacity: longestPrompt, elementBytes: backend.activation.byteCount)
    let affordable = MemoryBudget(backend.availableBytes).caches / max(1, own + 2 * prompt / samples)
    slots = min(prompts * samples, batchSize ?? max(1, min(backend.isHost ? 96 : 512, affordable)))
    // Twice what full groups need, so that the last sample of a group does not keep the next from starting.
    promptSlots = min(prompts, slots, 2 * ((slots + samples - 1) / samples))
  }

  func covers(_ other: EngineCapacity) -> Bool {
    slots >= other.slots && promptSlots >= other.promptSlots && longestPrompt >= other.longestPrompt && maxNewTokens >= other.maxNewTokens
  }

  /// Room for both.
  package func union(_ other: EngineCapacity) -> EngineCapacity {
    EngineCapacity(
      slots: max(slots, other.slots), promptSlots: max(promptSlots, other.promptSlots),
      longestPrompt: max(longestPrompt, other.longestPrompt), maxNewTokens: max(maxNewTokens, other.maxNewTokens))
  }
}

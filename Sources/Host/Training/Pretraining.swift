import Compute
import Foundations
import Tokenization
import Transformer

/// Training a small base model from nothing: a tokeniser learned from the text, random weights, every parameter trained.
package struct PretrainingSettings: Sendable {
  package var hiddenSize = 192
  package var layerCount = 6
  package var queryHeads = 6
  package var keyValueHeads = 2
  package var intermediateSize = 512
  package var vocabularySize = 512
  package var documents = 40_000
  package var batchSize = 64
  package var learningRate = 3e-3
  package var warmupSteps = 50
  package var weightDecay = 0.1
  package var seed: UInt64 = 1

  package init() {}

  package func configuration(vocabularySize: Int) -> ModelConfiguration {
    ModelConfiguration(
      vocabularySize: vocabularySize, hiddenSize: hiddenSize, intermediateSize: intermediateSize,
      layerCount: layerCount,
      heads: HeadShape(
        queryHeads: queryHeads, keyValueHeads: keyValueHeads, channels: hiddenSize / queryHeads),
      ropeTheta: 10_000, rmsEpsilon: 1e-6, tiesEmbeddings: true, maxPositions: 1024)
  }

  package var policy: PolicySettings {
    var policy = PolicySettings()
    policy.adapter = nil
    policy.learningRate = learningRate
    policy.weightDecay = weightDecay
    policy.schedule = LearningRateSchedule(
      shape: .cosine, warmupSteps: warmupSteps,
      totalSteps: SFTTrainer.stepsPerEpoch(count: documents, batchSize: batchSize))
    return policy
  }
}

import PluginHost
import Support
import TestSupport

/// The plugin with the taped losses, built once for all tests as any author's is.
enum TwinLibrary {
  static let sources = "\(Place.tests)/PluginHostTests/Twins"

  private static let built: Result<(folder: TrialFolder, library: PluginLibrary), Failure> = {
    do throws(Failure) {
      let folder = try TrialFolder()
      let path = folder.path + "/libnr-twin.so"
      let result = shell("'\(Place.repository)/Sources/PluginAPI/build-plugin.sh' '\(sources)'/*.swift -o '\(path)'")
      if result.status != 0 || !result.output.isEmpty { throw .internalError(result.output) }
      return .success((folder, try PluginLibrary(path)))
    } catch { return .failure(error) }
  }()

  static var library: PluginLibrary { get throws(Failure) { try built.get().library } }

  static func instance(_ settings: [String]) throws(Failure) -> PluginInstance { try PluginInstance(library, settings: settings) }

  /// What the twin's parameter offers.
  static func choices(of name: String) throws(Failure) -> [String] {
    try library.descriptor.parameters.first { $0.name == name }?.choices ?? []
  }
}

extension PluginRollout {
  /// A whole rollout as one micro-batch of its own update, with every input that a loss may read.
  func wholeBatch(
    _ stage: PluginAdvantages, current: [Float], entropies: [Float]? = nil, values: [Float]? = nil
  ) -> PluginBatch {
    batch(
      Array(0..<sequenceCount), of: PluginUpdate(0..<groupCount, of: self, counted: stage.counted), stage,
      PluginScores(logProbs: current, entropies: entropies, values: values))
  }
}

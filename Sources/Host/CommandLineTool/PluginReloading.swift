import PluginHost
import Support
import Training

/// Takes up a plugin's file that was built anew while a run goes on: where it has changed, passes the quick form of `plugin check` and needs no
/// more than before, the next step runs with it.
final class PluginReloading {
  private let named: String
  private let settings: [String]
  private let isolation: PluginIsolation?
  private let isTrusted: Bool
  /// The file that is watched: a library, or a loss in Python.
  private let path: String
  private var seen: String?
  private var sha256: String

  /// - Parameter named: as `--algo` names it.
  init(_ choice: PluginChoice, named: String, settings: [String], isTrusted: Bool) {
    (self.named, self.settings, self.isTrusted, isolation) = (named, settings, isTrusted, choice.isolation)
    path = PythonLoss.isSource(named) ? named : choice.card.path
    sha256 = choice.card.sha256
    seen = Self.stamp(path)
  }

  /// The file's digest: times of files are too coarse for who saves twice in a second. nil where nothing is there.
  private static func stamp(_ path: String) -> String? { try? SHA256.hex(file: path) }

  /// The new plugin; nil where the file is as it was. One that cannot be used is an error, told once.
  func changed() throws(Failure) -> PluginChoice? {
    let now = Self.stamp(path)
    // A file that is just being written is gone, or not whole: it is looked at again before the next step.
    guard let now, now != seen else { return nil }
    seen = now
    let card = try PluginRegistry.find(PythonLoss.isSource(named) ? named : path)
    if card.sha256 == sha256 { return nil }
    let parameters = try PluginParameters(settings, for: card.descriptor)
    if !isTrusted { try PluginChecker.requirePassing(card, parameters: settings) }
    sha256 = card.sha256
    return PluginChoice(card, parameters, isolation: isolation)
  }
}

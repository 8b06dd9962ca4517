import Support

/// A plugin as a run uses it: which library, with which parameters, in this process or in one of its own.
package struct PluginChoice: Sendable {
  package let card: PluginCard
  package let parameters: PluginParameters
  /// nil: the library is opened in this process.
  package let isolation: PluginIsolation?
  package var id: String { card.id }

  package init(_ card: PluginCard, _ parameters: PluginParameters, isolation: PluginIsolation? = nil) {
    (self.card, self.parameters, self.isolation) = (card, parameters, isolation)
  }

  /// An opened library with `key=value` settings, in this process.
  package init(_ library: PluginLibrary, settings: [String] = []) throws(Failure) {
    self.init(PluginCard(describing: library), try PluginParameters(settings, for: library.descriptor))
  }

  /// A new instance, with no state.
  package func instance() throws(Failure) -> any LossAlgorithm {
    if let isolation { return try IsolatedPlugin(card, parameters, isolation) }
    return try PluginInstance(PluginLibrary(card), parameters)
  }
}

/// How an isolated plugin is held: what one call may take.
package struct PluginIsolation: Sendable, Equatable {
  /// Seconds of one call.
  package var seconds = 60.0
  /// Memory of its process and of what that has started.
  package var mebibytes = 8192

  package init() {}

  /// Of a plugin of which nobody says otherwise: nil, in the program's own process, where it came with the program.
  package static func usual(for card: PluginCard) -> PluginIsolation? { PluginRegistry.isShipped(card.path) ? nil : PluginIsolation() }
}

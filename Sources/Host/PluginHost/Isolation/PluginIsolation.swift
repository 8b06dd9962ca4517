/// How an isolated plugin is held: what one call may take.
package struct PluginIsolation: Sendable, Equatable {
  /// Seconds of one call.
  package var seconds = 60.0
  /// Memory of its process and of what that has started.
  package var mebibytes = 8192

  package init() {}
}

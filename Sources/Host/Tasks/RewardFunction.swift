import Support

/// Judges what a model wrote.
///
/// A function may be called from any thread, by one at a time.
package protocol RewardFunction: Sendable {
  /// What errors call it.
  var name: String { get }
  /// What ``Reward/parts`` are called, for plugins.
  var partNames: [String] { get }

  func judge(_ attempt: Attempt) throws(Failure) -> Reward
}

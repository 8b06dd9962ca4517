/// What every algorithm has apart from its loss: a description, what it needs, and stage 0 and 1, rewards to advantages. The loss is
/// written with its derivatives (``LossPlugin``) or as expressions of which the overlay takes them (``TapedLossPlugin``).
///
/// A conforming type is one instance with its parameters. The host calls an instance from one thread at a time. Every view
/// handed to a method is valid until that method returns and must not be kept.
public protocol Algorithm {
  /// What the plugin says about itself.
  static var descriptor: Descriptor { get }

  /// Makes an instance. Every value is of its declared kind and within its range; refuse combinations that make no sense.
  init(_ settings: Settings) throws(PluginError)

  /// What this instance needs beyond rewards and log-probabilities; constant over its life. Default: nothing.
  var needs: Needs { get }

  /// The inputs whose gradient the loss stops on purpose, so that `plugin check` does not compare their derivatives with
  /// finite differences; constant over the instance's life. Default: none.
  var stoppedGradients: StoppedGradients { get }

  /// Stage 0, pure: says which groups to train on, before anything expensive is computed. Default: all.
  func select(_ rollout: Rollout, keep: Selection) throws(PluginError)

  /// Stage 1, once per rollout: fills the advantages (0 when the call begins), and the returns where there is a critic.
  mutating func advantages(_ rollout: Rollout, into result: Advantages, metrics: Metrics) throws(PluginError)

  /// What has to survive a resume; called only where the descriptor's `stateVersion` is above 0. Default: nothing.
  func save() -> [UInt8]

  /// Takes back what ``save()`` gave. Refuse what you did not write.
  mutating func restore(_ bytes: Values<UInt8>) throws(PluginError)
}

/// An algorithm whose loss comes with its derivatives.
public protocol LossPlugin: Algorithm {
  /// Stage 2, once per micro-batch: returns its share of the update's loss and fills the derivatives (0 when the call
  /// begins). Shares must add up, so divide by the update's totals and never by the micro-batch's.
  mutating func loss(_ batch: Batch, into gradients: Gradients, metrics: Metrics) throws(PluginError) -> Double
}

extension Algorithm {
  public var needs: Needs { [] }
  public var stoppedGradients: StoppedGradients { [] }
  public func select(_ rollout: Rollout, keep: Selection) throws(PluginError) {}
  public func save() -> [UInt8] { [] }
  public mutating func restore(_ bytes: Values<UInt8>) throws(PluginError) {}
}

/// What an instance needs.
public struct Needs: OptionSet, Sendable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Log-probabilities under the frozen reference model.
  public static let reference = Needs(rawValue: 1 << 0)
  /// A value head: `values` in, `returns` and the derivative by `values` out.
  public static let critic = Needs(rawValue: 1 << 1)
  /// The policy's entropy at each token, and the derivative by it.
  public static let entropy = Needs(rawValue: 1 << 2)
  /// Log-probabilities as the rollout engine computed them.
  public static let sampler = Needs(rawValue: 1 << 3)
  /// Groups dropped by `select` are replaced by fresh ones.
  public static let refill = Needs(rawValue: 1 << 4)
}

/// Inputs of a loss that it holds fixed on purpose (stop-gradient, detach).
public struct StoppedGradients: OptionSet, Sendable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  public static let current = StoppedGradients(rawValue: 1 << 0)
  public static let entropy = StoppedGradients(rawValue: 1 << 1)
  public static let values = StoppedGradients(rawValue: 1 << 2)
}

/// Why a plugin cannot do what it was asked; the host shows the message to the user.
public struct PluginError: Error {
  let status: Int32
  let message: String

  /// A combination of parameters that makes no sense.
  public static func badParameter(_ message: String) -> PluginError { PluginError(status: 2, message: message) }
  /// The host's arrays are not what the contract says.
  public static func badArgument(_ message: String) -> PluginError { PluginError(status: 1, message: message) }
  /// A result is not a finite number.
  public static func notFinite(_ message: String) -> PluginError { PluginError(status: 3, message: message) }
  /// Saved bytes that are not this plugin's.
  public static func badState(_ message: String) -> PluginError { PluginError(status: 4, message: message) }
  public static func internalError(_ message: String) -> PluginError { PluginError(status: 6, message: message) }
}

internal import CPluginAPI
import Support

/// What a plugin says about itself, copied out of its library and checked.
package struct PluginDescriptor: Sendable, Equatable {
  package let id: String
  package let version: String
  package let title: String
  package let reference: String
  /// Lines `topic: text` that say what the loss means.
  package let card: String
  package let abiMajor: Int
  package let abiMinor: Int
  /// Checkpoints of another state version are refused; 0 where the plugin has no state.
  package let stateVersion: Int
  package let parameters: [PluginParameter]
  package let metrics: [PluginMetric]
}

/// A hyper-parameter of a plugin.
package struct PluginParameter: Sendable, Equatable {
  package enum Kind: String, Sendable { case real, integer, boolean, choice }

  package let name: String
  package let help: String
  package let kind: Kind
  package let minimum: Double
  package let maximum: Double
  package let preset: Double
  /// The names of a choice parameter's values, in order; otherwise empty.
  package let choices: [String]
  /// One preset for each choice of the plugin's first parameter; empty where the preset is the same under all of them.
  package let variantPresets: [Double]

  /// The preset where the plugin's first parameter has the given value.
  package func preset(underVariant variant: Double) -> Double {
    variantPresets.isEmpty ? preset : variantPresets[Int(variant)]
  }

  /// A value as a user writes it.
  package func text(_ value: Double) -> String {
    switch kind {
    case .real: Format.shortest(value)
    case .integer: String(Int(value))
    case .boolean: value == 0 ? "false" : "true"
    case .choice: choices[Int(value)]
    }
  }

  package func json(_ value: Double) -> JSON {
    switch kind {
    case .real: .number(value)
    case .integer: .integer(Int(value))
    case .boolean: .bool(value != 0)
    case .choice: .string(choices[Int(value)])
    }
  }
}

/// A number a plugin reports.
package struct PluginMetric: Sendable, Equatable {
  /// How the values of several calls become one.
  package enum Fold: String, Sendable { case mean, sum, minimum, maximum }

  package let name: String
  package let help: String
  package let fold: Fold
}

/// What an instance needs, known once it has its parameters.
package struct PluginNeeds: OptionSet, Sendable, Hashable {
  package let rawValue: UInt32
  package init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Log-probabilities under the frozen reference model.
  package static let reference = PluginNeeds(rawValue: 1 << 0)
  /// A value head, trained through the derivative by its values.
  package static let critic = PluginNeeds(rawValue: 1 << 1)
  /// The policy's entropy at each token.
  package static let entropy = PluginNeeds(rawValue: 1 << 2)
  /// Log-probabilities as the rollout engine computed them.
  package static let sampler = PluginNeeds(rawValue: 1 << 3)
  /// Groups that `select` drops are replaced by fresh ones.
  package static let refill = PluginNeeds(rawValue: 1 << 4)

  package static let known: [(need: PluginNeeds, name: String)] = [
    (.reference, "reference"), (.critic, "critic"), (.entropy, "entropy"), (.sampler, "sampler"), (.refill, "refill"),
  ]

  package var names: [String] { Self.known.filter { contains($0.need) }.map(\.name) }
}

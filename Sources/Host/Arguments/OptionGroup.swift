/// The heading under which help lists an option.
package struct OptionGroup: Sendable, Equatable {
  package let title: String

  package init(_ title: String) { self.title = title }

  package static let arguments = OptionGroup("Arguments")
  package static let model = OptionGroup("Model")
  package static let data = OptionGroup("Data")
  package static let sampling = OptionGroup("Sampling")
  package static let training = OptionGroup("Training")
  package static let output = OptionGroup("Output")
  package static let other = OptionGroup("Other")
}

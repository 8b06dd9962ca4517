/// One `key=value` of a repeated option such as `--set`.
package struct Assignment: Sendable, Equatable {
  package let key: String
  package let value: String

  package init(key: String, value: String) {
    self.key = key
    self.value = value
  }
}

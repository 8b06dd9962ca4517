/// Memory of a backend, given back when the last view of it goes. The address is the backend's: a host pointer on the
/// CPU, a device pointer on a GPU; only the backend that made it reads through it.
package final class Storage: Sendable {
  package let address: UInt
  package let byteCount: Int
  private let release: @Sendable (UInt, Int) -> Void

  package init(address: UInt, byteCount: Int, release: @escaping @Sendable (UInt, Int) -> Void) {
    self.address = address
    self.byteCount = byteCount
    self.release = release
  }

  deinit { release(address, byteCount) }
}

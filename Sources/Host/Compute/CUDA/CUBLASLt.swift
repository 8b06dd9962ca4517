import CCUDA
import Support
import Synchronization

/// NVIDIA's library of matrix products, for gradients of inputs, which no result is held against bit for bit: what a forward computes is
/// ours, so that a row is the same bits wherever it is computed.
///
/// What it computes is the same from run to run on one machine with one version of it.
@safe package final class CUBLASLt: @unchecked Sendable {
  /// As in "13.1".
  package let version: String
  private let table: nrc_blas
  private let handle: UnsafeMutableRawPointer?
  private let product: UnsafeMutableRawPointer?
  private let preference: UnsafeMutableRawPointer?
  private let plans = Mutex<[Shape: Plan]>([:])

  /// Bytes that a product may take besides its operands: NVIDIA's advice for Hopper.
  static let workspaceBytes = 32 << 20

  /// What addresses and strides of operands are multiples of, in bytes.
  static let alignment = 16

  private struct Shape: Hashable {
    let rows, outputs, inputs, strideOfGradient, strideOfResult: Int
    let isFloat, adds: Bool
  }

  /// What there is to know of a shape once.
  @safe private struct Plan: @unchecked Sendable {
    let weight, gradient, result: UnsafeMutableRawPointer?
    let algorithm: nrc_blas_algorithm
  }

  /// - Parameter library: for the context that is current.
  package init(_ library: DynamicLibrary) throws(Failure) {
    var table = nrc_blas()
    if let missing = unsafe nrc_load_blas(library.handle, &table) {
      throw .badData("\(library.path): lacks \(unsafe String(cString: missing))")
    }
    var handle: UnsafeMutableRawPointer?
    var product: UnsafeMutableRawPointer?
    var preference: UnsafeMutableRawPointer?
    unsafe (handle, product, preference) = (nil, nil, nil)
    var limit = Self.workspaceBytes
    var alignment = UInt32(Self.alignment)
    var status =
      unsafe [
        table.create(&handle), table.create_product(&product, Int32(NRC_BLAS_COMPUTE_FLOAT32), Int32(NRC_BLAS_FLOAT32)),
        table.create_preference(&preference), table.set_preference(preference, Int32(NRC_BLAS_WORKSPACE_LIMIT), &limit, MemoryLayout<Int>.size),
      ]
    for operand in 0..<4 {
      status.append(unsafe table.set_preference(preference, Int32(NRC_BLAS_ALIGNMENT_A + operand), &alignment, MemoryLayout<UInt32>.size))
    }
    guard let version = table.version, status.allSatisfy({ $0 == 0 }) else {
      throw .badData("\(library.path): does not start: status \(status)")
    }
    self.table = table
    unsafe (self.handle, self.product, self.preference) = unsafe (handle, product, preference)
    let number = version()
    // 130100 for 13.1, 120900 or 12.9's like of older ones.
    self.version = "\(number / 10_000).\(number % 10_000 / 100)"
  }

  deinit {
    for plan in plans.withLock({ $0.values }) {
      for unsafe layout in unsafe [plan.weight, plan.gradient, plan.result] { _ = unsafe table.destroy_layout(layout) }
    }
    _ = unsafe table.destroy_preference(preference)
    _ = unsafe table.destroy_product(product)
    _ = unsafe table.destroy(handle)
  }

  /// A matrix as cuBLASLt sees rows: columns of a matrix that is transposed.
  private func layout(_ type: Int, rows: Int, columns: Int, stride: Int) -> UnsafeMutableRawPointer? {
    var layout: UnsafeMutableRawPointer?
    unsafe layout = nil
    return unsafe table.create_layout(&layout, Int32(type), UInt64(columns), UInt64(rows), Int64(stride)) == 0 ? layout : nil
  }

  private func plan(_ shape: Shape) -> Plan? {
    plans.withLock { plans in
      if let plan = plans[shape] { return plan }
      let weight = unsafe layout(NRC_BLAS_BFLOAT16, rows: shape.outputs, columns: shape.inputs, stride: shape.inputs)
      let gradient = unsafe layout(NRC_BLAS_BFLOAT16, rows: shape.rows, columns: shape.outputs, stride: shape.strideOfGradient)
      let result = unsafe layout(
        shape.isFloat ? NRC_BLAS_FLOAT32 : NRC_BLAS_BFLOAT16, rows: shape.rows, columns: shape.inputs, stride: shape.strideOfResult)
      var choice = nrc_blas_choice()
      var found: Int32 = 0
      guard unsafe weight != nil, unsafe gradient != nil, unsafe result != nil,
        unsafe table.choose(handle, product, weight, gradient, result, result, preference, 1, &choice, &found) == 0, found > 0, choice.state == 0,
        choice.workspace_bytes <= Self.workspaceBytes
      else { return nil }
      let plan = unsafe Plan(weight: weight, gradient: gradient, result: result, algorithm: choice.algorithm)
      plans[shape] = plan
      return plan
    }
  }

  /// `dx [T, K] (+)= scale · dy [T, N] · w [N, K]` of bfloat16 operands, queued on a device; false where it takes no such shape.
  func inputGradient(
    _ dy: Tensor, _ weight: UInt64, outputs: Int, scale: Float, into dx: Tensor, adds: Bool, workspace: Storage, on device: any DeviceQueue
  ) -> Bool {
    let shape = Shape(
      rows: dx.rows, outputs: outputs, inputs: dx.columns, strideOfGradient: dy.stride, strideOfResult: dx.stride, isFloat: dx.element == .float32,
      adds: adds)
    guard let plan = plan(shape) else { return false }
    var (alpha, beta) = (scale, Float(adds ? 1 : 0))
    var algorithm = plan.algorithm
    func place(_ tensor: Tensor) -> nrc_address { nrc_address(tensor.storage.address) + UInt64(tensor.element.byteCount * tensor.offset) }
    unsafe device.queue("cuBLASLt") { stream in
      unsafe table.multiply(
        handle, product, &alpha, weight, plan.weight, place(dy), plan.gradient, &beta, place(dx), plan.result, place(dx), plan.result, &algorithm,
        nrc_address(workspace.address), Self.workspaceBytes, stream)
    }
    return true
  }
}

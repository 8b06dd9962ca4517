import Support

/// The text of all kernels, as it is compiled into the program.
package struct KernelSources: Sendable {
  /// A file of kernels.
  package struct File: Sendable {
    package let name: String
    package let text: String
    package let kernels: [Kernel]
  }

  /// What `KERNEL(threads, blocks) name(…)` says.
  package struct Kernel: Sendable {
    package let name: String
    /// Threads of a block.
    package let threads: Int
    /// Blocks that a multiprocessor holds at least.
    package let blocks: Int

    /// Registers that a thread may have.
    package var registerLimit: Int { min(255, 65536 / (threads * blocks) / 8 * 8) }
  }

  /// Headers that files include, by name.
  package let headers: [(name: String, text: String)]
  package let files: [File]

  package static let all = KernelSources(
    headers: [
      ("arguments.h", PackageResources.arguments_h), ("attention_arguments.h", PackageResources.attention_arguments_h),
      ("device.cuh", PackageResources.device_cuh), ("flash_arguments.h", PackageResources.flash_arguments_h),
      ("head_arguments.h", PackageResources.head_arguments_h), ("linear_arguments.h", PackageResources.linear_arguments_h),
      ("optimizer_arguments.h", PackageResources.optimizer_arguments_h), ("product.cuh", PackageResources.product_cuh),
      ("product_arguments.h", PackageResources.product_arguments_h),
      ("product_backward_arguments.h", PackageResources.product_backward_arguments_h),
      ("rows_arguments.h", PackageResources.rows_arguments_h), ("rows_bf16_arguments.h", PackageResources.rows_bf16_arguments_h),
      ("sampler.cuh", PackageResources.sampler_cuh), ("sampler_arguments.h", PackageResources.sampler_arguments_h),
      ("softmax.cuh", PackageResources.softmax_cuh), ("vocabulary.cuh", PackageResources.vocabulary_cuh),
      ("vocabulary_arguments.h", PackageResources.vocabulary_arguments_h), ("weights_arguments.h", PackageResources.weights_arguments_h),
    ],
    files: [
      ("attention.cu", PackageResources.attention_cu), ("flash.cu", PackageResources.flash_cu), ("head.cu", PackageResources.head_cu),
      ("linear.cu", PackageResources.linear_cu), ("optimizer.cu", PackageResources.optimizer_cu),
      ("product.cu", PackageResources.product_cu), ("product_backward.cu", PackageResources.product_backward_cu),
      ("product_nf4.cu", PackageResources.product_nf4_cu), ("rows.cu", PackageResources.rows_cu),
      ("rows_bf16.cu", PackageResources.rows_bf16_cu), ("sampler.cu", PackageResources.sampler_cu),
      ("sampler_tiles.cu", PackageResources.sampler_tiles_cu), ("vocabulary.cu", PackageResources.vocabulary_cu),
      ("weights.cu", PackageResources.weights_cu),
    ])

  package init(headers: [(String, [UInt8])], files: [(String, [UInt8])]) {
    self.headers = headers.map { (name: $0, text: String(decoding: $1, as: UTF8.self)) }
    self.files = files.map { name, bytes in
      let text = String(decoding: bytes, as: UTF8.self)
      return File(name: name, text: text, kernels: Self.kernels(in: text))
    }
  }

  /// Other files with the headers that these have.
  package func with(files: [(String, [UInt8])]) -> KernelSources {
    KernelSources(headers: headers.map { ($0.name, Array($0.text.utf8)) }, files: files)
  }

  /// Lines that begin with `KERNEL(`.
  private static func kernels(in text: String) -> [Kernel] {
    text.split(separator: "\n").compactMap { line in
      guard line.hasPrefix("KERNEL("), let close = line.firstIndex(of: ")") else { return nil }
      let numbers = line[line.index(line.startIndex, offsetBy: 7)..<close].split(separator: ",").compactMap { part in
        Int(part.filter { $0 != " " })
      }
      let name = line[line.index(after: close)...].drop { $0 == " " }.prefix { $0.isLetter || $0.isNumber || $0 == "_" }
      guard numbers.count == 2, !name.isEmpty else { return nil }
      return Kernel(name: String(name), threads: numbers[0], blocks: numbers[1])
    }
  }
}

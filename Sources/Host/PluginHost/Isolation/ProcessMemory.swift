import Support

/// What processes hold in memory, where the system tells.
enum ProcessMemory {
  /// Resident memory of a process and of all it has started, in MiB; 0 where the system does not tell.
  static func mebibytes(ofGroup leader: pid_t) -> Int {
    var bytes = 0
    var waiting = [leader]
    var seen: Set<pid_t> = []
    while let process = waiting.popLast() {
      guard seen.insert(process).inserted, seen.count < 1000 else { continue }
      if let numbers = try? Files.readText("/proc/\(process)/statm").split(separator: " "), numbers.count > 1, let pages = Int(numbers[1]) {
        bytes += pages * Int(getpagesize())
      }
      if let children = try? Files.readText("/proc/\(process)/task/\(process)/children") {
        waiting += children.split(whereSeparator: \.isWhitespace).compactMap { pid_t($0) }
      }
    }
    return bytes >> 20
  }
}

#if canImport(Glibc)
@_exported import Glibc
#elseif canImport(Musl)
@_exported import Musl
#elseif canImport(Darwin)
@_exported import Darwin
#endif

/// What the operating system said about the last failed call.
package func lastSystemError() -> String {
  unsafe String(cString: strerror(errno))
}

/// Bytes of memory that this machine has, or fewer where a container or a job's control group (cgroup 1 or 2) allows fewer.
package func physicalMemory() -> Int { memoryOfTheMachine }

/// Where the limits of control groups stand, by the text of `/proc/self/cgroup`: every group above limits a process too, and within a
/// container the path is often that of the host, and only the root is there.
package func memoryLimitFiles(_ groups: String) -> [String] {
  var limits: [String] = []
  for line in groups.split(separator: "\n") {
    let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
    guard fields.count == 3, fields[1] == "memory" || fields[0] == "0" else { continue }
    let (root, name) = fields[1] == "memory" ? ("/sys/fs/cgroup/memory", "memory.limit_in_bytes") : ("/sys/fs/cgroup", "memory.max")
    var parts = fields[2].split(separator: "/")
    while true {
      limits.append((root + parts.map { "/" + $0 }.joined()) + "/" + name)
      if parts.popLast() == nil { break }
    }
  }
  return limits
}

private let memoryOfTheMachine: Int = {
  let machine = Int(sysconf(Int32(_SC_PHYS_PAGES))) * Int(sysconf(Int32(_SC_PAGESIZE)))
  #if os(Linux)
  let limits = memoryLimitFiles((try? Files.readText("/proc/self/cgroup")) ?? "")
  let allowed = limits.compactMap { path in
    (try? Files.readText(path)).flatMap { text in Int(text.split(separator: "\n").first ?? "") }
  }
  return allowed.filter { $0 > 0 }.reduce(machine, min)
  #else
  return machine
  #endif
}()

/// Bytes of memory that this process has in use now.
package func residentBytes() -> Int {
  #if os(Linux)
    let fields = (try? Files.readText("/proc/self/statm").split(separator: " ")) ?? []
    return (fields.dropFirst().first.flatMap { Int($0) } ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE)))
  #else
    // The most it had.
    var usage = rusage()
    unsafe getrusage(RUSAGE_SELF, &usage)
    return Int(usage.ru_maxrss)
  #endif
}

/// The value of an environment variable, nil when it is not set or empty.
package func environmentVariable(_ name: String) -> String? {
  guard let value = unsafe getenv(name) else { return nil }
  let text = unsafe String(cString: value)
  return text.isEmpty ? nil : text
}

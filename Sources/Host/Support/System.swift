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

/// Bytes of memory of the machine.
package func physicalMemory() -> Int { Int(sysconf(Int32(_SC_PHYS_PAGES))) * Int(sysconf(Int32(_SC_PAGESIZE))) }

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

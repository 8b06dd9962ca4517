import Support
import Testing

@Suite struct SystemTests {
  @Test(arguments: [
    ("0::/\n", ["/sys/fs/cgroup/memory.max"]),
    ("0::/a/b\n", ["/sys/fs/cgroup/a/b/memory.max", "/sys/fs/cgroup/a/memory.max", "/sys/fs/cgroup/memory.max"]),
    (
      "4:memory:/job\n1:cpu:/\n0::/\n",
      ["/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max"]
    ),
    ("nonsense\n\n", []), ("", []),
  ])
  func aControlGroupsLimitsAreThoseOfAllAboveIt(_ groups: String, expected: [String]) {
    #expect(memoryLimitFiles(groups) == expected)
  }

  @Test func aHelperThatIsForgottenDoesNotStayInTheTableOfProcesses() throws {
    func start() throws -> pid_t {
      let helper = try HelperProcess(["sh", "-c", "echo $$"], log: nil)
      return try #require(helper.readLine(within: 30).flatMap { pid_t($0) })
    }
    let process = try start()
    // A process that has ended and that nobody has waited for can still be signalled.
    let watch = Stopwatch()
    while kill(process, 0) == 0, watch.seconds < 20 { usleep(10_000) }
    #expect(kill(process, 0) != 0)
  }

  @Test func aHelperThatRunsHasNotEndedAndOneThatIsToldToEndHas() throws {
    let helper = try HelperProcess(["sleep", "60"], log: nil)
    #expect(!helper.ends(within: 0.05))
    helper.terminate()
    #expect(helper.ends(within: 20))
  }
}

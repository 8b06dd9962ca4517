import Support

/// A request that is being worked on.
struct OpenRequest {
  let number: Int
  let request: GenerationRequest
  /// Tokens a completion of it may have.
  let limit: Int
  /// Where its prompt lies; nil before it is read.
  var promptSlot: Int32?
  var nextSample = 0
  var unfinished: Int
}

/// A place for a completion that is about to start.
struct Admission {
  let request: Int
  let sample: Int
  let slot: Int32
  let promptSlot: Int32
  /// Whether its prompt has to be read first.
  let isFirst: Bool
}

/// Which completion runs in which slot: requests in order, samples of a request next to each other, a finished sequence
/// leaves its slot to the next and the last of a request its prompt's. It knows nothing of models.
struct Scheduler {
  private(set) var requests: [Int: OpenRequest] = [:]
  /// Requests with samples still to start, in order.
  private var queue: [Int] = []
  private var head = 0
  private var freeSlots: [Int32]
  private var freePromptSlots: [Int32]
  private let slots: Int
  private var added = 0

  /// Tokens of prompts that are read at once, one prompt at least: a stop waits no longer.
  private static let promptRows = 2048

  init(slots: Int, promptSlots: Int) {
    self.slots = slots
    freeSlots = (0..<Int32(slots)).reversed()
    freePromptSlots = (0..<Int32(promptSlots)).reversed()
  }

  mutating func add(_ request: GenerationRequest, limit: Int) -> Int {
    defer { added += 1 }
    if request.samples > 0 {
      requests[added] = OpenRequest(number: added, request: request, limit: limit, unfinished: request.samples)
      queue.append(added)
    }
    return added
  }

  var hasPending: Bool { head < queue.count }

  /// Slots are filled an eighth at a time, so that prompts are read several at once.
  func shouldAdmit(active: Int) -> Bool {
    guard hasPending else { return false }
    if requests[queue[head]]?.promptSlot == nil, freePromptSlots.isEmpty { return false }
    return active == 0 || freeSlots.count >= max(1, slots / 8)
  }

  mutating func admit() -> [Admission] {
    var admitted: [Admission] = []
    var rows = 0
    while hasPending, let slot = freeSlots.last {
      let number = queue[head]
      guard var open = requests[number] else { break }
      let isFirst = open.promptSlot == nil
      if isFirst {
        if rows > 0, rows + open.request.prompt.count > Self.promptRows { break }
        guard let free = freePromptSlots.popLast() else { break }
        open.promptSlot = free
        rows += open.request.prompt.count
      }
      freeSlots.removeLast()
      admitted.append(
        Admission(request: number, sample: open.nextSample, slot: slot, promptSlot: open.promptSlot ?? 0, isFirst: isFirst))
      open.nextSample += 1
      requests[number] = open
      if open.nextSample == open.request.samples {
        head += 1
        if head == queue.count { (queue, head) = ([], 0) }
      }
    }
    return admitted
  }

  /// A sequence is finished.
  mutating func release(_ slot: Int32, of number: Int) {
    freeSlots.append(slot)
    guard var open = requests[number] else { return }
    open.unfinished -= 1
    if open.unfinished == 0 {
      if let slot = open.promptSlot { freePromptSlots.append(slot) }
      requests[number] = nil
    } else {
      requests[number] = open
    }
  }
}

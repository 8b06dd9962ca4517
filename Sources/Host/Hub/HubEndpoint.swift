import Support

/// Which hub is asked, and in whose name.
package struct HubEndpoint: Sendable {
  package let address: String
  package let token: String?
  /// Where the token comes from, for messages.
  package let tokenSource: String?
  /// Where a token would be looked for.
  package let tokenFile: String

  package init(address: String, token: String? = nil, tokenSource: String? = nil, tokenFile: String = HubCache.home + "/token") {
    var address = address[...]
    while address.hasSuffix("/") { address = address.dropLast() }
    self.address = String(address)
    self.token = token
    self.tokenSource = tokenSource
    self.tokenFile = tokenFile
  }

  /// `$HF_ENDPOINT` or huggingface.co, with the token of `$HF_TOKEN`, `$HUGGING_FACE_HUB_TOKEN`, or of the file that logging in writes.
  package static func user() throws(Failure) -> HubEndpoint {
    let address = environmentVariable("HF_ENDPOINT") ?? "https://huggingface.co"
    guard address.hasPrefix("https://") || address.hasPrefix("http://") else {
      throw .usage("HF_ENDPOINT: expected an address that begins with https:// or http://, found \(address.debugDescription)")
    }
    for name in ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"] {
      if let token = environmentVariable(name).map(Self.cleaned), !token.isEmpty { return HubEndpoint(address: address, token: token, tokenSource: "$\(name)") }
    }
    let file = environmentVariable("HF_TOKEN_PATH") ?? HubCache.home + "/token"
    guard Files.exists(file), case let token = Self.cleaned(try Files.readText(file)), !token.isEmpty else {
      return HubEndpoint(address: address, tokenFile: file)
    }
    return HubEndpoint(address: address, token: token, tokenSource: file, tokenFile: file)
  }

  /// A line end in a header would be a header of its own.
  private static func cleaned(_ token: String) -> String { String(token.filter { !$0.isWhitespace && !$0.isNewline && $0.isASCII }) }

  func information(_ kind: HubName.Kind, _ name: HubName) -> String {
    "\(address)/api/\(kind.plural)/\(name.repository)/revision/\(Self.escaped(name.revision ?? "main", keeping: ""))?blobs=true"
  }

  func file(_ kind: HubName.Kind, _ name: HubName, commit: String, _ path: String) -> String {
    "\(address)/\(kind == .dataset ? "datasets/" : "")\(name.repository)/resolve/\(commit)/\(Self.escaped(path, keeping: "/"))"
  }

  func page(_ kind: HubName.Kind, _ name: HubName) -> String { "\(address)/\(kind == .dataset ? "datasets/" : "")\(name.repository)" }

  func names(_ kind: HubName.Kind, of owner: String) -> String { "\(address)/api/\(kind.plural)?author=\(owner)&limit=200" }

  private static func escaped(_ text: String, keeping kept: String) -> String {
    let digits = Array("0123456789ABCDEF")
    return text.utf8.map { byte in
      let scalar = Character(Unicode.Scalar(byte))
      let isPlain = byte < 0x80 && (scalar.isLetter || scalar.isNumber || "-._~".contains(scalar) || kept.contains(scalar))
      return isPlain ? String(scalar) : "%\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
    }.joined()
  }
}

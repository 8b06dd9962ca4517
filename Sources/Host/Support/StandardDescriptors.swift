/// Standard input, output and error as a program may take them for granted.
package enum StandardDescriptors {
  /// Opens those that are closed on `/dev/null`: the next file that is opened would take the place of one, and be written what is
  /// meant for the screen. To be called before anything else.
  package static func open() {
    for descriptor: Int32 in 0...2 where fcntl(descriptor, F_GETFD) < 0 && errno == EBADF {
      // The lowest free number is the one that is missing.
      let opened = unsafe Support.open("/dev/null", O_RDWR)
      if opened >= 0, opened != descriptor {
        dup2(opened, descriptor)
        close(opened)
      }
    }
  }
}

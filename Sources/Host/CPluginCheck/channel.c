#define _GNU_SOURCE
#include "nr_check.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* Descriptors of a child are set in order: one that stood where another is to be put would be lost. */
static int high(int descriptor) {
  if (descriptor < 0) return descriptor;
  int moved = fcntl(descriptor, F_DUPFD_CLOEXEC, 10), number = errno;
  close(descriptor);
  errno = number;
  return moved;
}

int nr_channel(int ends[2]) {
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) return -1;
  for (int i = 0; i < 2; i++) ends[i] = high(ends[i]);
  return ends[0] < 0 || ends[1] < 0 ? -1 : 0;
}

int nr_shared_file(void) {
#ifdef __linux__
  return high(memfd_create("nano-reasoner", MFD_CLOEXEC));
#else
  char path[1024];
  const char *folder = getenv("TMPDIR");
  snprintf(path, sizeof path, "%s/nano-reasoner-XXXXXX", folder ? folder : "/tmp");
  int file = mkstemp(path);
  if (file >= 0) unlink(path);
  return high(file);
#endif
}

long nr_send(int socket, const void *bytes, size_t count) {
#ifdef MSG_NOSIGNAL
  return send(socket, bytes, count, MSG_NOSIGNAL);
#else
  return send(socket, bytes, count, 0);
#endif
}

static void *watch(void *of) {
  /* Without events only a closed end is told. */
  struct pollfd end = { .fd = (int)(intptr_t)of, .events = 0 };
  while (!(end.revents & (POLLHUP | POLLERR | POLLNVAL))) poll(&end, 1, -1);
  /* A moment for what ends by itself. */
  usleep(500000);
  kill(0, SIGKILL);
  _exit(0);
}

void nr_end_with(int socket) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, watch, (void *)(intptr_t)socket) == 0) pthread_detach(thread);
}

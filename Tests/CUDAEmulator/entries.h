/* entries.h - what libcuda's entry points have in common. */
#pragma once
#include "emulator.h"

typedef int CUresult;
typedef u64 CUdeviceptr;
#pragma GCC visibility push(hidden)
extern bool initialised;
extern __thread Device *current __attribute__((tls_model("initial-exec"), visibility("hidden")));

struct Locked {
  Locked() { pthread_mutex_lock(&driver_lock); }
  ~Locked() { pthread_mutex_unlock(&driver_lock); }
};
#define ENTER                                \
  Locked locked;                             \
  if (!initialised) return NOT_INITIALIZED
/* `d` is the device of this thread's current context; an error that it keeps is what every call gives. */
#define ENTER_CONTEXT                                  \
  ENTER;                                               \
  Device *d = current;                                 \
  if (!d) return INVALID_CONTEXT;                      \
  if (!d->retained) return CONTEXT_IS_DESTROYED;       \
  at_work = d;                                         \
  if (d->sticky) return d->sticky
/* ... of a call that a capture forbids */
#define ENTER_UNSAFE                             \
  ENTER_CONTEXT;                                 \
  if (int forbidden = unsafe_call()) return forbidden

Stream *stream_of(Device *d, Stream *handle);
#define STREAM_OF(handle)                            \
  Stream *s = stream_of(d, handle);                  \
  if (!s) return INVALID_HANDLE;                     \
  if (s->device->sticky) return s->device->sticky

CUresult put_in(Stream *s, Work *w);
int shared_of_block(void);
int shared_of_multiprocessor(void);
int threads_of_multiprocessor(void);
void unload(Module *m);
#pragma GCC visibility pop

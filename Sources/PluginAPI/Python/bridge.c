/* A loss written in Python as a plugin like any other: this library with the author's file behind its own bytes (bridge.h). What the plugin
   says of itself stands there too, so that describing it needs no interpreter; the first instance starts one, $NR_PYTHON or python3, as a
   child process of whatever process has opened the library. Arrays go through memory that both map, calls through a socket.

   An interpreter is started as a program, not opened as a library: most have no libpython beside them, and what it does to its process it
   does not do to the host's. */
#define _GNU_SOURCE
#include "bridge.h"
#include "nr_plugin.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ---- what stands behind the library's bytes ---- */

typedef struct reader { const unsigned char *at, *end; int failed; } reader;

static void take(reader *r, void *out, size_t size) {
  if (r->failed || (size_t)(r->end - r->at) < size) { r->failed = 1; memset(out, 0, size); return; }
  memcpy(out, r->at, size);
  r->at += size;
}

static uint64_t take_number(reader *r) { uint64_t n; take(r, &n, sizeof n); return n; }
static double take_real(reader *r) { double d; take(r, &d, sizeof d); return d; }

/* A copy that lives as long as the library. */
static char *take_text(reader *r) {
  uint64_t length = take_number(r);
  if (r->failed || (uint64_t)(r->end - r->at) < length) { r->failed = 1; return NULL; }
  char *text = malloc(length + 1);
  if (!text) { r->failed = 1; return NULL; }
  memcpy(text, r->at, length);
  text[length] = 0;
  r->at += length;
  return text;
}

static nr_plugin table;
static const char *problem = "libnr-python is no plugin by itself: give the path of a Python file, as in --algo my_loss.py";
static char *helper, *source_path, *source;
static size_t metric_count, parameter_count;

static void *rows(reader *r, uint64_t count, size_t size) {
  if (r->failed || count > 1024) { r->failed = 1; return NULL; }
  void *rows = calloc(count + 1, size);
  if (!rows) r->failed = 1;
  return rows;
}

static int understand(reader *r, int *has_select, int *has_state) {
  helper = take_text(r);
  source_path = take_text(r);
  source = take_text(r);
  *has_select = take_number(r) != 0;
  *has_state = take_number(r) != 0;
  table.id = take_text(r);
  table.version = take_text(r);
  table.title = take_text(r);
  table.reference = take_text(r);
  table.card = take_text(r);
  table.state_version = (uint32_t)take_number(r);
  parameter_count = take_number(r);
  nr_parameter *parameters = rows(r, parameter_count, sizeof *parameters);
  for (size_t i = 0; !r->failed && i < parameter_count; i++) {
    parameters[i].name = take_text(r);
    parameters[i].help = take_text(r);
    parameters[i].kind = (int32_t)take_number(r);
    parameters[i].minimum = take_real(r);
    parameters[i].maximum = take_real(r);
    parameters[i].preset = take_real(r);
    uint64_t choices = take_number(r);
    const char **names = choices ? rows(r, choices, sizeof *names) : NULL;
    for (uint64_t c = 0; !r->failed && c < choices; c++) names[c] = take_text(r);
    parameters[i].choices = names;
  }
  metric_count = take_number(r);
  nr_metric *metrics = rows(r, metric_count, sizeof *metrics);
  for (size_t i = 0; !r->failed && i < metric_count; i++) {
    metrics[i].name = take_text(r);
    metrics[i].help = take_text(r);
    metrics[i].fold = (int32_t)take_number(r);
  }
  table.parameters = parameters;
  table.metrics = metrics;
  table.parameter_count = (uint32_t)parameter_count;
  table.metric_count = (uint32_t)metric_count;
  return !r->failed;
}

/* ---- the interpreter ---- */

/* All calls of a process go to one interpreter, one at a time. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pid_t process;
static int connection = -1, memory_file = -1;
static unsigned char *memory;
static size_t mapped;
static uint64_t generation;                                 /* of the interpreter: an instance belongs to one */
static int64_t instances;

static nr_status refuse(nr_error *error, nr_status status, const char *format, ...) {
  if (error) {
    va_list values;
    va_start(values, format);
    vsnprintf(error->message, sizeof error->message, format, values);
    va_end(values);
  }
  return status;
}

/* Never one of the first ten: those have places of their own in children. */
static int high(int descriptor) {
  if (descriptor < 0) return descriptor;
  int moved = fcntl(descriptor, F_DUPFD_CLOEXEC, 10);
  close(descriptor);
  return moved;
}

static int shared_file(void) {
#ifdef __linux__
  return high(memfd_create("nr-python", MFD_CLOEXEC));
#else
  char path[1024];
  const char *folder = getenv("TMPDIR");
  snprintf(path, sizeof path, "%s/nr-python-XXXXXX", folder ? folder : "/tmp");
  int file = mkstemp(path);
  if (file >= 0) unlink(path);
  return high(file);
#endif
}

static void forget(void) {
  if (memory) munmap(memory, mapped);
  if (connection >= 0) close(connection);
  if (memory_file >= 0) close(memory_file);
  memory = NULL;
  mapped = 0;
  connection = memory_file = -1;
  process = 0;
}

/* Room for so many bytes; the interpreter maps anew when the number in the mapping is another than it knew. */
static int grow(size_t bytes) {
  if (bytes <= mapped) return 1;
  size_t size = (bytes + (1u << 20)) & ~(size_t)((1u << 20) - 1);
  if (ftruncate(memory_file, (off_t)size)) return 0;
  void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory_file, 0);
  if (at == MAP_FAILED) return 0;
  if (memory) munmap(memory, mapped);
  memory = at;
  mapped = size;
  return 1;
}

static nr_status hello(nr_error *error);

static nr_status start(nr_error *error) {
  int ends[2] = { -1, -1 };
  if (process) return NR_OK;
  memory_file = shared_file();
  if (memory_file < 0 || !grow(NRPY_DATA) || socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) {
    int number = errno;
    forget();
    return refuse(error, NR_INTERNAL, "cannot make what is shared with Python: %s", strerror(number));
  }
  connection = high(ends[0]);
  int other = high(ends[1]);
  const char *python = getenv("NR_PYTHON");
  if (!python || !*python) python = "python3";
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, 2, 1);         /* what the author prints is for the terminal, not for results */
  posix_spawn_file_actions_adddup2(&actions, other, 3);
  posix_spawn_file_actions_adddup2(&actions, memory_file, 4);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  char *const words[] = { (char *)python, (char *)"-I", (char *)"-c", helper, (char *)"serve", NULL };
  int status = posix_spawnp(&process, python, &actions, &attributes, words, environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  close(other);
  if (status) {
    process = 0;
    forget();
    return refuse(error, NR_INTERNAL, "cannot start %s: %s; a loss in Python needs an interpreter: install one or set NR_PYTHON", python, strerror(status));
  }
  generation++;
  return hello(error);
}

static int64_t *numbers(void) { return (int64_t *)memory; }

/* How the interpreter ended. */
static nr_status ended(nr_error *error) {
  int status = 0, waited = 0;
  pid_t found;
  /* One that has closed its end and goes on is of no use. */
  while ((found = waitpid(process, &status, WNOHANG)) == 0 && waited++ < 100) usleep(10000);
  if (found == 0) {
    kill(process, SIGKILL);
    while (waitpid(process, &status, 0) < 0 && errno == EINTR) {}
  }
  forget();
  if (WIFSIGNALED(status))
    return refuse(error, NR_INTERNAL, "%s: its Python process ended by signal %d (%s)", source_path, WTERMSIG(status), strsignal(WTERMSIG(status)));
  return refuse(error, NR_INTERNAL, "%s: its Python process ended with exit code %d", source_path, WEXITSTATUS(status));
}

/* Lets the interpreter do what stands in the mapping. */
static nr_status call(nr_error *error) {
  char byte = 1;
  ssize_t count;
#ifdef MSG_NOSIGNAL
  while ((count = send(connection, &byte, 1, MSG_NOSIGNAL)) < 0 && errno == EINTR) {}
#else
  while ((count = send(connection, &byte, 1, 0)) < 0 && errno == EINTR) {}
#endif
  if (count == 1) while ((count = recv(connection, &byte, 1, 0)) < 0 && errno == EINTR) {}
  if (count != 1) return ended(error);
  nr_status status = (nr_status)numbers()[NRPY_STATUS];
  if (status != NR_OK) {
    memory[NRPY_MESSAGE + NRPY_MESSAGE_BYTES - 1] = 0;
    refuse(error, status, "%s", (const char *)memory + NRPY_MESSAGE);
  }
  return status;
}

/* ---- calls: sizes first, then arrays ---- */

typedef struct instance { int64_t number; uint64_t generation; uint32_t needs, stops; } instance;

typedef struct array { int slot; const void *from; void *to; size_t bytes; } array;

/* Lays arrays out, copies those that have a source, calls, and copies those back that have a destination. With the lock held. */
static nr_status exchange(int64_t what, const int64_t *header, const array *arrays, size_t count, nr_error *error) {
  size_t bytes = NRPY_DATA, offsets[NRPY_SLOT_COUNT];
  for (size_t i = 0; i < count; i++) {
    offsets[i] = bytes;
    bytes += (arrays[i].bytes + 63) & ~(size_t)63;
  }
  if (!grow(bytes)) return refuse(error, NR_NO_SPACE, "no memory for %zu bytes shared with Python: %s", bytes, strerror(errno));
  int64_t *at = numbers();
  memcpy(at, header, NRPY_SLOTS * sizeof *at);
  at[NRPY_CALL] = what;
  at[NRPY_BYTES] = (int64_t)mapped;
  at[NRPY_STATUS] = NR_INTERNAL;
  at[NRPY_METRICS] = (int64_t)metric_count;
  for (int slot = 0; slot < NRPY_SLOT_COUNT; slot++) at[NRPY_SLOTS + slot] = -1;
  for (size_t i = 0; i < count; i++) {
    at[NRPY_SLOTS + arrays[i].slot] = (int64_t)offsets[i];
    if (arrays[i].from && arrays[i].bytes) memcpy(memory + offsets[i], arrays[i].from, arrays[i].bytes);
  }
  nr_status status = call(error);
  if (status != NR_OK) return status;
  for (size_t i = 0; i < count; i++)
    if (arrays[i].to && arrays[i].bytes) memcpy(arrays[i].to, memory + offsets[i], arrays[i].bytes);
  return NR_OK;
}

/* The author's file and the metrics that it was found to have, the first thing an interpreter is given. */
static nr_status hello(nr_error *error) {
  size_t bytes = 0;
  for (size_t i = 0; i < metric_count; i++) bytes += strlen(table.metrics[i].name) + 3;
  char *names = calloc(bytes + 1, 1), *at = names;
  if (!names) return refuse(error, NR_NO_SPACE, "no memory");
  for (size_t i = 0; i < metric_count; i++) {
    at = stpcpy(at, table.metrics[i].name) + 1;
    *at = (char)('0' + table.metrics[i].fold);
    at += 2;
  }
  int64_t header[NRPY_SLOTS] = {
    [NRPY_SIZE] = (int64_t)strlen(source_path), [NRPY_TOKENS] = (int64_t)strlen(source), [NRPY_GROUPS] = (int64_t)bytes };
  array arrays[] = { { NRPY_STATE, source_path, NULL, strlen(source_path) }, { NRPY_REWARD_NAMES, source, NULL, strlen(source) },
                     { NRPY_METRIC_VALUES, names, NULL, bytes } };
  nr_status status = exchange(NRPY_HELLO, header, arrays, 3, error);
  free(names);
  if (status != NR_OK && process) {                         /* what it cannot load it will not load next time */
    kill(process, SIGKILL);
    while (waitpid(process, NULL, 0) < 0 && errno == EINTR) {}
    forget();
  }
  return status;
}

static void add(array *arrays, size_t *count, int slot, const void *from, void *to, size_t bytes) {
  arrays[(*count)++] = (array){ slot, from, to, bytes };
}

/* An array that the caller may have left out. */
static void add_if(array *arrays, size_t *count, int slot, const void *from, size_t bytes) {
  if (from) add(arrays, count, slot, from, NULL, bytes);
}

static nr_status with_instance(instance *self, nr_error *error) {
  if (process && self->generation == generation) return NR_OK;
  return refuse(error, NR_INTERNAL, "%s: its Python process has ended", source_path);
}

static nr_status create(const nr_host *host, const double *parameters, void **out, nr_error *error) {
  if (!out || (host && host->struct_size < NR_HOST_1_0)) return refuse(error, NR_BAD_ARGUMENT, "nr_host is smaller than version 1.0's");
  *out = NULL;
  for (size_t i = 0; i < parameter_count; i++) {
    const nr_parameter *p = &table.parameters[i];
    double value = parameters[i];
    if (!(value >= p->minimum && value <= p->maximum) || (p->kind != NR_REAL && value != (double)(int64_t)value))
      return refuse(error, NR_BAD_PARAMETER, "%s is %g, expected %s from %g to %g", p->name, value, p->kind == NR_REAL ? "a number" : "a whole number",
                    p->minimum, p->maximum);
  }
  instance *self = calloc(1, sizeof *self);
  if (!self) return refuse(error, NR_NO_SPACE, "no memory for an instance");
  pthread_mutex_lock(&lock);
  nr_status status = start(error);
  if (status == NR_OK) {
    int64_t header[NRPY_SLOTS] = { 0 };
    self->number = header[NRPY_INSTANCE] = ++instances;
    self->generation = generation;
    array arrays[] = { { NRPY_PARAMETERS, parameters, NULL, parameter_count * sizeof *parameters } };
    status = exchange(NRPY_CREATE, header, arrays, 1, error);
    if (status == NR_OK) {
      self->needs = (uint32_t)numbers()[NRPY_NEEDS];
      self->stops = (uint32_t)numbers()[NRPY_STOPS];
    }
  }
  pthread_mutex_unlock(&lock);
  if (status == NR_OK) *out = self; else free(self);
  return status;
}

static void destroy(void *of) {
  instance *self = of;
  if (!self) return;
  pthread_mutex_lock(&lock);
  if (process && self->generation == generation) {
    int64_t header[NRPY_SLOTS] = { [NRPY_INSTANCE] = self->number };
    exchange(NRPY_DESTROY, header, NULL, 0, NULL);
  }
  pthread_mutex_unlock(&lock);
  free(self);
}

static uint32_t needs(const void *of) { return of ? ((const instance *)of)->needs : 0; }
static uint32_t stops(const void *of) { return of ? ((const instance *)of)->stops : 0; }

/* The names one after another, each with its NUL; free it. */
static char *joined(const char *const *names, uint32_t count, size_t *bytes) {
  *bytes = 0;
  for (uint32_t i = 0; i < count; i++) *bytes += strlen(names[i]) + 1;
  char *text = malloc(*bytes + 1), *at = text;
  for (uint32_t i = 0; text && i < count; i++) at = stpcpy(at, names[i]) + 1;
  return text;
}

static nr_status rollout_call(int64_t what, instance *self, const nr_rollout *r, array *outputs, size_t output_count, nr_error *error) {
  array arrays[NRPY_SLOT_COUNT];
  size_t count = 0, tokens = (size_t)r->token_count * sizeof(float), names_bytes;
  char *names = joined(r->reward_names, r->reward_names ? r->reward_count : 0, &names_bytes);
  if (!names) return refuse(error, NR_NO_SPACE, "no memory");
  add(arrays, &count, NRPY_GROUP_KEYS, r->group_keys, NULL, r->group_count * sizeof *r->group_keys);
  add(arrays, &count, NRPY_GROUP_OFFSETS, r->group_offsets, NULL, (r->group_count + 1u) * sizeof *r->group_offsets);
  add(arrays, &count, NRPY_TOKEN_OFFSETS, r->token_offsets, NULL, (r->sequence_count + 1u) * sizeof *r->token_offsets);
  add(arrays, &count, NRPY_REWARDS, r->rewards, NULL, r->sequence_count * sizeof *r->rewards);
  add(arrays, &count, NRPY_REWARD_PARTS, r->reward_parts, NULL, (size_t)r->sequence_count * r->reward_count * sizeof *r->reward_parts);
  add(arrays, &count, NRPY_REWARD_NAMES, names, NULL, names_bytes);
  add(arrays, &count, NRPY_FLAGS, r->sequence_flags, NULL, r->sequence_count);
  if (what == NRPY_ADVANTAGES) {
    add_if(arrays, &count, NRPY_OLD, r->old, tokens);
    add_if(arrays, &count, NRPY_REFERENCE, r->reference, tokens);
    add_if(arrays, &count, NRPY_VALUES, r->values, tokens);
  }
  for (size_t i = 0; i < output_count; i++) arrays[count++] = outputs[i];
  int64_t header[NRPY_SLOTS] = {
    [NRPY_INSTANCE] = self->number, [NRPY_SEQUENCES] = r->sequence_count, [NRPY_TOKENS] = r->token_count, [NRPY_GROUPS] = r->group_count,
    [NRPY_PARTS] = r->reward_count, [NRPY_STEP] = (int64_t)r->step, [NRPY_TOTAL_STEPS] = (int64_t)r->total_steps,
    [NRPY_SEED] = (int64_t)r->seed, [NRPY_TOKEN_LIMIT] = r->token_limit, [NRPY_SIZE] = (int64_t)names_bytes };
  pthread_mutex_lock(&lock);
  nr_status status = with_instance(self, error);
  if (status == NR_OK) status = exchange(what, header, arrays, count, error);
  pthread_mutex_unlock(&lock);
  free(names);
  return status;
}

static nr_status select_groups(void *self, const nr_rollout *rollout, uint8_t *keep, nr_error *error) {
  if (!rollout || rollout->struct_size < NR_ROLLOUT_1_0) return refuse(error, NR_BAD_ARGUMENT, "nr_rollout is smaller than version 1.0's");
  array output = { NRPY_KEEP, NULL, keep, rollout->group_count };
  return rollout_call(NRPY_SELECT, self, rollout, &output, 1, error);
}

static nr_status advantages(void *of, const nr_rollout *rollout, nr_advantages *result, nr_value *metrics, nr_error *error) {
  instance *self = of;
  if (!rollout || rollout->struct_size < NR_ROLLOUT_1_0) return refuse(error, NR_BAD_ARGUMENT, "nr_rollout is smaller than version 1.0's");
  if (!result || result->struct_size < NR_ADVANTAGES_1_0) return refuse(error, NR_BAD_ARGUMENT, "nr_advantages is smaller than version 1.0's");
  size_t tokens = (size_t)rollout->token_count * sizeof(float), count = 0;
  array outputs[4];
  add(outputs, &count, NRPY_OUT_ADVANTAGES, NULL, result->advantages, tokens);
  if (self->needs & NR_NEEDS_CRITIC) add(outputs, &count, NRPY_OUT_RETURNS, NULL, result->returns, tokens);
  if (NR_HAS(result, nr_advantages, counted)) add(outputs, &count, NRPY_COUNTED, result->counted, result->counted, rollout->sequence_count);
  if (metric_count) add(outputs, &count, NRPY_METRIC_VALUES, metrics, metrics, metric_count * sizeof *metrics);
  return rollout_call(NRPY_ADVANTAGES, self, rollout, outputs, count, error);
}

static nr_status loss(void *of, const nr_batch *b, nr_gradients *result, nr_value *metrics, nr_error *error) {
  instance *self = of;
  if (!b || b->struct_size < NR_BATCH_1_0) return refuse(error, NR_BAD_ARGUMENT, "nr_batch is smaller than version 1.0's");
  if (!result || result->struct_size < NR_GRADIENTS_1_0) return refuse(error, NR_BAD_ARGUMENT, "nr_gradients is smaller than version 1.0's");
  size_t tokens = (size_t)b->token_count * sizeof(float), count = 0;
  array arrays[NRPY_SLOT_COUNT];
  add(arrays, &count, NRPY_TOKEN_OFFSETS, b->token_offsets, NULL, (b->sequence_count + 1u) * sizeof *b->token_offsets);
  add(arrays, &count, NRPY_IDS, b->sequence_ids, NULL, b->sequence_count * sizeof *b->sequence_ids);
  add_if(arrays, &count, NRPY_CURRENT, b->current, tokens);
  add_if(arrays, &count, NRPY_OLD, b->old, tokens);
  add_if(arrays, &count, NRPY_ADVANTAGE_INPUT, b->advantages, tokens);
  if (self->needs & NR_NEEDS_REFERENCE) add_if(arrays, &count, NRPY_REFERENCE, b->reference, tokens);
  if (self->needs & NR_NEEDS_SAMPLER) add_if(arrays, &count, NRPY_SAMPLER, b->sampler, tokens);
  add(arrays, &count, NRPY_D_CURRENT, NULL, result->d_current, tokens);
  if (self->needs & NR_NEEDS_ENTROPY) {
    add_if(arrays, &count, NRPY_ENTROPY, b->entropy, tokens);
    add(arrays, &count, NRPY_D_ENTROPY, NULL, result->d_entropy, tokens);
  }
  if (self->needs & NR_NEEDS_CRITIC) {
    add_if(arrays, &count, NRPY_VALUES, b->values, tokens);
    add_if(arrays, &count, NRPY_OLD_VALUES, b->old_values, tokens);
    add_if(arrays, &count, NRPY_RETURNS, b->returns, tokens);
    add(arrays, &count, NRPY_D_VALUES, NULL, result->d_values, tokens);
  }
  if (metric_count) add(arrays, &count, NRPY_METRIC_VALUES, metrics, metrics, metric_count * sizeof *metrics);
  int64_t header[NRPY_SLOTS] = {
    [NRPY_INSTANCE] = self->number, [NRPY_SEQUENCES] = b->sequence_count, [NRPY_TOKENS] = b->token_count, [NRPY_STEP] = (int64_t)b->step,
    [NRPY_TOKEN_LIMIT] = b->token_limit, [NRPY_EPOCH] = b->epoch, [NRPY_MINIBATCH] = b->minibatch, [NRPY_UPDATE_TOKENS] = b->update_tokens,
    [NRPY_UPDATE_SEQUENCES] = b->update_sequences, [NRPY_UPDATE_GROUPS] = b->update_groups };
  pthread_mutex_lock(&lock);
  nr_status status = with_instance(self, error);
  if (status == NR_OK) status = exchange(NRPY_LOSS_CALL, header, arrays, count, error);
  if (status == NR_OK) memcpy(&result->loss, &numbers()[NRPY_LOSS], sizeof result->loss);
  pthread_mutex_unlock(&lock);
  return status;
}

/* Python writes the state where there is room and says its size in any case. */
static nr_status save(void *of, void *bytes, size_t capacity, size_t *size, nr_error *error) {
  instance *self = of;
  *size = 0;
  int64_t header[NRPY_SLOTS] = { [NRPY_INSTANCE] = self->number, [NRPY_SIZE] = (int64_t)capacity };
  array arrays[] = { { NRPY_STATE, NULL, NULL, capacity } };
  pthread_mutex_lock(&lock);
  nr_status status = with_instance(self, error);
  if (status == NR_OK) status = exchange(NRPY_SAVE, header, arrays, 1, error);
  if (status == NR_OK) {
    *size = (size_t)numbers()[NRPY_SIZE];
    if (*size > capacity) status = NR_NO_SPACE;
    else if (*size) memcpy(bytes, memory + numbers()[NRPY_SLOTS + NRPY_STATE], *size);
  }
  pthread_mutex_unlock(&lock);
  return status;
}

static nr_status restore(void *of, const void *bytes, size_t size, nr_error *error) {
  instance *self = of;
  int64_t header[NRPY_SLOTS] = { [NRPY_INSTANCE] = self->number, [NRPY_SIZE] = (int64_t)size };
  array arrays[] = { { NRPY_STATE, bytes, NULL, size } };
  pthread_mutex_lock(&lock);
  nr_status status = with_instance(self, error);
  if (status == NR_OK) status = exchange(NRPY_RESTORE, header, arrays, 1, error);
  pthread_mutex_unlock(&lock);
  return status;
}

static const nr_stopped_gradients stopped = { sizeof stopped, stops };

static const void *extension(const char *id) { return strcmp(id, NR_STOPPED_GRADIENTS) ? NULL : &stopped; }

/* ---- opening ---- */

/* While the library is being opened: its file may be gone when the entry is called. */
__attribute__((constructor)) static void read_payload(void) {
  Dl_info place;
  unsigned char footer[16];
  struct stat status;
  uint64_t length = 0;
  if (!dladdr((void *)read_payload, &place) || !place.dli_fname) return;
  int file = open(place.dli_fname, O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  if (fstat(file, &status) == 0 && status.st_size > (off_t)sizeof footer && pread(file, footer, sizeof footer, status.st_size - 16) == 16
      && memcmp(footer + 8, NRPY_MAGIC, 8) == 0) {
    memcpy(&length, footer, 8);
    unsigned char *payload = length && length < (uint64_t)status.st_size - 16 ? malloc(length) : NULL;
    problem = "its description behind the library is damaged";
    if (payload && pread(file, payload, length, status.st_size - 16 - (off_t)length) == (ssize_t)length) {
      reader r = { payload, payload + length, 0 };
      int has_select = 0, has_state = 0;
      if (understand(&r, &has_select, &has_state)) {
        problem = NULL;
        if (has_select) table.select = select_groups;
        if (has_state) { table.save = save; table.restore = restore; }
      }
    }
    free(payload);
  }
  close(file);
}

NR_EXPORT const nr_plugin *nr_plugin_entry(uint32_t host_major, uint32_t host_minor) {
  (void)host_minor;
  if (host_major != NR_ABI_MAJOR) return NULL;
  if (problem) {
    fprintf(stderr, "%s\n", problem);
    return NULL;
  }
  table.magic = NR_MAGIC;
  table.struct_size = sizeof table;
  table.abi_major = NR_ABI_MAJOR;
  table.abi_minor = NR_ABI_MINOR;
  table.create = create;
  table.destroy = destroy;
  table.needs = needs;
  table.advantages = advantages;
  table.loss = loss;
  table.extension = extension;
  return &table;
}

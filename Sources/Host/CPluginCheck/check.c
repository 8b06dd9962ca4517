#define _GNU_SOURCE
#include "nr_check.h"
#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

enum { SLOTS = 1024, TEXT = 96 };
typedef struct region { uintptr_t start, end; char what[TEXT]; } region;

/* A signal handler has nothing but globals to look at. */
static region regions[SLOTS];
static int target = 2;
static const char *const calls[] = { "", "create", "destroy", "select", "advantages", "loss", "save", "restore" };
static atomic_int stage;
static char alternate_stack[65536];

static size_t append(char *line, size_t length, size_t capacity, const char *text) {
  while (*text && length < capacity) line[length++] = *text++;
  return length;
}

static size_t append_number(char *line, size_t length, size_t capacity, uint64_t value, unsigned base) {
  char digits[24];
  size_t count = 0;
  do digits[count++] = "0123456789abcdef"[value % base]; while ((value /= base) && count < sizeof digits);
  while (count && length < capacity) line[length++] = digits[--count];
  return length;
}

/* Where the instruction stood that a signal interrupted. */
static uintptr_t instruction(void *context) {
#if defined(__linux__) && defined(__x86_64__)
  return (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
#elif defined(__linux__) && defined(__aarch64__)
  return (uintptr_t)((ucontext_t *)context)->uc_mcontext.pc;
#else
  (void)context;
  return 0;
#endif
}

static void report(int number, siginfo_t *info, void *context) {
  char line[1024] = "signal\t";
  size_t length = 7;
  if (number >= 10) line[length++] = (char)('0' + number / 10);
  line[length++] = (char)('0' + number % 10);
  line[length++] = '\t';
  length = append(line, length, 120, calls[atomic_load(&stage)]);
  line[length++] = '\t';
  if (number == SIGSEGV || number == SIGBUS) {
    uintptr_t address = (uintptr_t)info->si_addr;
    for (int slot = 0; slot < SLOTS; slot++)
      if (regions[slot].end > regions[slot].start && address >= regions[slot].start && address < regions[slot].end) {
        length = append(line, length, 300, regions[slot].what);
        break;
      }
  }
  line[length++] = '\t';
  /* Of a raised signal the place is in the C library and says nothing. */
  Dl_info place;
  uintptr_t counter = instruction(context);
  if (counter && info->si_code > 0 && dladdr((void *)counter, &place) && place.dli_fname) {
    length = append(line, length, sizeof line - 32, place.dli_fname);
    line[length++] = '\t';
    length = append_number(line, length, sizeof line - 1, counter - (uintptr_t)place.dli_fbase, 16);
  }
  line[length++] = '\n';
  if (write(target, line, length) < 0) _exit(70);
  /* SA_RESETHAND has put the default back: the faulting instruction runs again and ends the process by its signal. */
  if (info->si_code <= 0) raise(number);
}

static const int fatal[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP };
enum { FATAL = sizeof fatal / sizeof *fatal };
/* What was done about them before. */
static struct sigaction before[FATAL];

static void install(void (*handler)(int, siginfo_t *, void *), int flags) {
  stack_t stack = { .ss_sp = alternate_stack, .ss_size = sizeof alternate_stack };
  sigaltstack(&stack, NULL);
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | flags;
  for (size_t i = 0; i < FATAL; i++) sigaction(fatal[i], &action, &before[i]);
}

void nr_check_install(int descriptor) {
  target = descriptor;
  install(report, (int)SA_RESETHAND);
}

/* ---- in a run ---- */

static char plugin_name[TEXT];
static atomic_ullong run_step;
static atomic_int run_is_inside;

static void say(const char *what) {
  char line[512] = "\nnano-reasoner: plugin ";
  size_t length = strlen(line), most = sizeof line - 1;
  length = append(line, length, most, plugin_name);
  length = append(line, length, most, ": ");
  length = append(line, length, most, calls[atomic_load(&stage)]);
  length = append(line, length, most, " of step ");
  length = append_number(line, length, most, atomic_load(&run_step), 10);
  length = append(line, length, most, what);
  length = append(line, length, most, "; see nano-reasoner plugin check ");
  length = append(line, length, most, plugin_name);
  length = append(line, length, most, "; a run goes on from its last checkpoint with --resume\n");
  if (write(2, line, length) < 0) return;
}

static void run_signal(int number, siginfo_t *info, void *context) {
  (void)context;
  if (atomic_load(&run_is_inside)) {
    say(number == SIGSEGV ? " ended the program by SIGSEGV" : number == SIGBUS ? " ended the program by SIGBUS"
        : number == SIGILL ? " ended the program by SIGILL (a trap)" : number == SIGFPE ? " ended the program by SIGFPE"
        : number == SIGABRT ? " ended the program by abort()" : " ended the program by SIGTRAP (a trap)");
  }
  /* As without us: the instruction runs again and ends the process, with a backtrace where the runtime makes one. */
  for (size_t i = 0; i < FATAL; i++) if (fatal[i] == number) sigaction(number, &before[i], NULL);
  if (info->si_code <= 0) raise(number);
}

static void run_exit(void) {
  if (!atomic_load(&run_is_inside)) return;
  say(" called exit()");
  _exit(70);
}

void nr_run_install(void) {
  install(run_signal, 0);
  atexit(run_exit);
  at_quick_exit(run_exit);
}

void nr_run_enter(const char *plugin, int call, uint64_t step) {
  strncpy(plugin_name, plugin, TEXT - 1);
  plugin_name[TEXT - 1] = 0;
  atomic_store(&stage, call);
  atomic_store(&run_step, step);
  atomic_store(&run_is_inside, 1);
}

void nr_run_leave(void) {
  atomic_store(&run_is_inside, 0);
  atomic_store(&stage, 0);
}

void nr_check_stage(int call) { atomic_store(&stage, call); }

int nr_check_guard(const void *start, const void *end, const char *what) {
  for (int slot = 0; slot < SLOTS; slot++)
    if (regions[slot].end == 0) {
      strncpy(regions[slot].what, what, TEXT - 1);
      regions[slot].what[TEXT - 1] = 0;
      regions[slot].start = (uintptr_t)start;
      regions[slot].end = (uintptr_t)end;
      return slot;
    }
  return -1;
}

void nr_check_release(int slot) {
  if (slot >= 0 && slot < SLOTS) regions[slot].start = regions[slot].end = 0;
}

size_t nr_check_heap(void) {
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
  struct mallinfo2 heap = mallinfo2();
  return heap.uordblks + heap.hblkhd;
#else
  return 0;
#endif
}

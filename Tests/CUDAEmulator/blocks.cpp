/* blocks.cpp - runs a launch: blocks one after another (or on several host threads), the threads of a block as fibres of one host
   thread. A fibre runs until it must wait: at a meeting of its warp, at a barrier. */
#include "emulator.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

__thread Processor *cpu __attribute__((tls_model("initial-exec")));
__thread nr_place nr_here __attribute__((tls_model("initial-exec")));
Counts totals;

u64 nanoseconds() {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (u64)t.tv_sec * 1000000000ull + (u64)t.tv_nsec;
}

/* ---- fibres ------------------------------------------------------------------------------------------------------------ */

/* Saves the registers that a call keeps and the stack pointer, takes those of another stack. */
extern "C" void nr_switch(void **save, void *load);
#if defined(__x86_64__)
asm(".text\n.globl nr_switch\n.hidden nr_switch\n.type nr_switch,@function\nnr_switch:\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp, (%rdi)\nmovq %rsi, %rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n.size nr_switch,.-nr_switch\n");
static void *first_frame(u64 top, void (*begin)()) {
  u64 *sp = (u64 *)top;
  *--sp = 0;
  *--sp = (u64)begin;
  return sp - 6;
}
static void redirect(ucontext_t *u, void (*to)(), u64 top) {
  u->uc_mcontext.gregs[REG_RIP] = (greg_t)to, u->uc_mcontext.gregs[REG_RSP] = (greg_t)(top - 8);
}
#elif defined(__aarch64__)
asm(".text\n.globl nr_switch\n.hidden nr_switch\n.type nr_switch,%function\nnr_switch:\n"
    "sub sp, sp, #160\nstp x19, x20, [sp]\nstp x21, x22, [sp, #16]\nstp x23, x24, [sp, #32]\nstp x25, x26, [sp, #48]\n"
    "stp x27, x28, [sp, #64]\nstp x29, x30, [sp, #80]\n"
    "stp d8, d9, [sp, #96]\nstp d10, d11, [sp, #112]\nstp d12, d13, [sp, #128]\nstp d14, d15, [sp, #144]\n"
    "mov x9, sp\nstr x9, [x0]\nmov sp, x1\n"
    "ldp x19, x20, [sp]\nldp x21, x22, [sp, #16]\nldp x23, x24, [sp, #32]\nldp x25, x26, [sp, #48]\n"
    "ldp x27, x28, [sp, #64]\nldp x29, x30, [sp, #80]\n"
    "ldp d8, d9, [sp, #96]\nldp d10, d11, [sp, #112]\nldp d12, d13, [sp, #128]\nldp d14, d15, [sp, #144]\n"
    "add sp, sp, #160\nret\n.size nr_switch,.-nr_switch\n");
static void *first_frame(u64 top, void (*begin)()) {
  u64 *sp = (u64 *)top - 20;
  sp[10] = 0, sp[11] = (u64)begin; /* x29, x30 */
  return sp;
}
static void redirect(ucontext_t *u, void (*to)(), u64 top) { u->uc_mcontext.pc = (u64)to, u->uc_mcontext.sp = top; }
#else
#error "the emulator runs on x86-64 and arm64"
#endif

/* The top of a thread's stack. Stacks begin at different cache sets, else 32 lanes fight over one. */
static u64 stack_top(Processor *p, int i) { return ((u64)p->stacks + (u64)(i + 1) * STACK - (u64)(i % 32) * 1088 - 64) & ~15ull; }

static Fibre *pick(Processor *p, int warp, int from) {
  u32 ready = p->warps[warp].ready, turned = ready >> from | (from ? ready << (32 - from) : 0);
  return p->fibres + warp * 32 + ((__builtin_ctz(turned) + from) & 31);
}
static Fibre *first_ready(Processor *p) {
  for (int i = 0; i < p->warp_count; i++)
    if (p->warps[p->order[i]].ready) return pick(p, p->order[i], p->lane_rotation);
  return NULL;
}
/* The next fibre that can run: of this warp first, so that its stacks stay in the cache. */
static Fibre *next_ready(Processor *p, Fibre *f) {
  if (p->warps[f->warp].ready) return pick(p, f->warp, (f->lane + 1) & 31);
  return first_ready(p);
}
static inline void go(Processor *p, Fibre *to) {
  Fibre *from = self();
  if (to == from) return;
  p->counts.switches++;
  nr_here.thread = to;
  nr_switch(&from->sp, to->sp);
}
void leave(Processor *p) { nr_switch(&self()->sp, p->scheduler_sp); }
void abandon(Processor *p) {
  p->failed = true;
  leave(p);
  abort();
}
static void wait(Processor *p, Fibre *f) { /* f's status is set; run someone else until f is ready again */
  p->warps[f->warp].ready &= ~(1u << f->lane);
  Fibre *to = next_ready(p, f);
  if (to) go(p, to);
  else leave(p);
}
static u32 random_of(Processor *p) { return (p->random = p->random * 1664525u + 1013904223u) >> 8; }

void check_time(Processor *p) {
  if (nanoseconds() < p->deadline) return;
  report(LAUNCH_TIMEOUT, "time-out: the kernel has run for more than %d seconds (NREMU_TIMEOUT)", settings.timeout);
  abandon(p);
}

/* ---- meetings and barriers --------------------------------------------------------------------------------------------- */

/* All lanes that are still there have come. */
static void complete(Processor *p, Warp *w, int index) {
  u32 mask = w->arrived;
  if (UNLIKELY(w->kind & NR_WHOLE && mask != 0xffffffffu)) {
    report(LAUNCH_FAILED, "%s needs all 32 lanes of its warp", w->name);
    abandon(p);
  }
  if (w->kind & NR_ORDERS) w->orders++;
  if (UNLIKELY(p->noted >> index & 1)) settle_banks(p, index);
  w->operation(w->arguments, mask);
  w->arrived = 0;
  for (u32 rest = mask; rest; rest &= rest - 1) p->fibres[index * 32 + __builtin_ctz(rest)].status = READY;
  w->ready |= mask;
}
void nr_meet(void (*operation)(void *const *, u32), void *arguments, u32 mask, int kind, const char *name) {
  Processor *p = cpu;
  Fibre *f = self();
  Warp *w = p->warps + f->warp;
  if (UNLIKELY(!(++p->counts.meetings & 0x3fff))) check_time(p);
  if (!w->arrived) w->operation = operation, w->mask = mask, w->kind = kind, w->name = name;
  else if (UNLIKELY(w->operation != operation || w->mask != mask)) {
    report(LAUNCH_FAILED, "a warp parts: this lane is at %s, another at %s", name, w->name);
    abandon(p);
  }
  w->arguments[f->lane] = arguments;
  w->arrived |= 1u << f->lane;
  if (w->arrived == (w->mask & w->alive)) {
    complete(p, w, f->warp);
    return;
  }
  f->status = MEETING, f->waiting = name;
  wait(p, f);
}
void nr_missing_lane(int lane, int source, const char *name) {
  nr_thread *caller = nr_here.thread;
  nr_here.thread = cpu->fibres + (self()->warp * 32 + lane);
  report(LAUNCH_FAILED, "%s reads lane %d, which is not there", name, source);
  nr_here.thread = caller;
}

static void release_barrier(Processor *p) {
  p->at_barrier = 0;
  for (int i = 0; i < p->threads; i++) {
    Fibre *f = p->fibres + i;
    if (f->status == AT_BARRIER) f->status = READY, p->warps[f->warp].ready |= 1u << f->lane;
  }
  p->epoch++;
  for (u32 rest = p->noted; rest; rest &= rest - 1) settle_banks(p, __builtin_ctz(rest));
}
void nr_barrier() {
  Processor *p = cpu;
  Fibre *f = self();
  tick(p);
  f->status = AT_BARRIER, f->waiting = "barrier";
  if (++p->at_barrier == p->alive) {
    release_barrier(p);
    go(p, first_ready(p)); /* whoever comes first in the order, not the last to arrive */
    return;
  }
  wait(p, f);
}

/* Before an atomic operation another thread may run: the schedule chooses who. So whoever waits by atomic operations does not keep
   those back for whom it waits. */
void nr_atomic(const void *address, size_t bytes, const char *name) {
  Processor *p = cpu;
  Fibre *f = self();
  tick(p);
  int from = f->warp + 1, lane = (int)(p->turn++ & 31);
  if (settings.schedule) from = (int)(random_of(p) % (u32)p->warp_count), lane = (int)(random_of(p) & 31);
  for (int i = 0; i < p->warp_count; i++) {
    int w = (from + i) % p->warp_count;
    if (!p->warps[w].ready) continue;
    go(p, pick(p, w, lane));
    break;
  }
  nr_check(address, bytes, NR_ANYWHERE, NR_ATOMIC, name);
}

/* ---- cp.async: what is copied is read and written when it is waited for ------------------------------------------------------ */

void nr_copy_async(void *shared, const void *global, int bytes, int existing) {
  Processor *p = cpu;
  Fibre *f = self();
  if (existing) nr_check(global, (size_t)existing, NR_GLOBAL, NR_LOAD, "cp.async");
  if (UNLIKELY(settings.check)) copy_begins(p, (const u8 *)shared, (u64)bytes);
  if (f->copy_count == f->copy_room) {
    f->copy_room = f->copy_room ? 2 * f->copy_room : 64;
    f->copies = (Copy *)realloc(f->copies, sizeof(Copy) * (size_t)f->copy_room);
  }
  f->copies[f->copy_count++] = {(u8 *)shared, global, bytes, existing, f->copy_group};
}
void nr_copy_commit() { self()->copy_group++; }
void nr_copy_wait(int pending) {
  Fibre *f = self();
  int done = 0, last = f->copy_group - pending;
  while (done < f->copy_count && f->copies[done].group < last) {
    Copy *c = f->copies + done++;
    copy_ends(cpu, c->to, (u64)c->bytes);
    memset(c->to, 0, (size_t)c->bytes);
    memcpy(c->to, c->from, (size_t)c->existing);
  }
  memmove(f->copies, f->copies + done, sizeof(Copy) * (size_t)(f->copy_count - done));
  f->copy_count -= done;
}

/* ---- a block ----------------------------------------------------------------------------------------------------------- */

static void run_thread() {
  Processor *p = cpu;
  p->launch->function->entry(p->launch->parameters);
  Fibre *f = self();
  if (f->copy_count) {
    report(LAUNCH_FAILED, "%d asynchronous copies were never waited for", f->copy_count);
    f->copy_count = 0;
  }
  f->status = DONE;
  Warp *w = p->warps + f->warp;
  w->ready &= ~(1u << f->lane), w->alive &= ~(1u << f->lane);
  p->alive--;
  if (w->arrived && w->arrived == (w->mask & w->alive)) complete(p, w, f->warp);
  if (p->at_barrier && p->at_barrier == p->alive) release_barrier(p);
  Fibre *to = next_ready(p, f);
  if (to) go(p, to);
  leave(p);
  abort();
}

static void *pages(u64 bytes) {
  void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) { perror("nremu: mmap"); abort(); }
  return p;
}
static Processor *make_processor() {
  Processor *p = (Processor *)calloc(1, sizeof *p);
  u64 stacks = (u64)MAX_THREADS * STACK, fibres = sizeof(Fibre) * MAX_THREADS, room = SHARED_MAX + 2 * SHARED_PAD;
  p->stacks = (u8 *)pages(stacks + fibres);
  p->fibres = (Fibre *)(p->stacks + stacks);
  p->own_begin = (u64)p->stacks, p->own_end = p->own_begin + stacks + fibres;
  p->shared_memory = (u8 *)pages(room);
  p->shared = p->shared_memory + SHARED_PAD;
  p->words = (Touch *)pages(sizeof(Touch) * SHARED_MAX / 4);
  p->bytes = (Touch *)pages(sizeof(Touch) * SHARED_MAX);
  p->written = (u8 *)pages(SHARED_MAX);
  p->log = (Access *)pages(sizeof(Access) * LOGGED * MAX_THREADS);
  p->signal_stack = pages(64 << 10);
  return p;
}
/* Below each stack lies a page that cannot be touched. */
static void guard_stacks(Processor *p) {
  u64 page = (u64)sysconf(_SC_PAGESIZE);
  for (; p->guarded < p->threads; p->guarded++) mprotect(p->stacks + (u64)p->guarded * STACK, page, PROT_NONE);
}

static void run_block(Processor *p, nr_uint3 block, u64 number) {
  p->warp_count = (p->threads + 31) / 32, p->alive = p->threads, p->at_barrier = 0, p->failed = false, p->turn = 0;
  nr_here.block_index = block;
  p->epoch++;
  memset(p->shared, 0xFF, p->shared_bytes); /* NaN in every format */
  if (UNLIKELY(settings.check)) memset(p->written, 0, p->shared_bytes), memset(p->logged, 0, sizeof p->logged);
  for (int w = 0; w < p->warp_count; w++) p->order[w] = w;
  p->lane_rotation = 0;
  if (settings.schedule) {
    p->random = (u32)(number * 2654435761u) ^ settings.schedule;
    for (int w = p->warp_count - 1; w > 0; w--) {
      int other = (int)(random_of(p) % (u32)(w + 1)), t = p->order[w];
      p->order[w] = p->order[other], p->order[other] = t;
    }
    p->lane_rotation = (int)(random_of(p) >> 12 & 31);
  }
  for (int w = 0; w < p->warp_count; w++) {
    int lanes = p->threads - w * 32 < 32 ? p->threads - w * 32 : 32;
    Warp *warp = p->warps + w;
    warp->ready = warp->alive = lanes == 32 ? 0xffffffffu : (1u << lanes) - 1;
    warp->arrived = 0, warp->orders = 0;
  }
  for (int i = 0; i < p->threads; i++) {
    Fibre *f = p->fibres + i;
    f->status = READY, f->copy_count = f->copy_group = 0;
    f->sp = first_frame(stack_top(p, i), run_thread);
  }
  while (p->alive && !p->failed) {
    Fibre *first = first_ready(p);
    if (!first) {
      int at_barrier = 0, meeting = 0;
      for (int i = 0; i < p->threads; i++) at_barrier += p->fibres[i].status == AT_BARRIER, meeting += p->fibres[i].status == MEETING;
      for (int i = 0; i < p->threads; i++) {
        Fibre *f = p->fibres + i;
        if (f->status != MEETING && f->status != AT_BARRIER) continue;
        nr_here.thread = f;
        report(LAUNCH_TIMEOUT, "deadlock: waits at %s; %d threads wait at a barrier, %d for their warp, %d have returned", f->waiting,
               at_barrier, meeting, p->threads - p->alive);
        break;
      }
      break;
    }
    nr_here.thread = first;
    nr_switch(&p->scheduler_sp, first->sp);
    nr_here.thread = NULL;
  }
  for (u32 rest = p->noted; rest; rest &= rest - 1) settle_banks(p, __builtin_ctz(rest));
}

/* ---- faults of a kernel: a wild address, a division by zero, a full stack ------------------------------------------------------ */

static const int fault_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
static struct sigaction fault_before[4];

static void after_fault() { /* on the thread's own stack again, which nobody needs any more */
  Processor *p = cpu;
  Fibre *f = self();
  u64 into = p->fault_address - (u64)p->stacks;
  int signal = p->fault;
  p->fault = 0;
  if (signal == SIGFPE) report(LAUNCH_FAILED, "an integer is divided by zero");
  else if (signal == SIGILL) report(ILLEGAL_INSTRUCTION, "a trap");
  else if (into / STACK == (u64)f->index) report(ILLEGAL_ADDRESS, "the thread's stack is full (%d KB)", STACK >> 10);
  else if (p->fault_address) report(ILLEGAL_ADDRESS, "the kernel touches %#llx, which is no device address", p->fault_address);
  else report(ILLEGAL_ADDRESS, "the kernel touches address 0, or one that is not aligned");
  abandon(p);
}
static void on_fault(int signal, siginfo_t *info, void *context) {
  Processor *p = cpu;
  if (!p || !nr_here.thread || p->fault) { /* not of a kernel: what was there before shall see it again */
    for (int i = 0; i < 4; i++)
      if (fault_signals[i] == signal) sigaction(signal, fault_before + i, NULL);
    return;
  }
  p->fault = signal, p->fault_address = (u64)info->si_addr;
  redirect((ucontext_t *)context, after_fault, stack_top(p, self()->index));
}
static void watch_faults() {
  struct sigaction action = {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  for (int i = 0; i < 4; i++) sigaction(fault_signals[i], &action, fault_before + i);
}
static void unwatch_faults() {
  for (int i = 0; i < 4; i++) sigaction(fault_signals[i], fault_before + i, NULL);
}

/* ---- a launch ---------------------------------------------------------------------------------------------------------- */

struct Share { Device *device; const Launch *launch; Processor *processor; u64 *next, blocks, step, offset, deadline; };
enum { HOST_THREADS = 64 };
static Processor *processors[HOST_THREADS];

static u64 divisor(u64 a, u64 b) { return b ? divisor(b, a % b) : a; }

static void *work(void *context) {
  Share *s = (Share *)context;
  const Launch *l = s->launch;
  Processor *p = s->processor;
  stack_t alternative = {}, before;
  alternative.ss_sp = p->signal_stack, alternative.ss_size = 64 << 10;
  sigaltstack(&alternative, &before);
  cpu = p;
  nr_here.shared = p->shared, nr_here.block_size = l->block, nr_here.grid_size = l->grid;
  p->launch = l, p->threads = (int)(l->block.x * l->block.y * l->block.z), p->shared_bytes = l->shared;
  p->device_begin = s->device->begin, p->deadline = s->deadline;
  memset(p->recent, 0, sizeof p->recent);
  guard_stacks(p);
  for (int i = 0; i < p->threads; i++) {
    Fibre *f = p->fibres + i;
    u32 x = l->block.x, y = l->block.y;
    f->index = i, f->warp = i / 32, f->lane = i % 32;
    f->thread_index = {(u32)i % x, (u32)i / x % y, (u32)i / x / y};
  }
  for (;;) {
    u64 n = __atomic_fetch_add(s->next, 1, __ATOMIC_RELAXED);
    if (n >= s->blocks || __atomic_load_n(&s->device->sticky, __ATOMIC_RELAXED)) break;
    u64 b = (n * s->step + s->offset) % s->blocks;
    run_block(p, {(u32)(b % l->grid.x), (u32)(b / l->grid.x % l->grid.y), (u32)(b / l->grid.x / l->grid.y)}, b);
  }
  cpu = NULL;
  sigaltstack(&before, NULL);
  return NULL;
}

/* With NREMU_STATISTICS=1, what each kernel did. */
static struct Summary { char name[128]; u64 launches, blocks, threads, nanoseconds; Counts counts; } summaries[512];
static int summary_count;

static void add(Counts *to, const Counts *from) {
  to->switches += from->switches, to->meetings += from->meetings;
  to->matrix_loads += from->matrix_loads, to->matrix_conflicts += from->matrix_conflicts;
  to->shared_accesses += from->shared_accesses, to->shared_conflicts += from->shared_conflicts;
}
static void summarize(const Launch *l, u64 blocks, u64 time, const Counts *counts) {
  int i = 0;
  while (i < summary_count && strcmp(summaries[i].name, l->function->name)) i++;
  if (i == 512) return;
  if (i == summary_count) memcpy(summaries[summary_count++].name, l->function->name, sizeof summaries[i].name);
  Summary &s = summaries[i];
  s.launches++, s.blocks += blocks, s.threads += blocks * l->block.x * l->block.y * l->block.z, s.nanoseconds += time;
  add(&s.counts, counts);
}
void print_statistics() {
  if (!summary_count) return;
  fprintf(stderr, "nremu: %-32s %9s %9s %11s %9s %11s %11s %9s %11s %9s\n", "kernel", "launches", "blocks", "threads", "ms", "meetings",
          "ldmatrix", "conflicts", "shared", "conflicts");
  for (int i = 0; i < summary_count; i++) {
    const Summary &s = summaries[i];
    fprintf(stderr, "nremu: %-32s %9llu %9llu %11llu %9.1f %11llu %11llu %9llu %11llu %9llu\n", s.name, s.launches, s.blocks, s.threads,
            (double)s.nanoseconds * 1e-6, s.counts.meetings, s.counts.matrix_loads, s.counts.matrix_conflicts, s.counts.shared_accesses,
            s.counts.shared_conflicts);
  }
}
__attribute__((destructor)) static void at_exit() {
  if (settings.statistics) print_statistics();
}

void run(Device *d, const Launch *l) {
  u64 blocks = (u64)l->grid.x * l->grid.y * l->grid.z, begin = nanoseconds(), next = 0, step = 1, offset = 0;
  if (settings.schedule && blocks < 1ull << 32) { /* blocks in another order too */
    offset = settings.schedule * 2654435761ull % blocks, step = settings.schedule % blocks + 1;
    while (divisor(step, blocks) != 1) step++;
  }
  int n = settings.threads < 1 ? 1 : settings.threads > HOST_THREADS ? HOST_THREADS : settings.threads;
  if ((u64)n > blocks) n = (int)blocks;
  pthread_t threads[HOST_THREADS];
  Share shares[HOST_THREADS];
  u64 deadline = settings.timeout > 0 ? begin + (u64)settings.timeout * 1000000000ull : ~0ull;
  watch_faults();
  for (int i = 0; i < n; i++) {
    if (!processors[i]) processors[i] = make_processor();
    shares[i] = {d, l, processors[i], &next, blocks, step, offset, deadline};
    if (i && pthread_create(threads + i, NULL, work, shares + i)) n = i;
  }
  work(shares);
  for (int i = 1; i < n; i++) pthread_join(threads[i], NULL);
  unwatch_faults();
  Counts counts = {};
  for (int i = 0; i < n; i++) {
    add(&counts, &processors[i]->counts);
    processors[i]->counts = Counts();
  }
  add(&totals, &counts);
  if (settings.statistics) summarize(l, blocks, nanoseconds() - begin, &counts);
}

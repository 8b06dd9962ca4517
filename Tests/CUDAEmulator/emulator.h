/* emulator.h - what the parts of the emulator share.

   errors.cpp    settings, reports of mistakes, names of error codes
   memory.cpp    device memory, pinned host memory
   blocks.cpp    fibres, meetings, barriers, asynchronous copies, a launch
   checks.cpp    what is seen of a kernel's accesses: bounds, unwritten memory, races, bank conflicts
   streams.cpp   queues, events, capture, graphs
   driver_*.cpp  libcuda's entry points; entries.h is theirs
   compiler.cpp  libnvrtc's entry points
   cublaslt.cpp  libcublasLt's entry points, and a product, which is a launch

   One lock is held by every entry point of the driver, so the parts behind it need none; a kernel may run on several host threads,
   which touch nothing but their own Processor, memory that the kernel writes, and reports. */
#pragma once
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;
#define NREMU_RUNTIME 1
#include "nremu.h"

#define EXPORT extern "C" __attribute__((visibility("default")))
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#pragma GCC visibility push(hidden)

/* ---- errors.cpp -------------------------------------------------------------------------------------------------------- */

enum Code : int {
  OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_DEVICE = 101, INVALID_IMAGE = 200,
  INVALID_CONTEXT = 201, NO_BINARY_FOR_GPU = 209, INVALID_HANDLE = 400, ILLEGAL_STATE = 401, NOT_FOUND = 500, NOT_READY = 600,
  ILLEGAL_ADDRESS = 700, OUT_OF_RESOURCES = 701, LAUNCH_TIMEOUT = 702, CONTEXT_IS_DESTROYED = 709, ILLEGAL_INSTRUCTION = 715,
  MISALIGNED_ADDRESS = 716, LAUNCH_FAILED = 719, NOT_SUPPORTED = 801, CAPTURE_UNSUPPORTED = 900, CAPTURE_INVALIDATED = 901,
  CAPTURE_UNMATCHED = 903, CAPTURE_ISOLATION = 905, CAPTURE_IMPLICIT = 906, CAPTURED_EVENT = 907, CAPTURE_WRONG_THREAD = 908,
};

struct Settings {
  int check, threads, eager, devices, capability, driver, timeout, statistics;
  u32 schedule;
  u64 memory, fail_allocation;
};
extern Settings settings;
void read_settings(void); /* once */

/* Says a mistake on standard error and keeps the first. With a code, the device at work keeps it too, as a GPU does: every later call
   on that device gives it. */
struct Device;
extern Device *at_work;
extern int error_count;
extern char first_error[1024];
__attribute__((format(printf, 2, 3))) void report(int code, const char *form, ...);
void forget_errors(void);

/* ---- memory.cpp -------------------------------------------------------------------------------------------------------- */

enum : u64 { PAGE = 4096, GAP = 512 /* between allocations */ };
enum : u8 { UNKNOWN, WRITTEN = 2 }; /* state of a byte of device memory; of an unknown one the list of allocations tells more */
struct Allocation { u64 start, end; }; /* offsets in the arena */

extern u8 *arena, *state; /* all devices' memory, one range each, and one byte of state for every byte of it */
extern u64 arena_bytes, device_bytes;
static inline bool in_arena(const void *p) { return (u64)p - (u64)arena < arena_bytes; }
static inline u64 offset_of(const void *p) { return (u64)p - (u64)arena; }

bool open_arena(void);
u64 allocate(Device *d, u64 bytes); /* an address, or 0 */
bool release(Device *d, u64 address);
void release_all(Device *d);
const Allocation *allocation_at(u64 offset);
const char *whose(u64 offset, char *text, size_t room); /* what lies at an offset that no allocation holds */
void begin_checks(void); /* all that is allocated counts as written */

struct Pinned { u8 *start; u64 bytes; u32 device_writes; Device *device; };
u8 *pin(Device *d, u64 bytes);
bool unpin(void *p);
void unpin_all(Device *d);
u64 pinned_count(Device *d);
Pinned *pinned_at(const void *p, u64 bytes);

/* ---- blocks.cpp -------------------------------------------------------------------------------------------------------- */

enum { MAX_THREADS = 1024, STACK = 128 << 10, SHARED_MAX = 227 << 10, SHARED_PAD = 4096, RECENT = 4, LOGGED = 1024 };
enum Status : u8 { READY, MEETING, AT_BARRIER, DONE };
struct Copy { u8 *to; const void *from; int bytes, existing, group; };
struct Fibre : nr_thread {
  void *sp;
  int index, warp;
  Status status;
  const char *waiting;
  int copy_count, copy_group, copy_room;
  Copy *copies;
};
struct Warp {
  u32 ready, arrived, alive, mask;
  int kind;
  u32 orders; /* meetings so far that order memory */
  void (*operation)(void *const *, u32);
  const char *name;
  void *arguments[32];
};
/* Who touched a shared word (or byte) last, and in which interval between barriers of the block and of the warp. */
struct Touch { u32 epoch, write_order, read_order; u16 writer, reader; };
struct Access { u32 place, shared; }; /* of the instruction; offset * 2 + is_store, bytes in the upper bits */

struct Function;
struct Module { u64 magic; Device *device; void *library; int file; u64 begin, end; Module *next; Function *functions; };
struct Function {
  Module *module;
  Function *next;
  void (*entry)(void *const *);
  int (*size)(int);
  int threads, blocks, dynamic_limit; /* of KERNEL(threads, blocks) */
  char name[128];
};
struct Launch { /* what is to run; shared by a queue and the graphs it was captured into */
  int references;
  Function *function;
  nr_uint3 grid, block;
  u32 shared;
  u64 parameter_bytes, block_bytes;
  u8 *parameter_block; /* the parameters, then where each is */
  void **parameters;
};

struct Counts { u64 switches, meetings, matrix_loads, matrix_conflicts, shared_accesses, shared_conflicts; };
extern Counts totals;

struct Processor { /* one host thread that runs blocks */
  Fibre *fibres;
  Warp warps[32];
  u8 *stacks, *shared, *shared_memory;
  Touch *words, *bytes; /* of shared memory, by word and by byte */
  u8 *written;          /* 0, 1 written, 2 awaits an asynchronous copy */
  Access *log;          /* accesses of each thread to shared memory since its warp met */
  u16 logged[MAX_THREADS];
  u32 noted;            /* warps of which there are any */
  u64 own_begin, own_end; /* stacks and fibres */
  u64 device_begin;       /* offset of the device's memory */
  Allocation recent[RECENT];
  int recent_next;
  int threads, warp_count, alive, at_barrier, order[32], lane_rotation, guarded;
  u32 shared_bytes, epoch, random, turn, ticks;
  void *scheduler_sp;
  const Launch *launch;
  Counts counts;
  u64 deadline;
  bool failed;
  int fault;
  u64 fault_address;
  void *signal_stack;
};
extern __thread Processor *cpu __attribute__((tls_model("initial-exec"), visibility("hidden")));
static inline Fibre *self() { return (Fibre *)nr_here.thread; }
void leave(Processor *p); /* from a fibre that cannot go on to the scheduler */
[[noreturn]] void abandon(Processor *p); /* the same, and the block ends */
void check_time(Processor *p);
static inline void tick(Processor *p) { if (UNLIKELY(!(++p->ticks & 0x3fff))) check_time(p); }
void run(Device *d, const Launch *l);
void print_statistics(void);
u64 nanoseconds(void);

/* ---- checks.cpp -------------------------------------------------------------------------------------------------------- */

void settle_banks(Processor *p, int warp); /* the warp has met: its accesses since the last time are complete */
void copy_begins(Processor *p, const u8 *shared, u64 bytes); /* an asynchronous copy is issued, and is waited for */
void copy_ends(Processor *p, const u8 *shared, u64 bytes);

/* ---- streams.cpp ------------------------------------------------------------------------------------------------------- */

enum Kind : u8 { LAUNCH, COPY, SET, GRAPH, RECORD, WAIT };
struct Stream;
struct Executable;
struct Record { int references; bool done; u64 time; Stream *stream; }; /* one record of an event; the stream as long as it is not done */
struct Work {
  Work *next;
  u64 ticket; /* order over all streams */
  Kind kind;
  Launch *launch;
  u8 *to;                  /* COPY and SET: rows of bytes */
  const u8 *from;
  u64 bytes, rows, to_pitch, from_pitch;
  u8 *staged;              /* the bytes themselves, taken at the call */
  u64 content;             /* of pinned memory at the call, and how often the device had written there */
  u32 device_writes;
  bool has_content;
  u32 value, unit;         /* SET */
  Executable *graph;
  Record *record;          /* RECORD and WAIT */
};
struct List { Work *first, *last; };
struct Capture { Capture *next; Stream *stream; u64 number; int mode; pthread_t thread; bool invalid; List nodes; };
struct Stream { u64 magic; Device *device; Stream *next; bool non_blocking, destroyed; List queue; Capture *capture; };
struct Event {
  u64 magic;
  Device *device;
  Event *next;
  bool timed;
  Record *last;  /* none before the first */
  u64 captured;  /* number of the capture in which it was last recorded, or 0 */
};
struct Graph { u64 magic; Graph *next; Device *device; List nodes; };
struct Executable { u64 magic; Executable *next; int references; bool destroyed; Device *device; List nodes; };

/* what a handle points to begins with */
enum : u64 {
  STREAM = 0x4d4145525453, EVENT = 0x544e455645, MODULE = 0x454c55444f4d, GRAPH_TEMPLATE = 0x4850415247, GRAPH_READY = 0x434558454f
};

struct Device { /* and its primary context */
  int index, retained, sticky;
  u64 begin, end, cursor; /* of its memory, offsets in the arena */
  Allocation *live, freed[256];
  int live_count, live_room;
  u64 freed_count, bytes_live, bytes_peak;
  Stream legacy, *streams;
  Event *events;
  Module *modules;
};
extern Device devices[16];
extern Graph *all_graphs;
extern Executable *all_executables;
extern Capture *captures;

int put(Stream *s, Work *w);       /* takes over what w refers to */
void drop(Work *w);                /* frees what w refers to */
void advance(Stream *s, u64 ticket); /* runs what was put up to this ticket, and what that waits for */
void drain(Stream *s);
void drain_all(Device *d);
bool run_one(Stream *s);           /* one step towards the stream's next work; false if there is none */
int unsafe_call(void);             /* what a call gives that a capture forbids, or 0 */
const char *queued_use(u64 address, u64 bytes); /* what is queued that names these bytes, or NULL */
int begin_capture(Stream *s, int mode);
int end_capture(Stream *s, Graph **g);
void abort_capture(Stream *s);
Executable *instantiate(Device *d, const Graph *g);
void end_graph(Graph *g);
void end_executable(Executable *e);
void free_list(List *l);
void put_record(Event *e, Stream *s);
void put_wait(Event *e, Stream *s);
void end_event(Event *e);
void end_stream(Stream *s);
u64 content_of(const Work *w);
void bury(void *object);           /* frees it later, so that a handle used too late is seen */

/* ---- compiler.cpp ------------------------------------------------------------------------------------------------------ */

/* A "cubin": this, then the bytes of a shared library. */
#define IMAGE_MAGIC "NREMU\0\0\1"
struct Image { char magic[8]; u64 bytes, identity; int capability, exact; /* sm_90a runs on 9.0 only */ };
u64 image_identity(void); /* of nremu.h, the processor, and whether accesses are seen: what an image must have been compiled for */
int registers_of(int threads, int blocks);

extern pthread_mutex_t driver_lock;
#pragma GCC visibility pop

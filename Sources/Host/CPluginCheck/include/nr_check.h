/* nr_check.h - what the conformance checker needs below Swift: a signal handler that says in words which guarded memory
   a plugin touched, and the size of the heap. For a process that checks one plugin and ends. */
#ifndef NR_CHECK_H
#define NR_CHECK_H
#include <stddef.h>
#include <stdint.h>

/* Splits this process: the child goes on, the parent stays to end whatever the child has started once the child ends, or once it is
   told to with SIGTERM; it ends as the child did. Where the system has no such means, nothing happens. Call it first of all. */
void nr_check_supervise(void);

/* From now on a fatal signal writes one line to the descriptor before it ends the process:
   "signal", its number, the call under way, what was touched, and the library and offset of the instruction, with tabs between. */
void nr_check_install(int descriptor);

/* The call under way. */
enum { NR_CALL_NONE, NR_CALL_CREATE, NR_CALL_DESTROY, NR_CALL_SELECT, NR_CALL_ADVANTAGES, NR_CALL_LOSS, NR_CALL_SAVE,
       NR_CALL_RESTORE };
void nr_check_stage(int call);

/* Memory [start, end) whose touch is a fault, and what that means: "memory past the end of d_current". The text is copied
   and cut at 95 bytes. Returns a slot to give back, -1 where all are taken. */
int nr_check_guard(const void *start, const void *end, const char *what);
void nr_check_release(int slot);

/* In a run: a fatal signal, or an exit() that the plugin calls, prints one line that names plugin, stage and step before the process
   ends; such an exit() ends with 70 whatever it said. */
void nr_run_install(void);

/* The call under way in a run, from the one to the other. The text is copied and cut at 95 bytes. */
void nr_run_enter(const char *plugin, int call, uint64_t step);
void nr_run_leave(void);

/* The two ends of a socket, and a file that is memory and has no name; closed in children, and none of the first ten descriptors. 0 or a
   descriptor, -1 with errno where there is none. */
int nr_channel(int ends[2]);
int nr_shared_file(void);
/* From now on this process group ends when the other end of the socket is closed, whatever it is doing. */
void nr_end_with(int socket);
/* As send(): a reader that is gone is no signal. */
long nr_send(int socket, const void *bytes, size_t count);

/* Bytes the C heap has handed out; 0 where the system does not tell. */
size_t nr_check_heap(void);

#endif

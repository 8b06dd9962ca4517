/* pool.c - threads that share out the indices of one job at a time.

   A worker joins an open job and leaves it; the caller takes part, closes the job when the indices are used up and waits
   only for the workers that joined. So a worker still asleep costs nothing, and a job of a few microseconds is not held
   up by a wake-up. Between jobs a worker spins for a moment before it sleeps: the operations of a decode loop follow
   each other closely. */
#define _GNU_SOURCE /* clock_gettime and madvise under -std=c11 */
#include "pool.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

enum { LINE = 64, LARGE_PAGE = 2 << 20, SPIN_NANOSECONDS = 40000, SMALLEST_SHARED_COST = 12000 };
/* The job word: bit 0 "open", bits 1..15 workers inside, bits 16.. the job's number. */
enum { OPEN = 1, ONE_INSIDE = 2, INSIDE = 0xFFFE, NUMBER = 0x10000 };

typedef struct worker {
  _Alignas(LINE) float *scratch;
  int64_t floats;
  nrk_pool *pool;
  pthread_t thread;
  int32_t index;
} worker;

struct nrk_pool {
  _Alignas(LINE) atomic_ullong job;
  nrk_task task;
  void *context;
  int64_t count;
  _Alignas(LINE) atomic_llong next;
  _Alignas(LINE) atomic_int sleeping;
  atomic_bool stop;
  pthread_mutex_t entry; /* one job at a time, from whichever thread */
  pthread_mutex_t sleep;
  pthread_cond_t wake;
  int32_t threads;
  worker *workers; /* [threads]; 0 stands for the caller */
};

/* A task that itself calls into the pool it runs in goes on alone instead of waiting for itself. */
static _Thread_local nrk_pool *inside;
static _Thread_local int32_t inside_worker;

static inline void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb" ::: "memory");
#endif
}

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void run(nrk_pool *pool, nrk_task task, void *context, int64_t count, int32_t self) {
  nrk_pool *outer = inside;
  int32_t outer_worker = inside_worker;
  inside = pool, inside_worker = self;
  for (int64_t i; (i = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed)) < count;) task(context, i, self);
  inside = outer, inside_worker = outer_worker;
}

/* Enters the job if it is open and newer than `seen`; returns its number, or `seen`. */
static unsigned long long join_job(nrk_pool *pool, unsigned long long seen) {
  unsigned long long job = atomic_load_explicit(&pool->job, memory_order_acquire);
  while ((job & OPEN) && job / NUMBER != seen)
    if (atomic_compare_exchange_weak_explicit(&pool->job, &job, job + ONE_INSIDE, memory_order_acq_rel, memory_order_acquire))
      return job / NUMBER;
  return seen;
}

static void *worker_main(void *argument) {
  worker *self = argument;
  nrk_pool *pool = self->pool;
  unsigned long long seen = 0;
  for (;;) {
    int64_t deadline = 0;
    for (int turn = 1; !atomic_load_explicit(&pool->stop, memory_order_acquire); turn++) {
      unsigned long long number = join_job(pool, seen);
      if (number != seen) {
        seen = number;
        run(pool, pool->task, pool->context, pool->count, self->index);
        atomic_fetch_sub_explicit(&pool->job, ONE_INSIDE, memory_order_release);
        deadline = 0, turn = 0;
        continue;
      }
      relax();
      if (turn % 32) continue;
      int64_t time = now();
      if (!deadline) deadline = time + SPIN_NANOSECONDS;
      if (time > deadline) break;
    }
    pthread_mutex_lock(&pool->sleep);
    atomic_fetch_add(&pool->sleeping, 1);
    /* Sequentially consistent on both sides: either the caller sees a sleeper, or the sleeper sees the job. */
    for (;;) {
      unsigned long long job = atomic_load(&pool->job);
      if (atomic_load(&pool->stop) || ((job & OPEN) && job / NUMBER != seen)) break;
      pthread_cond_wait(&pool->wake, &pool->sleep);
    }
    atomic_fetch_sub(&pool->sleeping, 1);
    pthread_mutex_unlock(&pool->sleep);
    if (atomic_load(&pool->stop)) return NULL;
  }
}

nrk_pool *nrk_pool_create(int32_t threads) {
  if (threads < 1 || threads > INSIDE / ONE_INSIDE) return NULL;
  nrk_pool *pool = aligned_alloc(LINE, sizeof *pool);
  worker *workers = aligned_alloc(LINE, sizeof *workers * (size_t)threads);
  if (!pool || !workers) return free(pool), free(workers), NULL;
  *pool = (nrk_pool){.threads = 1, .workers = workers};
  pthread_mutex_init(&pool->entry, NULL);
  pthread_mutex_init(&pool->sleep, NULL);
  pthread_cond_init(&pool->wake, NULL);
  for (int32_t i = 0; i < threads; i++) {
    workers[i] = (worker){.pool = pool, .index = i};
    if (i == 0) continue;
    if (pthread_create(&workers[i].thread, NULL, worker_main, &workers[i])) return nrk_pool_destroy(pool), NULL;
    pool->threads = i + 1;
  }
  return pool;
}

void nrk_pool_destroy(nrk_pool *pool) {
  if (!pool) return;
  pthread_mutex_lock(&pool->sleep);
  atomic_store(&pool->stop, 1);
  pthread_cond_broadcast(&pool->wake);
  pthread_mutex_unlock(&pool->sleep);
  for (int32_t i = 1; i < pool->threads; i++) pthread_join(pool->workers[i].thread, NULL);
  for (int32_t i = 0; i < pool->threads; i++) free(pool->workers[i].scratch);
  pthread_cond_destroy(&pool->wake);
  pthread_mutex_destroy(&pool->sleep);
  pthread_mutex_destroy(&pool->entry);
  free(pool->workers);
  free(pool);
}

int32_t nrk_pool_threads(const nrk_pool *pool) { return pool->threads; }

/* Much scratch is one page of two megabytes, or several: what a task works on lies in one piece of memory then, and no two parts of it
   fight over the same sets of a cache, as parts of small pages do in one process and not in another. */
float *nrk_allocate(int64_t floats) {
  int64_t bytes = nrk_round(nrk_max(floats, 1) * 4, LINE);
  int is_large = bytes >= LARGE_PAGE / 8;
  if (is_large) bytes = nrk_round(bytes, LARGE_PAGE);
  float *p = aligned_alloc(is_large ? LARGE_PAGE : LINE, (size_t)bytes);
#ifdef MADV_HUGEPAGE
  if (p && is_large) madvise(p, (size_t)bytes, MADV_HUGEPAGE);
#endif
  if (p) return p;
  fprintf(stderr, "nano-reasoner: no memory for %lld bytes of kernel scratch\n", (long long)(floats * 4));
  abort();
}

float *nrk_scratch(nrk_pool *pool, int32_t index, int64_t floats) {
  worker *w = &pool->workers[index];
  if (w->floats >= floats) return w->scratch;
  free(w->scratch);
  w->floats = nrk_max(floats, w->floats + w->floats / 2);
  w->scratch = nrk_allocate(w->floats);
  return w->scratch;
}

void nrk_share(nrk_pool *pool, int64_t cost, int64_t count, nrk_task task, void *context) {
  if (count <= 0) return;
  if (inside == pool) {
    for (int64_t i = 0; i < count; i++) task(context, i, inside_worker);
    return;
  }
  pthread_mutex_lock(&pool->entry);
  atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
  if (count == 1 || pool->threads == 1 || cost < SMALLEST_SHARED_COST) {
    run(pool, task, context, count, 0);
    pthread_mutex_unlock(&pool->entry);
    return;
  }
  pool->task = task, pool->context = context, pool->count = count;
  unsigned long long number = atomic_load_explicit(&pool->job, memory_order_relaxed) / NUMBER + 1;
  atomic_store(&pool->job, number * NUMBER | OPEN);
  if (atomic_load(&pool->sleeping)) {
    pthread_mutex_lock(&pool->sleep);
    if (count == 2) pthread_cond_signal(&pool->wake);
    else pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->sleep);
  }
  run(pool, task, context, count, 0);
  unsigned long long job = atomic_fetch_and_explicit(&pool->job, ~(unsigned long long)OPEN, memory_order_acq_rel);
  /* A worker that was descheduled inside the job needs this core: give way after a moment. */
  for (int turn = 1; job & INSIDE; turn++) {
    if (turn % 1024) relax();
    else sched_yield();
    job = atomic_load_explicit(&pool->job, memory_order_acquire);
  }
  pthread_mutex_unlock(&pool->entry);
}

void nrk_parallel(nrk_pool *pool, int64_t count, nrk_task task, void *context) {
  nrk_share(pool, INT64_MAX, count, task, context);
}

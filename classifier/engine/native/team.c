/* Threads that help with a tower's stages, without ever being waited for.

   A stage is a number of items, and whoever comes takes the next. A helper that is still asleep, or whose core somebody
   else is using, takes none: the caller then does all of them, and waits only for items that are being worked on. */

#define _GNU_SOURCE
#include "native.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum { MOST = 16, PATIENCE = 4000, BITS = 20 };
static const uint64_t MASK = (1u << BITS) - 1;

static pthread_mutex_t taken = PTHREAD_MUTEX_INITIALIZER, lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t called = PTHREAD_COND_INITIALIZER;
static _Atomic int wanted;          /* helpers at work */
static int helpers;                 /* that were ever started */
static _Atomic uint64_t ticket;     /* stage number, number of items, next item */
static _Atomic int done;            /* items of the stage */
static void (*stage_work)(const void *, int);
static const void *stage_task;

static int take(void) {
  uint64_t seen = atomic_load_explicit(&ticket, memory_order_acquire);
  while ((seen & MASK) < (seen >> BITS & MASK))
    if (atomic_compare_exchange_weak(&ticket, &seen, seen + 1)) return seen & MASK;
  return -1;
}

static int work_one(void) {
  int item = take();
  if (item < 0) return 0;
  stage_work(stage_task, item);
  atomic_fetch_add_explicit(&done, 1, memory_order_release);
  return 1;
}

static void *help(void *number) {
  for (;;) {
    pthread_mutex_lock(&lock);
    while (wanted <= (intptr_t)number) pthread_cond_wait(&called, &lock);
    pthread_mutex_unlock(&lock);
    for (int idle = 0; atomic_load_explicit(&wanted, memory_order_relaxed) > (intptr_t)number; idle++) {
      if (work_one())
        idle = 0;
      else if (idle < PATIENCE)
        _mm_pause();
      else
        sched_yield();
    }
  }
  return NULL;
}

void each(int team, void (*work)(const void *, int), const void *task, int items) {
  if (!team || items < 2) {
    for (int item = 0; item < items; item++) work(task, item);
    return;
  }
  stage_work = work, stage_task = task;
  atomic_store_explicit(&done, 0, memory_order_relaxed);
  uint64_t stage = (atomic_load(&ticket) >> 2 * BITS) + 1;
  atomic_store_explicit(&ticket, stage << 2 * BITS | (uint64_t)items << BITS, memory_order_release);
  while (work_one());
  for (int idle = 0; atomic_load_explicit(&done, memory_order_acquire) < items; idle++)
    idle < PATIENCE ? _mm_pause() : (void)sched_yield();
}

static void forget_helpers(void) { helpers = 0, wanted = 0; } /* a child process has only the thread that forked */
static void watch(void) { pthread_atfork(NULL, NULL, forget_helpers); }

int team_gather(int threads) {
  if (threads < 2 || pthread_mutex_trylock(&taken)) return 0;
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, watch);
  threads = threads > MOST ? MOST : threads;
  for (pthread_t thread; helpers < threads - 1; helpers++) {
    if (pthread_create(&thread, NULL, help, (void *)(intptr_t)helpers)) break;
    pthread_detach(thread);
  }
  pthread_mutex_lock(&lock);
  wanted = threads - 1;
  pthread_cond_broadcast(&called);
  pthread_mutex_unlock(&lock);
  return 1;
}

void team_leave(void) {
  wanted = 0;
  pthread_mutex_unlock(&taken);
}

// SPDX-License-Identifier: MIT
/* death CASE: does one forbidden thing, and says so when it lives on. The cases
 * and what each must say are in test_death.py. */
#include "check.h"
#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>

enum { SIZE = 48, MANY = 3000 };

static void tell(void *p) {
  printf("%p\n", p);
  fflush(stdout);
}

/* Until the allocator meets again what was freed. */
static void allocate_many(size_t n) {
  for (int i = 0; i < MANY; i++)
    if (!malloc(n)) exit(3);
}

static void *free_it(void *p) {
  free(p);
  return NULL;
}

/* Frees p by another thread, which has ended when this returns. */
static void free_elsewhere(void *p) {
  pthread_t t;
  if (pthread_create(&t, NULL, free_it, p) != 0) exit(3);
  pthread_join(t, NULL);
}

static void *allocate_it(void *size) { return malloc((size_t)size); }

static void *allocate_elsewhere(size_t n) {
  pthread_t t;
  void *p = NULL;
  if (pthread_create(&t, NULL, allocate_it, (void *)n) != 0) exit(3);
  pthread_join(t, &p);
  return p;
}

/* --- double free --- */

static void *fresh(size_t n) {
  void *p = malloc(n);
  tell(p);
  return p;
}

static void double_of(size_t n) {
  void *p = fresh(n);
  free(p);
  free(p);
}
static void double_smallest(void) { double_of(1); }
static void double_small(void) { double_of(SIZE); }
static void double_middle(void) { double_of(5000); }
static void double_large(void) { double_of(100000); }
static void double_huge(void) {
  /* The first free of so much starts a thread, whose descriptor could else have
   * the block's address before the second. */
  free(malloc(50 << 20));
  double_of(50 << 20);
}

static void double_later(void) {
  void *p = fresh(SIZE), *others[200];
  for (int i = 0; i < 200; i++) others[i] = malloc(SIZE);
  free(p);
  for (int i = 0; i < 200; i++) free(others[i]);
  free(p);
}

static void double_by_other(void) {
  void *p = fresh(SIZE);
  free(p);
  free_elsewhere(p);
}
static void double_after_other(void) {
  void *p = fresh(SIZE);
  free_elsewhere(p);
  free(p);
}
static void double_by_others(void) {
  void *p = fresh(SIZE);
  void *keep = malloc(SIZE); /* the span stays in use */
  free_elsewhere(p);
  free_elsewhere(p);
  free(keep);
}
static void double_of_ended(void) {
  void *p = allocate_elsewhere(SIZE);
  tell(p);
  free(p);
  free(p);
}
static void double_large_by_other(void) {
  void *p = fresh(100000);
  free_elsewhere(p);
  free(p);
}
static void double_realloc(void) {
  void *p = fresh(SIZE);
  free(p);
  p = realloc(p, 2 * SIZE);
  tell(p);
}
static void double_full(void) { /* its span has no free slot */
  static void *p[MANY];
  for (int i = 0; i < MANY; i++) p[i] = malloc(SIZE);
  tell(p[5]);
  free(p[5]);
  free(p[5]);
}

/* --- what was never a block --- */

static void free_this(void *p) {
  tell(p);
  free(p);
}
static void invalid_stack(void) {
  char on_stack[64] __attribute__((aligned(16))) = "";
  free_this(on_stack);
}
static void invalid_static(void) {
  static char data[64] __attribute__((aligned(16))) = "data";
  free_this(data);
}
static void invalid_code(void) {
  free_this((void *)((uintptr_t)&invalid_stack & ~15ul));
}
static void invalid_mmap(void) {
  free_this(mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}
static void invalid_low(void) { free_this((void *)16); }
static void invalid_wild(void) { free_this((void *)0xdeadbeefdeadbee0ul); }
static void invalid_top(void) { free_this((void *)0xfffffffffffffff0ul); }
static void invalid_nearby(void) { /* of the heap, and of no block */
  char *p = fresh(SIZE);
  free_this(p + (32 << 20));
}
static void invalid_never_used(void) { /* a slot that was never handed out */
  char *p = malloc(2000);
  free_this(p + malloc_usable_size(p));
}
static void invalid_realloc(void) {
  char on_stack[64] __attribute__((aligned(16))) = "";
  tell(on_stack);
  tell(realloc(on_stack, 100));
}
static void invalid_delete(void) {
  void (*del)(void *) = (void (*)(void *))dlsym(RTLD_DEFAULT, "_ZdlPv");
  char on_stack[64] __attribute__((aligned(16))) = "";
  tell(on_stack);
  if (del) del(on_stack);
}

/* --- the middle of a block --- */

static void interior_odd(void) { free_this((char *)malloc(SIZE) + 1); }
static void interior_aligned(void) { free_this((char *)malloc(SIZE) + 16); }
static void interior_middle(void) { free_this((char *)malloc(5000) + 4096); }
static void interior_large(void) { free_this((char *)malloc(1 << 20) + 16); }
static void interior_page(void) { free_this((char *)malloc(1 << 20) + 65536); }
static void interior_elsewhere(void) {
  char *p = malloc(SIZE);
  tell(p + 16);
  free_elsewhere(p + 16);
}
static void interior_realloc(void) {
  char *p = malloc(SIZE);
  tell(p + 16);
  tell(realloc(p + 16, 1000));
}

/* --- free lists --- */

/* Two neighbours, by address. */
static void neighbours(char **low, char **high) {
  char *p[64];
  for (int i = 0; i < 64; i++) p[i] = malloc(SIZE);
  for (int i = 0; i < 64; i++)
    for (int k = 0; k < 64; k++)
      if (p[k] == p[i] + SIZE) {
        *low = p[i];
        *high = p[k];
        return;
      }
  printf("no neighbours\n");
  exit(3);
}
static void overflow_link(void) {
  char *low, *high;
  neighbours(&low, &high);
  free(high);
  tell(high);
  memset(low, 'A', SIZE + 16);
  allocate_many(SIZE);
}
static void overflow_by_one(void) {
  char *low, *high;
  neighbours(&low, &high);
  free(high);
  tell(high);
  low[SIZE] = (char)(low[SIZE] ^ 0x40);
  allocate_many(SIZE);
}
static void write_word(size_t word, uintptr_t value) {
  uintptr_t *p = fresh(SIZE);
  free(p);
  p[word] = value;
  allocate_many(SIZE);
}
static void write_first(void) { write_word(0, 0x4141414141414141ul); }
static void write_second(void) { write_word(1, 0x4141414141414141ul); }
static void write_zero(void) { write_word(0, 0); }
static void write_both(void) { /* a forged link to where the attacker likes */
  static uintptr_t target[8] __attribute__((aligned(16)));
  uintptr_t *p = fresh(SIZE);
  free(p);
  p[0] = (uintptr_t)target;
  p[1] = (uintptr_t)target;
  allocate_many(SIZE);
}
static void write_after_remote(void) { /* on the list of other threads' frees */
  static uintptr_t *p[MANY];
  for (int i = 0; i < MANY; i++) p[i] = malloc(SIZE);
  /* Every second one: else whole spans are given back. */
  for (int i = 1; i < MANY; i += 2) free_elsewhere(p[i]);
  tell(p[MANY / 2 + 1]);
  p[MANY / 2 + 1][0] = 0x4242424242424242ul;
  allocate_many(SIZE);
}

#define CASE(name)                                                             \
  { #name, name }
static const struct {
  const char *name;
  void (*fn)(void);
} cases[] = {
    CASE(double_smallest),
    CASE(double_small),
    CASE(double_middle),
    CASE(double_large),
    CASE(double_huge),
    CASE(double_later),
    CASE(double_by_other),
    CASE(double_after_other),
    CASE(double_by_others),
    CASE(double_of_ended),
    CASE(double_large_by_other),
    CASE(double_realloc),
    CASE(double_full),
    CASE(invalid_stack),
    CASE(invalid_static),
    CASE(invalid_code),
    CASE(invalid_mmap),
    CASE(invalid_low),
    CASE(invalid_wild),
    CASE(invalid_top),
    CASE(invalid_nearby),
    CASE(invalid_never_used),
    CASE(invalid_realloc),
    CASE(invalid_delete),
    CASE(interior_odd),
    CASE(interior_aligned),
    CASE(interior_middle),
    CASE(interior_large),
    CASE(interior_page),
    CASE(interior_elsewhere),
    CASE(interior_realloc),
    CASE(overflow_link),
    CASE(overflow_by_one),
    CASE(write_first),
    CASE(write_second),
    CASE(write_zero),
    CASE(write_both),
    CASE(write_after_remote),
};

int main(int argc, char **argv) {
  if (argc < 2) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
      puts(cases[i].name);
    return 0;
  }
  check_begin();
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    if (strcmp(argv[1], cases[i].name) == 0) {
      cases[i].fn();
      puts("lived on");
      return 0;
    }
  return 2;
}

// SPDX-License-Identifier: MIT
/*
 * The edge cases of malloc as glibc 2.36 documents or has them. The same program
 * runs on glibc ("edge glibc"), so that the table cannot ask for something else.
 */
#include "check.h"
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>

#define UNTOUCHED 7777 /* errno before a call, and after most */
#define NOT_A_BLOCK ((void *)0x5a5a5a5a5a5a5a5aul)
#define HALF (SIZE_MAX / 2 + 1) /* 2^63: PTRDIFF_MAX + 1 */
#define HUGE_N ((size_t)1 << 33)

static bool on_glibc;

enum op {
  MALLOC,       /* a */
  CALLOC,       /* a, b */
  REALLOC,      /* of 100 bytes to b */
  REALLOC_NULL, /* b */
  REALLOCARRAY, /* of 100 bytes to a, b */
  REALLOCARRAY_NULL,
  MEMALIGN, /* a, b: alignment, size; the rest too */
  ALIGNED_ALLOC,
  POSIX_MEMALIGN,
  VALLOC,  /* b */
  PVALLOC, /* b */
};

struct edge {
  enum op op;
  size_t a, b;
  bool null;            /* the result */
  int err;              /* errno, or what posix_memalign returns */
  size_t align, usable; /* at least */
};

static const struct edge edges[] = {
    {MALLOC, 0, 0, false, 0, 16, 0},
    {MALLOC, 1, 0, false, 0, 16, 1},
    {MALLOC, 17, 0, false, 0, 16, 17},
    {MALLOC, 1024, 0, false, 0, 16, 1024},
    {MALLOC, 1025, 0, false, 0, 16, 1025},
    {MALLOC, 32768, 0, false, 0, 16, 32768},
    {MALLOC, 32769, 0, false, 0, 16, 32769},
    {MALLOC, 5000001, 0, false, 0, 16, 5000001},
    {MALLOC, PTRDIFF_MAX, 0, true, ENOMEM, 0, 0},
    {MALLOC, HALF, 0, true, ENOMEM, 0, 0},
    {MALLOC, SIZE_MAX - 8192, 0, true, ENOMEM, 0, 0},
    {MALLOC, SIZE_MAX - 15, 0, true, ENOMEM, 0, 0},
    {MALLOC, SIZE_MAX, 0, true, ENOMEM, 0, 0},

    {CALLOC, 0, 0, false, 0, 16, 0},
    {CALLOC, 0, 8, false, 0, 16, 0},
    {CALLOC, 8, 0, false, 0, 16, 0},
    {CALLOC, SIZE_MAX, 0, false, 0, 16, 0},
    {CALLOC, 0, SIZE_MAX, false, 0, 16, 0},
    {CALLOC, 7, 9, false, 0, 16, 63},
    {CALLOC, 1000, 1000, false, 0, 16, 1000000},
    {CALLOC, HUGE_N, HUGE_N, true, ENOMEM, 0, 0},
    {CALLOC, HUGE_N / 2, HUGE_N, true, ENOMEM, 0, 0},
    {CALLOC, SIZE_MAX, 2, true, ENOMEM, 0, 0},
    {CALLOC, 2, SIZE_MAX, true, ENOMEM, 0, 0},
    {CALLOC, 1, SIZE_MAX, true, ENOMEM, 0, 0},
    {CALLOC, 2, HALF, true, ENOMEM, 0, 0},
    {CALLOC, 2, PTRDIFF_MAX, true, ENOMEM, 0, 0},

    {REALLOC, 0, 0, true, 0, 0, 0}, /* freed, and that is no failure */
    {REALLOC, 0, 1, false, 0, 16, 1},
    {REALLOC, 0, 100, false, 0, 16, 100},
    {REALLOC, 0, 101, false, 0, 16, 101},
    {REALLOC, 0, 5000001, false, 0, 16, 5000001},
    {REALLOC, 0, PTRDIFF_MAX, true, ENOMEM, 0, 0},
    {REALLOC, 0, HALF, true, ENOMEM, 0, 0},
    {REALLOC, 0, SIZE_MAX, true, ENOMEM, 0, 0},
    {REALLOC_NULL, 0, 0, false, 0, 16, 0},
    {REALLOC_NULL, 0, 1, false, 0, 16, 1},
    {REALLOC_NULL, 0, SIZE_MAX, true, ENOMEM, 0, 0},
    {REALLOCARRAY, 0, 8, true, 0, 0, 0},
    {REALLOCARRAY, 8, 0, true, 0, 0, 0},
    {REALLOCARRAY, 20, 30, false, 0, 16, 600},
    {REALLOCARRAY, HUGE_N, HUGE_N, true, ENOMEM, 0, 0},
    {REALLOCARRAY, SIZE_MAX, 2, true, ENOMEM, 0, 0},
    {REALLOCARRAY, 1, SIZE_MAX, true, ENOMEM, 0, 0},
    {REALLOCARRAY_NULL, 0, 8, false, 0, 16, 0},
    {REALLOCARRAY_NULL, 3, 8, false, 0, 16, 24},
    {REALLOCARRAY_NULL, SIZE_MAX, SIZE_MAX, true, ENOMEM, 0, 0},

    {MEMALIGN, 0, 10, false, 0, 16, 10},
    {MEMALIGN, 1, 10, false, 0, 16, 10},
    {MEMALIGN, 3, 10, false, 0, 16, 10},
    {MEMALIGN, 16, 10, false, 0, 16, 10},
    {MEMALIGN, 17, 10, false, 0, 32, 10},
    {MEMALIGN, 24, 10, false, 0, 32, 10},
    {MEMALIGN, 33, 10, false, 0, 64, 10},
    {MEMALIGN, 48, 100, false, 0, 64, 100},
    {MEMALIGN, 100, 10, false, 0, 128, 10},
    {MEMALIGN, 64, 0, false, 0, 64, 0},
    {MEMALIGN, 64, 65, false, 0, 64, 65},
    {MEMALIGN, 1024, 1, false, 0, 1024, 1},
    {MEMALIGN, 4096, 1, false, 0, 4096, 1},
    {MEMALIGN, 4097, 1, false, 0, 8192, 1},
    {MEMALIGN, 8192, 9000, false, 0, 8192, 9000},
    {MEMALIGN, 16384, 1, false, 0, 16384, 1},
    {MEMALIGN, 65536, 40000, false, 0, 65536, 40000},
    {MEMALIGN, 4 << 20, 3, false, 0, 4 << 20, 3},
    {MEMALIGN, 64 << 20, 70 << 20, false, 0, 64 << 20, 70 << 20},
    {MEMALIGN, HALF, 1, true, ENOMEM, 0, 0},
    {MEMALIGN, HALF / 2, 1, true, ENOMEM, 0, 0},
    {MEMALIGN, HALF - 1, 1, true, ENOMEM, 0, 0},
    {MEMALIGN, HALF + 1, 1, true, EINVAL, 0, 0},
    {MEMALIGN, SIZE_MAX, 1, true, EINVAL, 0, 0},
    {MEMALIGN, SIZE_MAX, SIZE_MAX, true, EINVAL, 0, 0},
    {MEMALIGN, 64, PTRDIFF_MAX, true, ENOMEM, 0, 0},
    {MEMALIGN, 64, HALF, true, ENOMEM, 0, 0},
    {MEMALIGN, 64, SIZE_MAX, true, ENOMEM, 0, 0},
    {MEMALIGN, 64, SIZE_MAX - 63, true, ENOMEM, 0, 0},
    {MEMALIGN, 8, SIZE_MAX, true, ENOMEM, 0, 0},

    {ALIGNED_ALLOC, 16, 15, false, 0, 16, 15},
    {ALIGNED_ALLOC, 64, 10, false, 0, 64, 10}, /* no multiple: no matter */
    {ALIGNED_ALLOC, 3, 10, false, 0, 16, 10},
    {ALIGNED_ALLOC, 48, 96, false, 0, 64, 96},
    {ALIGNED_ALLOC, 64, 0, false, 0, 64, 0},
    {ALIGNED_ALLOC, HALF + 1, 1, true, EINVAL, 0, 0},
    {ALIGNED_ALLOC, 64, SIZE_MAX, true, ENOMEM, 0, 0},

    {POSIX_MEMALIGN, 0, 10, true, EINVAL, 0, 0},
    {POSIX_MEMALIGN, 1, 10, true, EINVAL, 0, 0},
    {POSIX_MEMALIGN, 4, 10, true, EINVAL, 0, 0},
    {POSIX_MEMALIGN, 7, 10, true, EINVAL, 0, 0},
    {POSIX_MEMALIGN, 24, 10, true, EINVAL, 0, 0},
    {POSIX_MEMALIGN, SIZE_MAX, 10, true, EINVAL, 0, 0},
    {POSIX_MEMALIGN, 8, 0, false, 0, 8, 0},
    {POSIX_MEMALIGN, 8, 10, false, 0, 16, 10},
    {POSIX_MEMALIGN, 16, 0, false, 0, 16, 0},
    {POSIX_MEMALIGN, 256, 300, false, 0, 256, 300},
    {POSIX_MEMALIGN, 1 << 20, 1, false, 0, 1 << 20, 1},
    {POSIX_MEMALIGN, 64, PTRDIFF_MAX, true, ENOMEM, 0, 0},
    {POSIX_MEMALIGN, 64, SIZE_MAX, true, ENOMEM, 0, 0},
    {POSIX_MEMALIGN, HALF, 1, true, ENOMEM, 0, 0},

    {VALLOC, 0, 0, false, 0, 4096, 0},
    {VALLOC, 0, 1, false, 0, 4096, 1},
    {VALLOC, 0, 4097, false, 0, 4096, 4097},
    {VALLOC, 0, SIZE_MAX, true, ENOMEM, 0, 0},
    {PVALLOC, 0, 0, false, 0, 4096, 0},
    {PVALLOC, 0, 1, false, 0, 4096, 4096},
    {PVALLOC, 0, 4096, false, 0, 4096, 4096},
    {PVALLOC, 0, 4097, false, 0, 4096, 8192},
    {PVALLOC, 0, SIZE_MAX, true, ENOMEM, 0, 0},
    {PVALLOC, 0, SIZE_MAX - 4000, true, ENOMEM, 0, 0},
    {PVALLOC, 0, HALF, true, ENOMEM, 0, 0},
};

static const char *const names[] = {
    "malloc",        "calloc",        "realloc",
    "realloc(NULL)", "reallocarray",  "reallocarray(NULL)",
    "memalign",      "aligned_alloc", "posix_memalign",
    "valloc",        "pvalloc"};

/* *err: errno after it; of posix_memalign what it returned. */
static void *perform(const struct edge *e, void *old, int *err) {
  void *p = NULL;
  errno = UNTOUCHED;
  switch (e->op) {
  case MALLOC:
    p = malloc(e->a);
    break;
  case CALLOC:
    p = calloc(e->a, e->b);
    break;
  case REALLOC:
    p = realloc(old, e->b);
    break;
  case REALLOC_NULL:
    p = realloc(NULL, e->b);
    break;
  case REALLOCARRAY:
    p = reallocarray(old, e->a, e->b);
    break;
  case REALLOCARRAY_NULL:
    p = reallocarray(NULL, e->a, e->b);
    break;
  case MEMALIGN:
    p = memalign(e->a, e->b);
    break;
  case ALIGNED_ALLOC:
    p = aligned_alloc(e->a, e->b);
    break;
  case VALLOC:
    p = valloc(e->b);
    break;
  case PVALLOC:
    p = pvalloc(e->b);
    break;
  case POSIX_MEMALIGN:
    p = NOT_A_BLOCK;
    *err = posix_memalign(&p, e->a, e->b);
    /* glibc sets errno for ENOMEM, though its manual says that it does not. */
    if (!on_glibc || *err != ENOMEM)
      CHECK(errno == UNTOUCHED, "posix_memalign(%zu, %zu)", e->a, e->b);
    if (*err) {
      CHECK(p == NOT_A_BLOCK, "posix_memalign(%zu, %zu)", e->a, e->b);
      return NULL;
    }
    return p;
  }
  *err = errno == UNTOUCHED ? 0 : errno;
  return p;
}

static void check_block(const struct edge *e, char *p) {
  const char *name = names[e->op];
  size_t usable = malloc_usable_size(p);
  CHECK((uintptr_t)p % e->align == 0, "%s(%zu, %zu) = %p", name, e->a, e->b,
        (void *)p);
  CHECK(usable >= e->usable, "%s(%zu, %zu): %zu usable", name, e->a, e->b,
        usable);
  if (e->op == CALLOC)
    for (size_t i = 0; i < e->usable; i++)
      if (p[i]) {
        CHECK(p[i] == 0, "%s(%zu, %zu) at %zu", name, e->a, e->b, i);
        break;
      }
  memset(p, 0xa5, usable); /* all of it is ours to use */
  errno = UNTOUCHED;
  free(p);
  CHECK(errno == UNTOUCHED, "free after %s(%zu, %zu)", name, e->a, e->b);
}

static void check_edge(const struct edge *e) {
  const char *name = names[e->op];
  char *old = NULL;
  int err;
  if (e->op == REALLOC || e->op == REALLOCARRAY) {
    old = malloc(100);
    memset(old, 0x3c, 100);
  }
  char *p = perform(e, old, &err);
  CHECK((p == NULL) == e->null, "%s(%zu, %zu) = %p", name, e->a, e->b,
        (void *)p);
  CHECK(err == e->err, "%s(%zu, %zu): error %d", name, e->a, e->b, err);
  if (p && !e->null) check_block(e, p);
  if (old && !p && err) { /* it failed: the old block is as it was */
    for (int i = 0; i < 100; i++) CHECK(old[i] == 0x3c, "%s at %d", name, i);
    free(old);
  }
}

/* --- properties of many sizes --- */

static void check_sizes(void) {
  static void *p[3000];
  for (size_t n = 0; n < 3000; n++) {
    p[n] = malloc(n);
    CHECK(p[n] && (uintptr_t)p[n] % 16 == 0, "malloc(%zu) = %p", n, p[n]);
    CHECK(malloc_usable_size(p[n]) >= n, "malloc(%zu)", n);
    memset(p[n], (int)n, malloc_usable_size(p[n]));
  }
  for (size_t n = 1; n < 3000; n++) {
    unsigned char *b = p[n];
    CHECK(b[0] == (unsigned char)n && b[n - 1] == (unsigned char)n,
          "block of %zu", n);
  }
  for (size_t n = 0; n < 3000; n++) free(p[n]);
}

static bool all_zero(const char *p, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (p[i]) return false;
  return true;
}

/* Memory that was used before is zero again. */
static void check_calloc_clears(void) {
  for (size_t n = 1; n < 3000000; n += n / 7 + 1) {
    void *dirty[3];
    for (int i = 0; i < 3; i++) {
      dirty[i] = malloc(n);
      memset(dirty[i], 0xee, n);
    }
    for (int i = 0; i < 3; i++) free(dirty[i]);
    for (int i = 0; i < 3; i++) {
      dirty[i] = calloc(i == 1 ? n : 1, i == 1 ? 1 : n);
      CHECK(dirty[i] && all_zero(dirty[i], n), "calloc of %zu", n);
    }
    for (int i = 0; i < 3; i++) free(dirty[i]);
  }
}

static void check_realloc_keeps(void) {
  unsigned char *p = malloc(1);
  size_t have = 1;
  p[0] = 1;
  static const size_t steps[] = {2,     16,     17,      33,     100,    90,
                                 1024,  1025,   5000,    32768,  32769,  40000,
                                 20000, 300000, 3000000, 299999, 900000, 10,
                                 64,    40,     100000,  32768,  1};
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
    size_t n = steps[i], common = n < have ? n : have;
    p = realloc(p, n);
    CHECK(p && (uintptr_t)p % 16 == 0 && malloc_usable_size(p) >= n,
          "realloc to %zu", n);
    for (size_t k = 0; k < common; k++)
      if (p[k] != (unsigned char)(k * 7 + 1)) {
        CHECK(false, "realloc from %zu to %zu: byte %zu", have, n, k);
        break;
      }
    for (size_t k = 0; k < n; k++) p[k] = (unsigned char)(k * 7 + 1);
    have = n;
  }
  free(p);
}

/* Blocks of every function may be freed and reallocated. */
static void check_realloc_of_aligned(void) {
  for (size_t align = 8; align <= 1 << 16; align *= 2)
    for (size_t n = 1; n < 100000; n = n * 3 + 1) {
      unsigned char *p = memalign(align, n);
      memset(p, 0x77, n);
      p = realloc(p, n * 2);
      CHECK(p && p[0] == 0x77 && p[n - 1] == 0x77, "align %zu size %zu", align,
            n);
      free(p);
    }
}

static void check_distinct(void) {
  void *a = malloc(0), *b = malloc(0), *c = calloc(0, 5);
  CHECK(a && b && c && a != b && b != c && a != c, "malloc(0)");
  free(a);
  free(b);
  free(c);
  CHECK(malloc_usable_size(NULL) == 0, "NULL");
  errno = UNTOUCHED;
  free(NULL);
  CHECK(errno == UNTOUCHED, "free(NULL)");
}

/* --- C23, and the names for wrappers --- */

static void check_sized_frees(void) {
  void (*sized)(void *, size_t) =
      (void (*)(void *, size_t))dlsym(RTLD_DEFAULT, "free_sized");
  void (*aligned)(void *, size_t, size_t) =
      (void (*)(void *, size_t, size_t))dlsym(RTLD_DEFAULT,
                                              "free_aligned_sized");
  CHECK(on_glibc || (sized && aligned), "missing");
  for (size_t n = 0; sized && aligned && n < 100000; n = n * 2 + 1) {
    errno = UNTOUCHED;
    sized(malloc(n), n);
    aligned(aligned_alloc(64, n), 64, n);
    CHECK(errno == UNTOUCHED, "size %zu", n);
  }
  if (sized && aligned) {
    sized(NULL, 10);
    aligned(NULL, 16, 10);
  }
}

static void check_wrapped(void) {
  void *(*alloc)(size_t) =
      (void *(*)(size_t))dlsym(RTLD_DEFAULT, "__libc_malloc");
  void *(*align)(size_t, size_t) =
      (void *(*)(size_t, size_t))dlsym(RTLD_DEFAULT, "__libc_memalign");
  void (*release)(void *) =
      (void (*)(void *))dlsym(RTLD_DEFAULT, "__libc_free");
  CHECK(alloc && align && release, "__libc_ names");
  free(alloc(50));
  free(align(64, 50));
  release(malloc(50));
}

/* --- asking and telling --- */

static void check_mallopt(void) {
  static const struct {
    int param, value, result;
  } row[] = {{M_MMAP_THRESHOLD, 1 << 20, 1},
             {M_MMAP_THRESHOLD, 1 << 30, 1},
             {M_TRIM_THRESHOLD, 1 << 20, 1},
             {M_TOP_PAD, 1 << 16, 1},
             {M_MMAP_MAX, 100, 1},
             {M_ARENA_MAX, 2, 1},
             {M_ARENA_TEST, 2, 1},
             {M_CHECK_ACTION, 3, 1},
             {M_MXFAST, 64, 1},
             {M_MXFAST, 0, 1},
             {M_MXFAST, 161, 0},
             {M_MXFAST, -1, 0},
             {12345, 1, 1}};
  for (size_t i = 0; i < sizeof row / sizeof *row; i++)
    CHECK(mallopt(row[i].param, row[i].value) == row[i].result,
          "mallopt(%d, %d)", row[i].param, row[i].value);
}

static void check_mallinfo(void) {
  enum { BLOCKS = 100000, SIZE = 100 };
  void **p = malloc(BLOCKS * sizeof *p);
  struct mallinfo2 before = mallinfo2();
  for (int i = 0; i < BLOCKS; i++) p[i] = malloc(SIZE);
  void *large = malloc(64 << 20);
  struct mallinfo2 with = mallinfo2();
  for (int i = 0; i < BLOCKS; i++) free(p[i]);
  free(large);
  struct mallinfo2 after = mallinfo2();
  CHECK(with.uordblks >= before.uordblks + BLOCKS * SIZE,
        "in use: %zu, then %zu", before.uordblks, with.uordblks);
  CHECK(with.hblkhd >= before.hblkhd + (64 << 20), "%zu, then %zu",
        before.hblkhd, with.hblkhd);
  CHECK(with.hblks > before.hblks, "%zu, then %zu", before.hblks, with.hblks);
  CHECK(with.arena >= with.uordblks && with.arena < 100u << 20, "%zu",
        with.arena);
  CHECK(with.uordblks + with.fordblks == with.arena, "%zu + %zu != %zu",
        with.uordblks, with.fordblks, with.arena);
  CHECK(after.uordblks + BLOCKS * SIZE / 2 < with.uordblks, "%zu, then %zu",
        with.uordblks, after.uordblks);
  CHECK(after.hblkhd == before.hblkhd, "%zu, then %zu", before.hblkhd,
        after.hblkhd);
  free(p);
  struct mallinfo old = mallinfo();
  CHECK(old.arena > 0 && old.uordblks >= 0, "%d %d", old.arena, old.uordblks);
}

static void check_malloc_info(void) {
  char *text = NULL;
  size_t n = 0;
  FILE *f = open_memstream(&text, &n);
  CHECK(malloc_info(1, f) == EINVAL, "options");
  CHECK(malloc_info(0, f) == 0, "no options");
  fclose(f);
  CHECK(n > 100 && strncmp(text, "<malloc version=\"1\">\n", 21) == 0,
        "begins with %.30s", text);
  CHECK(n > 10 && strcmp(text + n - 10, "</malloc>\n") == 0, "ends with %s",
        text + n - 10);
  CHECK(strstr(text, "<heap nr=\"0\">") && strstr(text, "<sizes>") &&
            strstr(text, "<total type=\"rest\" count=\"") &&
            strstr(text, "<system type=\"current\" size=\"") &&
            strstr(text, "<aspace type=\"total\" size=\""),
        "%.300s", text);
  free(text);
}

static void check_malloc_stats(void) {
  int fds[2];
  char text[2000] = "";
  if (pipe(fds) != 0) abort();
  fflush(stderr);
  int saved = dup(2);
  dup2(fds[1], 2);
  malloc_stats();
  fflush(stderr);
  dup2(saved, 2);
  close(fds[1]);
  ssize_t n = read(fds[0], text, sizeof text - 1);
  close(fds[0]);
  CHECK(n > 0 && strstr(text, "Arena 0:\nsystem bytes     = ") &&
            strstr(text, "\nTotal (incl. mmap):\nsystem bytes     = ") &&
            strstr(text, "\nmax mmap bytes   = "),
        "%s", text);
}

static void check_trim(void) {
  enum { BLOCKS = 40000, SIZE = 1000 };
  static void *p[BLOCKS];
  for (int i = 0; i < BLOCKS; i++) {
    p[i] = malloc(SIZE);
    memset(p[i], 1, SIZE);
  }
  long full = check_resident();
  for (int i = 0; i < BLOCKS; i++) free(p[i]);
  int result = malloc_trim(0);
  long empty = check_resident();
  /* glibc gives the top back when it is freed: there may be nothing left. */
  CHECK(on_glibc || result == 1, "malloc_trim");
  CHECK(empty < full - BLOCKS * SIZE / 2, "resident %ld, then %ld", full,
        empty);
  result = malloc_trim(0);
  CHECK(result == 0 || result == 1, "%d", result);
}

/* --- what a block holds is nothing to free --- */

enum { FULL_BLOCKS = 60 };

static void *free_odd_ones(void *blocks) {
  unsigned char **p = blocks;
  for (int i = 1; i < FULL_BLOCKS; i += 2) free(p[i]);
  return NULL;
}

static void check_contents(void) {
  unsigned char *p[FULL_BLOCKS];
  for (int value = 0; value < 256; value++) {
    for (int i = 0; i < FULL_BLOCKS; i++) {
      size_t size = i < FULL_BLOCKS / 2 ? 16 : 700;
      p[i] = malloc(size);
      for (int j = 0; j < i; j++) CHECK(p[i] != p[j], "%p twice", (void *)p[i]);
      memset(p[i], value, size);
    }
    pthread_t t;
    if (pthread_create(&t, NULL, free_odd_ones, p) != 0) exit(3);
    pthread_join(t, NULL);
    for (int i = 0; i < FULL_BLOCKS; i += 2) free(p[i]);
  }
}

int main(int argc, char **argv) {
  on_glibc = argc > 1 && strcmp(argv[1], "glibc") == 0;
  if (!on_glibc) check_begin();
  for (size_t i = 0; i < sizeof edges / sizeof *edges; i++)
    check_edge(&edges[i]);
  check_sizes();
  check_distinct();
  check_calloc_clears();
  check_realloc_keeps();
  check_realloc_of_aligned();
  check_sized_frees();
  check_wrapped();
  check_mallinfo();
  check_malloc_info();
  check_malloc_stats();
  check_trim();
  check_mallopt();
  check_contents();
  return check_end();
}

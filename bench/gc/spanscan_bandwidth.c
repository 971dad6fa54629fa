// SPDX-License-Identifier: MIT
/*
 * How fast the scan kernels of src/gc/spanscan.h go through pages, beside what the
 * machine reads at all: pages that stay in the second-level cache, and pages of
 * 256 MiB in random order, with and without asking for the next page's lines.
 *
 *   bench_spanscan_bandwidth [MiB]
 *
 * Every word of a 16-byte slot and 3 of 4 words of larger ones may be a pointer,
 * and 3 of 4 of these are. GB/s are of the bytes of chosen slots, so that with few
 * slots they also tell what a page costs before its first word. Single threaded,
 * processor time, the best of 5 runs.
 */
#include "base/rand.h"
#include "gc/spanscan.h"
#include "os/cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define CACHED_BYTES ((size_t)512 << 10)
#define DEFAULT_MIB 256
#define RUNS 5
#define AHEAD SPANSCAN_BITMAP_AHEAD

struct bench {
  char *heap;
  size_t bytes, npages;
  struct atomic_u64 *bitmap;
  struct spanscan_page *page; /* npages + AHEAD, in the order of the visits */
  uint32_t *order;
  struct spanscan_class class;
  struct rand_state rand;
  uint64_t sum; /* so that nothing is computed in vain */
};

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *map(size_t bytes) {
  void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) {
    perror("mmap");
    exit(1);
  }
  return p;
}

static void setup(struct bench *b, size_t bytes) {
  b->bytes = bytes;
  b->npages = bytes / SPANSCAN_PAGE_BYTES;
  char *p = map(bytes + SPANSCAN_PAGE_BYTES);
  b->heap = (char *)align_up((uintptr_t)p, SPANSCAN_PAGE_BYTES);
  b->bitmap = map(b->npages * SPANSCAN_WORDS / 8);
  b->page = map((b->npages + AHEAD) * sizeof *b->page);
  b->order = map(b->npages * sizeof *b->order);
  b->rand.weyl = 1;
  uintptr_t *w = (uintptr_t *)(void *)b->heap;
  for (size_t i = 0; i < bytes / 8; i++) {
    uint64_t r = rand_u64(&b->rand);
    w[i] = r & 3 ? (uintptr_t)b->heap + (r >> 8) % bytes : r >> 40;
  }
  for (size_t i = 0; i < b->npages; i++) b->order[i] = (uint32_t)i;
  for (size_t i = b->npages - 1; i > 0; i--) {
    size_t j = rand_below(&b->rand, (uint32_t)i + 1);
    uint32_t other = b->order[j];
    b->order[j] = b->order[i];
    b->order[i] = other;
  }
}

static void set_bitmaps(struct bench *b) {
  unsigned words = b->class.words, end = b->class.nelems * words;
  uint64_t one_page[SPANSCAN_WORDS / 64] = {0};
  for (unsigned w = 0; w < end; w++)
    if (words == 2 || w % words % 4 != 3) one_page[w / 64] |= 1ull << (w % 64);
  for (size_t i = 0; i < b->npages; i++)
    memcpy(b->bitmap + i * array_len(one_page), one_page, sizeof one_page);
}

/* Chooses slots; returns how many bytes they have. */
static double set_pages(struct bench *b, size_t elemsize, double share) {
  uint64_t below = (uint64_t)(share * 4294967296.0), chosen = 0;
  spanscan_class_init(&b->class, elemsize);
  set_bitmaps(b);
  for (size_t i = 0; i < b->npages; i++) {
    struct spanscan_page *p = &b->page[i];
    memset(p->toscan, 0, sizeof p->toscan);
    p->base = (uintptr_t)b->heap + (size_t)b->order[i] * SPANSCAN_PAGE_BYTES;
    p->bitmap = b->bitmap + (size_t)b->order[i] * (SPANSCAN_WORDS / 64);
    for (unsigned s = 0; s < b->class.nelems; s++) {
      if (rand_u64(&b->rand) >> 32 >= below) continue;
      p->toscan[s / 64] |= 1ull << (s % 64);
      chosen++;
    }
  }
  for (size_t i = 0; i < AHEAD; i++) b->page[b->npages + i] = b->page[i];
  return (double)chosen * (double)elemsize;
}

/* Seconds for all pages once. */
static double measure(struct bench *b, const struct spanscan_kernel *k,
                      bool ahead) {
  uintptr_t out[SPANSCAN_WORDS];
  struct spanscan_range r = {(uintptr_t)b->heap, b->bytes};
  int repeat = (int)(((size_t)64 << 20) / b->bytes);
  double best = 1e9;
  for (int run = 0; run < RUNS; run++) {
    double begin = seconds();
    for (int i = 0; i <= repeat; i++) {
      for (size_t p = 0; p < b->npages; p++) {
        if (ahead) {
          spanscan_prefetch_bitmap(b->page[p + AHEAD].bitmap);
          k->prefetch(&b->class, &b->page[p + 1]);
        }
        size_t n = k->scan(&b->class, &b->page[p], r, out);
        b->sum += n + out[0];
      }
    }
    double t = (seconds() - begin) / (repeat + 1);
    if (t < best) best = t;
  }
  return best;
}

/* Reading alone: every word, page by page in the order given. */
static double read_all(struct bench *b, bool in_order) {
  double best = 1e9;
  int repeat = (int)(((size_t)64 << 20) / b->bytes);
  for (int run = 0; run < RUNS; run++) {
    double begin = seconds();
    for (int i = 0; i <= repeat; i++) {
      for (size_t p = 0; p < b->npages; p++) {
        size_t at = in_order ? p : b->order[p];
        const uint64_t *w = (const void *)(b->heap + at * SPANSCAN_PAGE_BYTES);
        uint64_t sum[4] = {0};
        for (unsigned j = 0; j < SPANSCAN_WORDS; j += 4)
          for (unsigned l = 0; l < 4; l++) sum[l] += w[j + l];
        b->sum += sum[0] + sum[1] + sum[2] + sum[3];
      }
    }
    double t = (seconds() - begin) / (repeat + 1);
    if (t < best) best = t;
  }
  return best;
}

static void print_head(struct bench *cached, struct bench *memory) {
  printf("reading every word, GB/s: cached %.1f, from memory %.1f, from memory "
         "in random order of pages %.1f\n\n",
         (double)cached->bytes / read_all(cached, true) / 1e9,
         (double)memory->bytes / read_all(memory, true) / 1e9,
         (double)memory->bytes / read_all(memory, false) / 1e9);
  printf("GB/s of chosen slots\n%13s", "bytes  slots");
  static const char *const where[] = {"cached", "memory", "ahead"};
  for (unsigned w = 0; w < array_len(where); w++)
    for (unsigned i = 0; spanscan_kernel_at(i); i++)
      printf("  %6s %8s", where[w], spanscan_kernel_at(i)->name);
  printf("\n");
}

static void print_row(struct bench *cached, struct bench *memory, size_t size,
                      double share) {
  uint32_t features = cpu_features();
  double bytes = 0;
  printf("%5zu %5.0f %%", size, 100 * share);
  for (int where = 0; where < 3; where++) {
    struct bench *b = where == 0 ? cached : memory;
    if (where < 2) bytes = set_pages(b, size, share);
    for (unsigned i = 0; spanscan_kernel_at(i); i++) {
      const struct spanscan_kernel *k = spanscan_kernel_at(i);
      if (k->needs & ~features)
        printf("  %15s", "-");
      else
        printf("  %15.2f", bytes / measure(b, k, where == 2) / 1e9);
    }
  }
  printf("\n");
  fflush(stdout);
}

int main(int argc, char **argv) {
  static const size_t sizes[] = {16, 32, 48, 64, 128, 512};
  static const double shares[] = {1, 0.5, 0.12, 0.02};
  static struct bench cached, memory;
  size_t mib = argc > 1 ? strtoul(argv[1], NULL, 10) : DEFAULT_MIB;
  if (mib == 0 || mib > 1u << 16) {
    fprintf(stderr, "usage: %s [MiB]\n", argv[0]);
    return 2;
  }
  setup(&cached, CACHED_BYTES);
  setup(&memory, mib << 20);
  print_head(&cached, &memory);
  for (unsigned s = 0; s < array_len(sizes); s++)
    for (unsigned d = 0; d < array_len(shares); d++)
      print_row(&cached, &memory, sizes[s], shares[d]);
  return cached.sum + memory.sum == 1; /* never */
}

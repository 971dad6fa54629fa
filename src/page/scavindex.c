// SPDX-License-Identifier: MIT
/* Densities of chunks for the scavenger. See scavindex.h. */
#include "page/scavindex.h"
#include "base/fatal.h"

#define GEN_MASK 0x1fffffffu /* width of scavchunk.gen */

void scavindex_init(struct scavindex *s, struct scavchunk *chunks) {
  *s = (struct scavindex){.chunks = chunks};
}

/* The first change of a generation keeps the density that it began with. */
static struct scavchunk *touch(struct scavindex *s, struct chunkidx ci) {
  struct scavchunk *c = &s->chunks[ci.v];
  if (c->gen != s->gen) {
    c->last_in_use = c->in_use;
    c->gen = s->gen & GEN_MASK;
  }
  return c;
}

void scavindex_alloc(struct scavindex *s, struct chunkidx ci, unsigned n) {
  struct scavchunk *c = touch(s, ci);
  mgc_check(c->in_use + n <= PALLOC_CHUNK_PAGES,
            "scavindex: chunk=%zu in_use=%u alloc=%u", ci.v,
            (unsigned)c->in_use, n);
  c->in_use = (uint16_t)(c->in_use + n);
}

void scavindex_free_scavenged(struct scavindex *s, struct chunkidx ci,
                              unsigned n) {
  struct scavchunk *c = touch(s, ci);
  mgc_check(c->in_use >= n, "scavindex: chunk=%zu in_use=%u free=%u", ci.v,
            (unsigned)c->in_use, n);
  c->in_use = (uint16_t)(c->in_use - n);
}

void scavindex_free(struct scavindex *s, struct chunkidx ci, unsigned n) {
  scavindex_free_scavenged(s, ci, n);
  s->chunks[ci.v].has_free = 1;
  if (s->free_hwm <= ci.v) s->free_hwm = ci.v + 1;
  if (s->search_force <= ci.v) s->search_force = ci.v + 1;
}

void scavindex_set_empty(struct scavindex *s, struct chunkidx ci) {
  s->chunks[ci.v].has_free = 0;
}

void scavindex_next_gen(struct scavindex *s) {
  s->gen = (s->gen + 1) & GEN_MASK;
  if (s->search_bg < s->free_hwm) s->search_bg = s->free_hwm;
  s->free_hwm = 0;
}

bool scavchunk_should_scavenge(struct scavchunk c, uint32_t gen, bool force) {
  if (!c.has_free) return false;
  if (force) return true;
  if (c.in_use >= SCAV_DENSE_PAGES) return false;
  return c.gen != gen || c.last_in_use < SCAV_DENSE_PAGES;
}

bool scavindex_find(struct scavindex *s, const struct addrranges *in_use,
                    uintptr_t base, bool force, struct chunkidx *out) {
  size_t *hint = force ? &s->search_force : &s->search_bg;
  for (size_t r = in_use->len; r-- > 0 && *hint > 0;) {
    size_t lo = (in_use->ranges[r].base - base) >> PALLOC_CHUNK_SHIFT;
    size_t hi = (in_use->ranges[r].limit - base) >> PALLOC_CHUNK_SHIFT;
    if (hi > *hint) hi = *hint;
    for (size_t i = hi; i > lo; i--) {
      if (!scavchunk_should_scavenge(s->chunks[i - 1], s->gen, force)) continue;
      *hint = i;
      *out = (struct chunkidx){i - 1};
      return true;
    }
  }
  *hint = 0;
  return false;
}

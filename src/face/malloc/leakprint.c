// SPDX-License-Identifier: MIT
/*
 * The leak report as text for people and as JSON for programs; docs/leaks.md
 * describes both. A block's size is its slot's: what it takes of memory. Names are
 * those of the dynamic symbol tables, so static functions appear as an offset in
 * their object, which addr2line understands.
 *
 * dladdr takes the loader's lock: nothing of ours may be held here.
 */
#include "face/malloc/leaks.h"

#include "base/print.h"
#include <dlfcn.h>
#include <string.h>

#define GROUPS_SHOWN 100u /* in text */
#define TEXT_MIN 4u       /* bytes that make a string */

static const char *plural(uint64_t n) { return n == 1 ? "" : "s"; }

static bool is_text(char c) { return c >= ' ' && c <= '~'; }

/* The printable beginning of the block, "" when there is none to speak of. */
static void text_of(const struct leak_group *g, char *out, size_t n) {
  char bytes[sizeof g->word];
  size_t len = 0, max = g->nwords * sizeof g->word[0];
  memcpy(bytes, g->word, sizeof bytes);
  while (len < max && len + 1 < n && is_text(bytes[len])) len++;
  if (len < TEXT_MIN) len = 0;
  memcpy(out, bytes, len);
  out[len] = 0;
}

/* Where a return address is: in the object, and in the function if it is known. */
struct place {
  const char *object, *function;
  uintptr_t object_offset, function_offset;
};

static struct place place_of(uintptr_t pc) {
  Dl_info info;
  struct place p = {.object = "?"};
  /* The call is before the address that it returns to. */
  if (!dladdr((void *)(pc - 1), &info)) return p;
  if (info.dli_fname && info.dli_fname[0]) p.object = info.dli_fname;
  p.object_offset = pc - (uintptr_t)info.dli_fbase;
  p.function = info.dli_sname;
  if (p.function) p.function_offset = pc - (uintptr_t)info.dli_saddr;
  return p;
}

/* --- text --- */

static void print_stack(int fd, const struct leak_group *g) {
  if (g->nframes == 0) return;
  print_fd(fd, "    allocated at\n");
  for (uint32_t i = 0; i < g->nframes; i++) {
    struct place p = place_of(g->frame[i]);
    if (p.function)
      print_fd(fd, "      #%u %s+0x%lx (%s+0x%lx)\n", i, p.function,
               (unsigned long)p.function_offset, p.object,
               (unsigned long)p.object_offset);
    else
      print_fd(fd, "      #%u 0x%lx (%s+0x%lx)\n", i,
               (unsigned long)g->frame[i], p.object,
               (unsigned long)p.object_offset);
  }
}

static void print_contents(int fd, const struct leak_group *g) {
  char words[LEAK_WORDS * 20 + 1], text[sizeof g->word + 1];
  size_t len = 0;
  words[0] = 0;
  for (uint32_t i = 0; i < g->nwords; i++)
    len += print_format(words + len, sizeof words - len, " %016lx",
                        (unsigned long)g->word[i]);
  text_of(g, text, sizeof text);
  print_fd(fd, "    at %p:%s%s%s%s\n", (void *)g->addr, words,
           text[0] ? "  \"" : "", text, text[0] ? "\"" : "");
}

static void print_group(int fd, const struct leak_group *g) {
  uint64_t indirect = g->all_blocks - g->blocks;
  print_fd(fd, "  %llu block%s of %zu bytes%s\n", (unsigned long long)g->blocks,
           plural(g->blocks), g->size, g->rings ? ", in a ring" : "");
  if (indirect)
    print_fd(fd,
             "    and %llu more that only %s lead%s to: %llu bytes in all\n",
             (unsigned long long)indirect, g->blocks == 1 ? "it" : "they",
             g->blocks == 1 ? "s" : "", (unsigned long long)g->all_bytes);
  print_contents(fd, g);
  print_stack(fd, g);
}

static unsigned long long us(int64_t ns) {
  return (unsigned long long)(ns > 0 ? ns / 1000 : 0);
}

void leakprint_text(int fd, const struct leak_result *r,
                    const struct leak_times *t) {
  unsigned long long stop = us(t->stop_ns), mark = us(r->mark_ns);
  print_fd(
      fd,
      "mallocgc: leaks: %llu block%s, %llu bytes unreachable, of %llu live "
      "blocks, %llu bytes; pid %d, stopped for %llu.%03llu ms, scan "
      "%llu.%03llu ms%s\n",
      (unsigned long long)r->leaked_blocks, plural(r->leaked_blocks),
      (unsigned long long)r->leaked_bytes, (unsigned long long)r->live_blocks,
      (unsigned long long)r->live_bytes, t->pid, stop / 1000, stop % 1000,
      mark / 1000, mark % 1000, t->copied ? " of a copy" : "");
  uint32_t n = r->ngroups < GROUPS_SHOWN ? r->ngroups : GROUPS_SHOWN;
  uint64_t blocks = r->other_blocks, bytes = r->other_bytes;
  for (uint32_t i = 0; i < n; i++) print_group(fd, &r->group[i]);
  for (uint32_t i = n; i < r->ngroups; i++) {
    blocks += r->group[i].all_blocks;
    bytes += r->group[i].all_bytes;
  }
  if (blocks)
    print_fd(fd, "  and %llu more block%s, %llu bytes\n",
             (unsigned long long)blocks, plural(blocks),
             (unsigned long long)bytes);
}

/* --- JSON --- */

static void escape(char *out, size_t n, const char *s) {
  size_t len = 0;
  for (; *s && len + 7 < n; s++) {
    unsigned char c = (unsigned char)*s;
    if (c == '"' || c == '\\')
      out[len++] = '\\', out[len++] = *s;
    else if (c < ' ')
      len += print_format(out + len, n - len, "\\u%04x", c);
    else
      out[len++] = *s;
  }
  out[len] = 0;
}

static void json_frame(int fd, uintptr_t pc, bool last) {
  struct place p = place_of(pc);
  char object[300], function[300];
  escape(object, sizeof object, p.object);
  escape(function, sizeof function, p.function ? p.function : "");
  print_fd(fd,
           "      {\"address\": \"0x%lx\", \"object\": \"%s\", "
           "\"object_offset\": %lu, \"function\": \"%s\", "
           "\"function_offset\": %lu}%s\n",
           (unsigned long)pc, object, (unsigned long)p.object_offset, function,
           (unsigned long)p.function_offset, last ? "" : ",");
}

static void json_group(int fd, const struct leak_group *g, bool last) {
  char text[sizeof g->word + 1], escaped[2 * sizeof text + 8];
  text_of(g, text, sizeof text);
  escape(escaped, sizeof escaped, text);
  print_fd(fd,
           "    {\"blocks\": %llu, \"size\": %zu, \"all_blocks\": %llu, "
           "\"all_bytes\": %llu, \"rings\": %llu, \"address\": \"0x%lx\", "
           "\"text\": \"%s\", \"stack\": [%s",
           (unsigned long long)g->blocks, g->size,
           (unsigned long long)g->all_blocks, (unsigned long long)g->all_bytes,
           (unsigned long long)g->rings, (unsigned long)g->addr, escaped,
           g->nframes ? "\n" : "");
  for (uint32_t i = 0; i < g->nframes; i++)
    json_frame(fd, g->frame[i], i + 1 == g->nframes);
  print_fd(fd, "%s]}%s\n", g->nframes ? "    " : "", last ? "" : ",");
}

void leakprint_json(int fd, const struct leak_result *r,
                    const struct leak_times *t) {
  print_fd(
      fd,
      "{\"pid\": %d, \"live_blocks\": %llu, \"live_bytes\": %llu, "
      "\"leaked_blocks\": %llu, \"leaked_bytes\": %llu, "
      "\"direct_blocks\": %llu, \"root_bytes\": %llu,\n"
      "  \"stop_ns\": %lld, \"scan_ns\": %lld, \"copied\": %s, "
      "\"other_blocks\": %llu, \"other_bytes\": %llu,\n  \"groups\": [\n",
      t->pid, (unsigned long long)r->live_blocks,
      (unsigned long long)r->live_bytes, (unsigned long long)r->leaked_blocks,
      (unsigned long long)r->leaked_bytes, (unsigned long long)r->direct_blocks,
      (unsigned long long)r->root_bytes, (long long)t->stop_ns,
      (long long)r->mark_ns, t->copied ? "true" : "false",
      (unsigned long long)r->other_blocks, (unsigned long long)r->other_bytes);
  for (uint32_t i = 0; i < r->ngroups; i++)
    json_group(fd, &r->group[i], i + 1 == r->ngroups);
  print_fd(fd, "]}\n");
}

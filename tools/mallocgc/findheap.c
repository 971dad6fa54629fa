// SPDX-License-Identifier: MIT
/* See findheap.h. */
#include "findheap.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_PHDRS 64
#define MAX_NOTES 4096 /* bytes of one note segment */

struct note { /* as the library's, on both supported machines */
  Elf64_Nhdr head;
  char name[12];
  int64_t to_anchor;
} __attribute__((packed));

/* Looks for our note among n bytes of notes at addr. */
static uintptr_t search_notes(const char *buf, size_t n, uintptr_t addr,
                              size_t align) {
  size_t at = 0;
  while (at + sizeof(struct note) <= n) {
    struct note note;
    memcpy(&note, buf + at, sizeof(note));
    if (note.head.n_namesz == sizeof(MSNAP_NOTE_NAME) &&
        note.head.n_descsz == sizeof(note.to_anchor) &&
        note.head.n_type == MSNAP_NOTE_TYPE &&
        memcmp(note.name, MSNAP_NOTE_NAME, sizeof(MSNAP_NOTE_NAME)) == 0)
      return addr + at + offsetof(struct note, to_anchor) +
             (uintptr_t)note.to_anchor;
    size_t name = ((size_t)note.head.n_namesz + align - 1) & ~(align - 1);
    size_t desc = ((size_t)note.head.n_descsz + align - 1) & ~(align - 1);
    if (name > n || desc > n) return 0;
    at += sizeof(note.head) + name + desc;
  }
  return 0;
}

static uintptr_t search_segment(int pid, uintptr_t base, uintptr_t first,
                                const Elf64_Phdr *p) {
  char buf[MAX_NOTES];
  size_t n = p->p_filesz < sizeof(buf) ? p->p_filesz : sizeof(buf);
  uintptr_t addr = base + (p->p_vaddr - first);
  if (p->p_type != PT_NOTE || !msnap_read(pid, addr, buf, n)) return 0;
  return search_notes(buf, n, addr, p->p_align == 8 ? 8 : 4);
}

/* The anchor of the ELF image that begins at base, or 0. */
static uintptr_t search_image(int pid, uintptr_t base) {
  Elf64_Ehdr e;
  Elf64_Phdr ph[MAX_PHDRS];
  if (!msnap_read(pid, base, &e, sizeof(e)) ||
      memcmp(e.e_ident, ELFMAG, SELFMAG) != 0 ||
      e.e_ident[EI_CLASS] != ELFCLASS64 || e.e_phentsize != sizeof(ph[0]) ||
      e.e_phnum == 0 || e.e_phnum > MAX_PHDRS ||
      !msnap_read(pid, base + e.e_phoff, ph, e.e_phnum * sizeof(ph[0])))
    return 0;
  uintptr_t first = 0; /* the address that base has in the file's own view */
  for (unsigned i = 0; i < e.e_phnum; i++)
    if (ph[i].p_type == PT_LOAD && ph[i].p_offset == 0) first = ph[i].p_vaddr;
  for (unsigned i = 0; i < e.e_phnum; i++) {
    uintptr_t a = search_segment(pid, base, first, &ph[i]);
    if (a) return a;
  }
  return 0;
}

static bool read_anchor(int pid, uintptr_t at, struct msnap_anchor *out) {
  return at && msnap_read(pid, at, out, sizeof(*out)) &&
         out->magic == MSNAP_MAGIC;
}

enum findheap_status findheap(int pid, struct msnap_anchor *out) {
  char name[64], line[512];
  snprintf(name, sizeof(name), "/proc/%d/maps", pid);
  FILE *maps = fopen(name, "re");
  if (!maps)
    return errno == ENOENT || errno == ESRCH ? FINDHEAP_NO_PROCESS
                                             : FINDHEAP_DENIED;
  enum findheap_status status = FINDHEAP_NOT_OURS;
  bool whole_line = true;
  while (status == FINDHEAP_NOT_OURS && fgets(line, sizeof(line), maps)) {
    bool begins = whole_line;
    whole_line = strchr(line, '\n') != NULL;
    uintptr_t base;
    uint64_t offset, inode;
    char mode[8];
    if (!begins ||
        sscanf(line, "%" SCNxPTR "-%*x %7s %" SCNx64 " %*s %" SCNu64, &base,
               mode, &offset, &inode) != 4 ||
        offset != 0 || inode == 0 || mode[0] != 'r')
      continue;
    char probe;
    errno = 0;
    if (!msnap_read(pid, base, &probe, 1) && errno == EPERM)
      status = FINDHEAP_DENIED;
    else if (read_anchor(pid, search_image(pid, base), out))
      status = msnap_layout_agrees(out) ? FINDHEAP_OK : FINDHEAP_OTHER;
  }
  if (ferror(maps) && status == FINDHEAP_NOT_OURS) status = FINDHEAP_DENIED;
  fclose(maps);
  return status;
}

// SPDX-License-Identifier: MIT
/* See elfimage.h. */
#include "elfimage.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct segment {
  uint64_t addr;
  uint64_t size; /* bytes that the file holds; what is beyond is zero */
  unsigned char *bytes;
};

struct elfimage {
  int fd;
  Elf *elf;
  size_t section_names; /* index of the section of names */
  struct segment *segments;
  size_t nsegments;
};

__attribute__((format(printf, 3, 4))) static bool
fail(char *error, size_t n, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(error, n, format, args);
  va_end(args);
  return false;
}

/* Is it a linked file that this program's own structs describe? */
static bool check_header(struct elfimage *image, char *error, size_t n) {
  GElf_Ehdr header;
  if (elf_kind(image->elf) != ELF_K_ELF || !gelf_getehdr(image->elf, &header)) {
    return fail(error, n, "not an ELF file");
  }
  if (header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_ident[EI_DATA] != ELFDATA2LSB) {
    return fail(error, n, "not a 64-bit little-endian ELF file");
  }
  if (header.e_type != ET_EXEC && header.e_type != ET_DYN) {
    return fail(error, n, "not a linked program or shared library");
  }
  if (elf_getshdrstrndx(image->elf, &image->section_names) != 0) {
    return fail(error, n, "has no table of sections: %s", elf_errmsg(-1));
  }
  return true;
}

static bool load_segments(struct elfimage *image, char *error, size_t n) {
  size_t count = 0;
  size_t file_size = 0;
  const char *file = elf_rawfile(image->elf, &file_size);
  if (!file || elf_getphdrnum(image->elf, &count) != 0) {
    return fail(error, n, "damaged ELF file: %s", elf_errmsg(-1));
  }
  image->segments = calloc(count ? count : 1, sizeof(struct segment));
  if (!image->segments) return fail(error, n, "out of memory");
  for (size_t i = 0; i < count; i++) {
    GElf_Phdr header;
    if (!gelf_getphdr(image->elf, (int)i, &header)) continue;
    if (header.p_type != PT_LOAD || header.p_filesz == 0) continue;
    if (header.p_offset > file_size ||
        header.p_filesz > file_size - header.p_offset ||
        header.p_vaddr > UINT64_MAX - header.p_filesz) {
      return fail(error, n, "damaged ELF file: a segment is cut off");
    }
    struct segment *s = &image->segments[image->nsegments];
    s->bytes = malloc(header.p_filesz);
    if (!s->bytes) return fail(error, n, "out of memory");
    memcpy(s->bytes, file + header.p_offset, header.p_filesz);
    s->addr = header.p_vaddr;
    s->size = header.p_filesz;
    image->nsegments++;
  }
  return true;
}

static unsigned char *find(const struct elfimage *image, uint64_t addr,
                           uint64_t n) {
  for (size_t i = 0; i < image->nsegments; i++) {
    const struct segment *s = &image->segments[i];
    if (addr >= s->addr && addr - s->addr <= s->size &&
        n <= s->size - (addr - s->addr)) {
      return s->bytes + (addr - s->addr);
    }
  }
  return NULL;
}

/* What the loader would store at a relocated word, if the file alone says. */
static bool relocated_value(const GElf_Rela *rela, Elf_Data *symbols,
                            uint64_t *value) {
  GElf_Sym symbol;
  switch (GELF_R_TYPE(rela->r_info)) {
  case R_X86_64_RELATIVE:
  case R_AARCH64_RELATIVE:
    *value = (uint64_t)rela->r_addend;
    return true;
  case R_X86_64_64:
  case R_AARCH64_ABS64:
    if (!symbols ||
        !gelf_getsym(symbols, (int)GELF_R_SYM(rela->r_info), &symbol) ||
        symbol.st_shndx == SHN_UNDEF) {
      return false;
    }
    *value = symbol.st_value + (uint64_t)rela->r_addend;
    return true;
  default:
    return false;
  }
}

/* Packed relative relocations (SHT_RELR) need no work: the word in the file
 * holds the address already. */
static void relocate(struct elfimage *image) {
  Elf_Scn *section = NULL;
  while ((section = elf_nextscn(image->elf, section)) != NULL) {
    GElf_Shdr header;
    if (!gelf_getshdr(section, &header) || header.sh_type != SHT_RELA ||
        !(header.sh_flags & SHF_ALLOC) || header.sh_entsize == 0) {
      continue;
    }
    Elf_Data *data = elf_getdata(section, NULL);
    Elf_Scn *symbol_section = elf_getscn(image->elf, header.sh_link);
    Elf_Data *symbols =
        symbol_section ? elf_getdata(symbol_section, NULL) : NULL;
    if (!data) continue;
    uint64_t count = data->d_size / header.sh_entsize;
    for (uint64_t i = 0; i < count; i++) {
      GElf_Rela rela;
      uint64_t value;
      if (!gelf_getrela(data, (int)i, &rela)) continue;
      if (!relocated_value(&rela, symbols, &value)) continue;
      unsigned char *word = find(image, rela.r_offset, sizeof(value));
      if (word) memcpy(word, &value, sizeof(value));
    }
  }
}

struct elfimage *elfimage_open(const char *path, char *error, size_t n) {
  struct elfimage *image = calloc(1, sizeof(*image));
  if (!image) {
    fail(error, n, "out of memory");
    return NULL;
  }
  image->fd = open(path, O_RDONLY | O_CLOEXEC);
  if (image->fd < 0) {
    fail(error, n, "%s", strerror(errno));
    free(image);
    return NULL;
  }
  elf_version(EV_CURRENT);
  image->elf = elf_begin(image->fd, ELF_C_READ, NULL);
  if (!image->elf) {
    fail(error, n, "cannot be read: %s", elf_errmsg(-1));
  } else if (check_header(image, error, n) && load_segments(image, error, n)) {
    relocate(image);
    return image;
  }
  elfimage_close(image);
  return NULL;
}

void elfimage_close(struct elfimage *image) {
  for (size_t i = 0; i < image->nsegments; i++) free(image->segments[i].bytes);
  free(image->segments);
  elf_end(image->elf);
  close(image->fd);
  free(image);
}

bool elfimage_section(const struct elfimage *image, const char *name,
                      uint64_t *addr, uint64_t *size) {
  Elf_Scn *section = NULL;
  while ((section = elf_nextscn(image->elf, section)) != NULL) {
    GElf_Shdr header;
    if (!gelf_getshdr(section, &header)) continue;
    const char *found =
        elf_strptr(image->elf, image->section_names, header.sh_name);
    if (found && strcmp(found, name) == 0) {
      *addr = header.sh_addr;
      *size = header.sh_size;
      return true;
    }
  }
  return false;
}

const void *elfimage_at(const struct elfimage *image, uint64_t addr,
                        uint64_t n) {
  return find(image, addr, n);
}

const char *elfimage_string(const struct elfimage *image, uint64_t addr) {
  for (size_t i = 0; i < image->nsegments; i++) {
    const struct segment *s = &image->segments[i];
    if (addr < s->addr || addr - s->addr >= s->size) continue;
    const char *text = (const char *)s->bytes + (addr - s->addr);
    return memchr(text, 0, s->size - (addr - s->addr)) ? text : NULL;
  }
  return NULL;
}

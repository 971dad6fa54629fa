// SPDX-License-Identifier: MIT
/*
 * Programs on which LD_PRELOAD has no effect, or a wrong one, found before they
 * run: without a dynamic linker, with raised privileges, of another machine. A
 * script is judged by its interpreter. What cannot be read is not judged.
 */
#include "cmd.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define MAX_SCRIPTS 4 /* the kernel's own limit of interpreters in a row */

#if defined(__x86_64__)
#define OUR_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OUR_MACHINE EM_AARCH64
#else
#define OUR_MACHINE EM_NONE
#endif

/* The file that execvp would take for name; false: none. */
static bool search(const char *name, char *path, size_t n) {
  if (strchr(name, '/')) {
    snprintf(path, n, "%s", name);
    return true;
  }
  const char *dirs = getenv("PATH");
  if (!dirs) dirs = "/bin:/usr/bin";
  while (true) {
    size_t len = strcspn(dirs, ":");
    snprintf(path, n, "%.*s%s%s", (int)len, dirs, len ? "/" : "./", name);
    struct stat st;
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0)
      return true;
    if (!dirs[len]) return false;
    dirs += len + 1;
  }
}

static bool raises_privileges(const char *path) {
  struct stat st;
  if (stat(path, &st) != 0) return false;
  if ((st.st_mode & S_ISUID) && st.st_uid != getuid()) return true;
  /* Without the group's execute bit it once meant mandatory locking. */
  if ((st.st_mode & S_ISGID) && (st.st_mode & S_IXGRP) && st.st_gid != getgid())
    return true;
  return getuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0;
}

/* The interpreter of a script, from its first line. */
static bool interpreter(const char *head, char *path, size_t n) {
  if (strncmp(head, "#!", 2) != 0) return false;
  head += 2 + strspn(head + 2, " \t");
  size_t len = strcspn(head, " \t\n");
  if (len == 0 || len >= n) return false;
  memcpy(path, head, len);
  path[len] = 0;
  return true;
}

static bool has_interp(int fd, const Elf64_Ehdr *e) {
  for (unsigned i = 0; i < e->e_phnum; i++) {
    Elf64_Phdr p;
    off_t at = (off_t)(e->e_phoff + (uint64_t)i * sizeof(p));
    if (pread(fd, &p, sizeof(p), at) != sizeof(p)) return true;
    if (p.p_type == PT_INTERP) return true;
  }
  return false;
}

/* NULL: nothing against it, as far as the file tells. */
static const char *elf_problem(int fd, const Elf64_Ehdr *e) {
  if (memcmp(e->e_ident, ELFMAG, SELFMAG) != 0) return NULL;
  if (e->e_ident[EI_CLASS] != ELFCLASS64 || e->e_machine != OUR_MACHINE)
    return "is for another kind of processor than this library";
  if (e->e_phentsize == sizeof(Elf64_Phdr) && !has_interp(fd, e))
    return "is statically linked";
  return NULL;
}

void run_warn(const char *program) {
  char path[PATH_MAX + NAME_MAX], next[PATH_MAX];
  if (!search(program, path, sizeof(path))) return;
  const char *problem = NULL;
  for (int i = 0; i <= MAX_SCRIPTS; i++) {
    union {
      Elf64_Ehdr elf;
      char text[256];
    } head = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool script = false;
    if (fd >= 0) {
      if (read(fd, head.text, sizeof(head.text) - 1) > 0) {
        problem = elf_problem(fd, &head.elf);
        script = interpreter(head.text, next, sizeof(next));
      }
      close(fd);
    }
    /* The kernel ignores the bits of a script. */
    if (!script && raises_privileges(path))
      problem = "runs with raised privileges";
    if (!script) break;
    snprintf(path, sizeof(path), "%s", next);
  }
  if (problem)
    cmd_error("warning: %s %s: LD_PRELOAD has no effect, it will use its own "
              "malloc",
              path, problem);
}

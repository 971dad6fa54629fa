// SPDX-License-Identifier: MIT
/* The command line of `mallocgc demo`. See demo.h for overview. */
#include "demo.h"

#include <argp.h>
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KEY_CHILD = 0x100, KEY_QUIET, KEY_JSON };

struct arguments {
  struct demo_options opt;
  bool json;
  bool child; /* do the work and print the figures */
  char **files;
};

static const struct argp_option options[] = {
    {"rounds", 'r', "N", 0, "Rounds of editing and dropping (20)", 0},
    {"threads", 't', "N", 0, "Threads that share the documents (1)", 0},
    {"json", KEY_JSON, NULL, 0, "Print the figures as JSON", 0},
    {"child", KEY_CHILD, NULL, OPTION_HIDDEN, NULL, 0},
    {"quiet", KEY_QUIET, NULL, OPTION_HIDDEN, NULL, 0},
    {0}};

static const char doc[] =
    "Loads JSON documents into typed objects on the collected heap, edits and "
    "drops them for many rounds, checks that the survivors are intact, and "
    "reports what the heap did, with and without the tiny allocator.\v"
    "Without files it takes the documents that the packages iso-codes and "
    "node-caniuse-db install. A file that is no JSON is reported with its line "
    "and column, and the exit status is 1.";

static unsigned parse_number(const char *arg, unsigned max, const char *name,
                             struct argp_state *state) {
  char *end;
  errno = 0;
  unsigned long n = strtoul(arg, &end, 10);
  if (errno || end == arg || *end || n > max || *arg == '-') {
    argp_error(state, "%s: not a number up to %u: %s", name, max, arg);
  }
  return (unsigned)n;
}

static error_t parse_option(int key, char *arg, struct argp_state *state) {
  struct arguments *args = state->input;
  switch (key) {
  case 'r':
    args->opt.rounds = parse_number(arg, 1000000, "--rounds", state);
    return 0;
  case 't':
    args->opt.threads = parse_number(arg, 256, "--threads", state);
    if (args->opt.threads == 0) args->opt.threads = 1;
    return 0;
  case KEY_JSON:
    args->json = true;
    return 0;
  case KEY_CHILD:
    args->child = true;
    return 0;
  case KEY_QUIET:
    args->opt.quiet = true;
    return 0;
  case ARGP_KEY_ARGS:
    args->files = state->argv + state->next;
    return 0;
  default:
    return ARGP_ERR_UNKNOWN;
  }
}

static const struct argp argp = {.options = options,
                                 .parser = parse_option,
                                 .args_doc = "[FILE.json ...]",
                                 .doc = doc};

/* ---- the child: one run ---- */

static int run_child(const struct arguments *args) {
  struct demo_files files = {0};
  struct demo_result result;
  if (!demo_map(&files, (const char *const *)args->files, args->opt.quiet) ||
      !demo_run(&files, &args->opt, &result)) {
    return CMD_FAILED;
  }
  struct json *v = demo_result_to_json(&result);
  if (!v || !json_print(stdout, v, 0)) {
    cmd_error("cannot write the figures: %m");
    return CMD_FAILED;
  }
  return CMD_OK;
}

/* ---- the parent: two runs and a report ---- */

static void set_tiny(bool tiny) {
  char value[1024];
  const char *old = getenv("MALLOCGC_OPTIONS");
  snprintf(value, sizeof(value), "%s%stiny=%d", old ? old : "",
           old && *old ? "," : "", tiny);
  setenv("MALLOCGC_OPTIONS", value, 1);
}

/* In the child process: becomes the run. Does not return. */
static void exec_run(const struct arguments *args, const char *const *paths,
                     bool tiny, int out) {
  char rounds[32], threads[32];
  size_t n = 0;
  while (paths[n]) n++;
  snprintf(rounds, sizeof(rounds), "--rounds=%u", args->opt.rounds);
  snprintf(threads, sizeof(threads), "--threads=%u", args->opt.threads);
  const char *head[] = {"mallocgc", "demo",  "--child",
                        rounds,     threads, tiny ? "--" : "--quiet",
                        "--"};
  size_t nhead = sizeof(head) / sizeof(head[0]) - (tiny ? 1 : 0);
  const char **argv = calloc(nhead + n + 1, sizeof(*argv));
  if (argv && dup2(out, STDOUT_FILENO) >= 0) {
    memcpy(argv, head, nhead * sizeof(*argv));
    memcpy(argv + nhead, paths, n * sizeof(*argv));
    set_tiny(tiny);
    execv("/proc/self/exe", (char **)argv);
  }
  cmd_error("cannot start the run: %m");
  _exit(CMD_FAILED);
}

/* What the child wrote until it closed the pipe, on the heap. */
static char *read_all(int fd, size_t *len) {
  size_t room = 65536, n = 0;
  char *text = mgc_new_noscan(room);
  while (text) {
    ssize_t got = read(fd, text + n, room - n);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    n += (size_t)got;
    if (n < room) continue;
    char *more = mgc_new_noscan(2 * room);
    if (more) memcpy(more, text, n);
    text = more;
    room *= 2;
  }
  *len = n;
  return text;
}

static bool wait_for(pid_t pid, const char *name) {
  int status;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return false;
  }
  if (WIFSIGNALED(status)) {
    cmd_error("the run %s the tiny allocator died: %s", name,
              strsignal(WTERMSIG(status)));
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == CMD_OK;
}

static bool run_variant(const struct arguments *args, const char *const *paths,
                        bool tiny, struct demo_result *result) {
  int fds[2];
  if (pipe(fds) != 0) {
    cmd_error("pipe: %m");
    return false;
  }
  fflush(stdout);
  pid_t pid = fork();
  if (pid < 0) {
    cmd_error("fork: %m");
    close(fds[0]);
    close(fds[1]);
    return false;
  }
  if (pid == 0) {
    close(fds[0]);
    exec_run(args, paths, tiny, fds[1]);
  }
  close(fds[1]);
  size_t len = 0;
  char *text = read_all(fds[0], &len);
  close(fds[0]);
  if (!wait_for(pid, tiny ? "with" : "without")) return false;
  struct json *v = text ? json_parse(text, len, NULL, NULL) : NULL;
  if (demo_result_from_json(result, v)) return true;
  cmd_error("the run's figures cannot be read");
  return false;
}

static double saved(uint64_t with, uint64_t without) {
  return without ? 1.0 - (double)with / (double)without : 0;
}

static int report_json(const struct demo_result *with,
                       const struct demo_result *without) {
  struct json *v = json_object(), *s = json_object();
  if (json_set(v, "with", demo_result_to_json(with)) &&
      json_set(v, "without", demo_result_to_json(without)) &&
      json_set(s, "slots",
               json_number(saved(with->load_slots, without->load_slots))) &&
      json_set(s, "heap",
               json_number(saved(with->loaded_heap, without->loaded_heap))) &&
      json_set(v, "saved", s) && json_print(stdout, v, 2)) {
    return CMD_OK;
  }
  cmd_error("cannot write the figures: %m");
  return CMD_FAILED;
}

static int run_both(const struct arguments *args) {
  const char *origin;
  const char **paths = demo_paths(args->files, &origin);
  struct demo_result with, without;
  if (!paths || !run_variant(args, paths, true, &with) ||
      !run_variant(args, paths, false, &without)) {
    return CMD_FAILED;
  }
  int status = CMD_OK;
  if (with.documents == 0) {
    cmd_error("no document was loaded");
    return CMD_FAILED;
  }
  if (args->json) {
    status = report_json(&with, &without);
  } else {
    demo_report(origin, &args->opt, &with, &without);
  }
  if (with.failed || with.damaged || without.failed || without.damaged) {
    status = CMD_FAILED;
  }
  return status;
}

int cmd_demo(int argc, char **argv) {
  struct arguments args = {.opt = {.rounds = 20, .threads = 1},
                           .files = argv + argc};
  setlocale(LC_CTYPE, "");
  argp_err_exit_status = CMD_USAGE;
  if (argp_parse(&argp, argc, argv, 0, NULL, &args) != 0) return CMD_USAGE;
  if (mgc_init() < 0) return CMD_FAILED; /* it has said why */
  return args.child ? run_child(&args) : run_both(&args);
}

// SPDX-License-Identifier: MIT
/* examples/json: random documents survive writing, reading, and collections. */
#include "support/rng.h"
#include "json/json.h"

#include <criterion/criterion.h>
#include <mallocgc.h>
#include <string.h>

static struct json *random_string(struct rng *r) {
  static const char *const pieces[] = {
      "a",
      "Z",
      "\"",
      "\\",
      "/",
      "\n",
      "\t",
      "\x01",
      "\x7f",
      "\xc3\xa9",
      "\xe2\x82\xac",
      "\xf0\x9f\x98\x80",
      "\xc0\x80",
      " ",
      "{",
      "]",
  };
  char text[128] = "";
  size_t n = rng_chance(r, 8) ? rng_below(r, 25) : rng_below(r, 8);
  for (size_t i = 0; i < n; i++) {
    strcat(text, pieces[rng_below(r, sizeof(pieces) / sizeof(pieces[0]))]);
  }
  return json_string(text);
}

static struct json *random_number(struct rng *r) {
  uint64_t bits = rng_u64(r);
  double value;
  switch (rng_below(r, 4)) {
  case 0:
    return json_integer((int64_t)(bits >> rng_below(r, 64)));
  case 1:
    return json_number((double)(int64_t)bits / 1000);
  case 2:
    return json_number_from_text(rng_chance(r, 2) ? "1.50e+3" : "-0.0");
  default:
    memcpy(&value, &bits, sizeof(value));
    return value - value == 0 ? json_number(value) : json_integer(7);
  }
}

static struct json *random_value(struct rng *r, unsigned depth) {
  unsigned kind = (unsigned)rng_below(r, depth == 0 ? 4 : 7);
  if (kind == 0) return json_bool(rng_chance(r, 2));
  if (kind == 1) return rng_chance(r, 3) ? json_null() : random_number(r);
  if (kind == 2) return random_number(r);
  if (kind == 3) return random_string(r);
  size_t n = rng_below(r, 7);
  struct json *v = kind == 4 ? json_array() : json_object();
  for (size_t i = 0; i < n; i++) {
    struct json *child = random_value(r, depth - 1);
    bool ok = kind == 4 ? json_append(v, child)
                        : json_set(v, json_text(random_string(r)), child);
    cr_assert(ok);
  }
  return v;
}

static struct json *parse(const char *text) {
  struct json_error err;
  struct json *v = json_parse(text, strlen(text), NULL, &err);
  cr_assert(v != NULL, "%zu:%zu: %s in %s", err.line, err.column, err.message,
            text);
  return v;
}

Test(json_roundtrip, written_documents_read_back_equal) {
  struct rng r = rng_seed();
  for (int i = 0; i < 2000; i++) {
    struct json *v = random_value(&r, 6);
    const char *compact = json_write(v, 0, NULL);
    const char *pretty = json_write(v, (unsigned)rng_below(&r, 9), NULL);
    struct json *back = parse(compact);
    cr_assert(json_equal(v, back), "%s", compact);
    cr_assert(json_equal(v, parse(pretty)));
    cr_assert_str_eq(json_write(back, 0, NULL), compact);
    cr_assert(json_equal(v, json_copy(v)));
  }
}

Test(json_roundtrip, one_change_makes_documents_unequal) {
  struct rng r = rng_seed();
  int changed = 0;
  for (int i = 0; i < 500; i++) {
    struct json *v = random_value(&r, 4), *copy = json_copy(v), *at = copy;
    while (json_length(at) > 0) {
      size_t k = rng_below(&r, json_length(at));
      if (json_length(json_at(at, k)) == 0) {
        cr_assert(json_put(at, k, json_string("not what it was, surely")));
        break;
      }
      at = json_at(at, k);
    }
    if (json_length(copy) == 0) continue;
    cr_assert(!json_equal(v, copy));
    changed++;
  }
  cr_assert_gt(changed, 50);
}

Test(json_roundtrip, damaged_text_never_breaks_the_parser) {
  struct rng r = rng_seed();
  for (int i = 0; i < 2000; i++) {
    size_t len;
    char *text = json_write(random_value(&r, 5), 1, &len);
    if (len == 0) continue;
    for (unsigned n = 1 + (unsigned)rng_below(&r, 3); n > 0; n--) {
      text[rng_below(&r, len)] = (char)rng_u64(&r);
    }
    struct json_error err = {0};
    struct json *v = json_parse(text, len, NULL, &err);
    /* Either it says where, or what it read is a document like any other. */
    if (v) {
      cr_assert(json_equal(v, parse(json_write(v, 0, NULL))));
    } else {
      cr_assert(err.line > 0 && err.offset <= len && err.message[0]);
    }
  }
}

Test(json_roundtrip, documents_survive_collections) {
  struct rng r = rng_seed();
  enum { KEPT = 16 };
  struct json *kept[KEPT];
  uint64_t seeds[KEPT];
  for (int round = 0; round < 20; round++) {
    for (int i = 0; i < KEPT; i++) {
      if (round > 0) {
        struct rng again = rng_from(seeds[i]);
        cr_assert(json_equal(kept[i], random_value(&again, 6)),
                  "round %d, document %d", round, i);
      }
      if (round == 0 || rng_chance(&r, 2)) {
        seeds[i] = rng_u64(&r);
        struct rng fresh = rng_from(seeds[i]);
        kept[i] = random_value(&fresh, 6);
      }
    }
    mgc_collect();
  }
}

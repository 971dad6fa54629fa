// SPDX-License-Identifier: MIT
/* examples/json: looking at trees, changing them, comparing and writing them. */
#include "json/json.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct json *parse(const char *text) {
  struct json_error err;
  struct json *v = json_parse(text, strlen(text), NULL, &err);
  cr_assert(v != NULL, "%s: %s", text, err.message);
  return v;
}

static void check_text(const struct json *v, const char *text) {
  cr_assert_str_eq(json_write(v, 0, NULL), text);
}

Test(json_tree, getters_accept_anything) {
  struct json *doc = parse("{\"a\":[1,\"x\",null,true]}");
  struct json *a = json_get(doc, "a");
  cr_assert_eq(json_kind(a), JSON_ARRAY);
  cr_assert_eq(json_length(a), 4u);
  cr_assert_eq(json_double(json_at(a, 0)), 1.0);
  cr_assert_str_eq(json_text(json_at(a, 1)), "x");
  cr_assert_eq(json_kind(json_at(a, 2)), JSON_NULL);
  cr_assert(json_is_true(json_at(a, 3)));
  cr_assert_eq(json_kind(json_at(a, 4)), JSON_MISSING);
  cr_assert(json_get(json_get(json_get(doc, "no"), "such"), "name") == NULL);
  cr_assert(json_text(json_at(a, 0)) == NULL);
  cr_assert(isnan(json_double(json_at(a, 1))));
  cr_assert(json_get(a, "a") == NULL);
  cr_assert_eq(json_length(json_at(a, 1)), 0u);
  cr_assert_str_eq(json_name_at(doc, 0), "a");
  cr_assert(json_name_at(doc, 1) == NULL && json_name_at(a, 0) == NULL);
}

Test(json_tree, last_of_equal_names_is_found) {
  struct json *doc = parse("{\"a\":1,\"b\":2,\"a\":3}");
  cr_assert_eq(json_double(json_get(doc, "a")), 3.0);
  cr_assert(json_set(doc, "a", json_integer(4)));
  check_text(doc, "{\"a\":1,\"b\":2,\"a\":4}");
  cr_assert(json_remove(doc, "a"));
  check_text(doc, "{\"b\":2}");
  cr_assert(!json_remove(doc, "a"));
}

Test(json_tree, arrays_grow_and_shrink) {
  struct json *a = json_array();
  for (int i = 0; i < 100; i++) cr_assert(json_append(a, json_integer(i)));
  cr_assert_eq(json_length(a), 100u);
  for (int i = 0; i < 100; i++) {
    cr_assert_eq(json_double(json_at(a, (size_t)i)), i);
  }
  for (int i = 0; i < 97; i++) cr_assert(json_remove_at(a, 1));
  check_text(a, "[0,98,99]");
  cr_assert(json_insert(a, 1, json_string("new")));
  cr_assert(json_insert(a, 4, json_null()));
  cr_assert(json_put(a, 0, json_bool(false)));
  check_text(a, "[false,\"new\",98,99,null]");
}

Test(json_tree, parsed_vectors_grow_too) {
  struct json *a = parse("[1,2,3]"), *o = parse("{\"a\":1}");
  cr_assert(json_remove_at(a, 1));
  cr_assert(json_append(a, json_integer(9)));
  cr_assert(json_append(a, json_integer(10)));
  check_text(a, "[1,3,9,10]");
  char name[] = "b";
  for (; *name <= 'j'; ++*name) cr_assert(json_set(o, name, json_bool(true)));
  cr_assert_eq(json_length(o), 10u);
  cr_assert(json_is_true(json_get(o, "f")));
  cr_assert(json_remove_at(o, 0));
  cr_assert_str_eq(json_name_at(o, 0), "b");
}

Test(json_tree, bad_arguments_are_refused) {
  struct json *a = parse("[1]"), *o = parse("{\"a\":1}");
  static const int calls = 9;
  for (int i = 0; i < calls; i++) {
    errno = 0;
    bool ok = i == 0   ? json_append(o, json_null())
              : i == 1 ? json_append(a, NULL)
              : i == 2 ? json_insert(a, 2, json_null())
              : i == 3 ? json_put(a, 1, json_null())
              : i == 4 ? json_remove_at(a, 1)
              : i == 5 ? json_set(a, "x", json_null())
              : i == 6 ? json_set(o, "x", NULL)
              : i == 7 ? json_remove(NULL, "x")
                       : json_put(json_null(), 0, json_null());
    cr_assert(!ok && errno == EINVAL, "call %d", i);
  }
  cr_assert(!json_string("\xff") && !json_set(o, "\x80", json_null()));
  cr_assert(!json_number(NAN) && !json_number(INFINITY));
  cr_assert(!json_number_from_text("1x") && !json_number_from_text(""));
  check_text(a, "[1]");
  check_text(o, "{\"a\":1}");
}

Test(json_tree, nul_characters_survive) {
  struct json *s = json_string_n("a\0b", 3);
  check_text(s, "\"a\\u0000b\"");
  cr_assert_str_eq(json_text(s), "a\xc0\x80"
                                 "b");
  cr_assert(json_equal(s, parse("\"a\\u0000b\"")));
  cr_assert(json_equal(s, json_string(json_text(s))));
}

static const struct {
  double value;
  const char *text;
} doubles[] = {
    {0, "0"},
    {-0.0, "-0"},
    {0.1, "0.1"},
    {1.0 / 3, "0.3333333333333333"},
    {1e21, "1e+21"},
    {5e-324, "4.94065645841247e-324"},
    {100, "100"},
    {-2.5, "-2.5"},
    {1e15, "1e+15"},
    {123456789012345, "123456789012345"},
    {0.1 + 0.2, "0.30000000000000004"},
};

Test(json_tree, doubles_are_written_short_and_read_back) {
  for (size_t i = 0; i < sizeof(doubles) / sizeof(doubles[0]); i++) {
    struct json *v = json_number(doubles[i].value);
    check_text(v, doubles[i].text);
    cr_assert_eq(json_double(v), doubles[i].value);
  }
}

static const struct {
  const char *text;
  bool ok;
  int64_t value;
} integers[] = {
    {"0", true, 0},
    {"-0.000", true, 0},
    {"0e99", true, 0},
    {"42", true, 42},
    {"-42.0", true, -42},
    {"4.2e1", true, 42},
    {"4200e-2", true, 42},
    {"0.042e3", true, 42},
    {"9223372036854775807", true, INT64_MAX},
    {"9223372036854775808", false, 0},
    {"-9223372036854775808", true, INT64_MIN},
    {"-9223372036854775809", false, 0},
    {"1e18", true, 1000000000000000000},
    {"1e19", false, 0},
    {"99999999999999999999", false, 0},
    {"0.5", false, 0},
    {"1e-1", false, 0},
    {"1e9999999999999999999999", false, 0},
    {"1e-9999999999999999999999", false, 0},
};

Test(json_tree, integers_are_exact_or_refused) {
  for (size_t i = 0; i < sizeof(integers) / sizeof(integers[0]); i++) {
    int64_t got = 0;
    bool ok = json_int64(parse(integers[i].text), &got);
    cr_assert(ok == integers[i].ok && got == integers[i].value, "%s: %d %lld",
              integers[i].text, ok, (long long)got);
  }
  int64_t got;
  cr_assert(!json_int64(parse("\"1\""), &got));
}

static const struct {
  const char *a, *b;
  bool equal;
} pairs[] = {
    {"1", "1.0", true},
    {"100", "1e2", true},
    {"0.001", "1E-3", true},
    {"-0", "0.0e5", true},
    {"10", "1", false},
    {"0.1", "0.01", false},
    {"1", "-1", false},
    {"12", "123", false},
    {"1.05", "1.5", false},
    {"10.5", "1.05e1", true},
    {"123456789012345678901", "123456789012345678902", false},
    {"1e99999999999999999999", "1e99999999999999999999", true},
    {"\"a\"", "\"\\u0061\"", true},
    {"\"a\"", "\"b\"", false},
    {"\"1\"", "1", false},
    {"null", "false", false},
    {"true", "true", true},
    {"[]", "{}", false},
    {"[1,2]", "[2,1]", false},
    {"[1,2]", "[1]", false},
    {"{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1.0}", true},
    {"{\"a\":1,\"b\":2}", "{\"b\":1,\"a\":2}", false},
    {"{\"a\":1,\"b\":2}", "{\"a\":1,\"c\":2}", false},
    {"{\"a\":1,\"b\":0,\"a\":2}", "{\"b\":0,\"a\":1,\"a\":2}", true},
    {"{\"a\":1,\"b\":0,\"a\":2}", "{\"b\":0,\"a\":2,\"a\":1}", false},
    {"{\"a\":[{\"b\":{}}]}", "{\"a\":[{\"b\":[]}]}", false},
};

Test(json_tree, equality_is_of_values) {
  for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
    struct json *a = parse(pairs[i].a), *b = parse(pairs[i].b);
    cr_assert_eq(json_equal(a, b), pairs[i].equal, "%s == %s", pairs[i].a,
                 pairs[i].b);
    cr_assert_eq(json_equal(b, a), pairs[i].equal);
  }
}

Test(json_tree, copy_shares_no_array_or_object) {
  struct json *doc = parse("{\"a\":[1,{\"b\":\"x\"}],\"c\":{}}");
  struct json *copy = json_copy(doc);
  cr_assert(json_equal(doc, copy));
  json_set(json_at(json_get(doc, "a"), 1), "b", json_string("y"));
  json_set(json_get(doc, "c"), "d", json_null());
  json_append(json_get(doc, "a"), json_null());
  check_text(copy, "{\"a\":[1,{\"b\":\"x\"}],\"c\":{}}");
  check_text(doc, "{\"a\":[1,{\"b\":\"y\"},null],\"c\":{\"d\":null}}");
}

Test(json_tree, cycle_is_refused) {
  struct json *a = json_array(), *o = json_object();
  json_append(a, o);
  json_set(o, "self", a);
  errno = 0;
  cr_assert(!json_write(a, 0, NULL) && errno == ELOOP);
  errno = 0;
  cr_assert(!json_copy(a) && errno == ELOOP);
  errno = 0;
  cr_assert(!json_equal(a, a) && errno == ELOOP);
}

Test(json_tree, pretty_form_is_indented) {
  struct json *doc = parse("{\"a\":[1,[],{}],\"b\":{\"c\":null}}");
  size_t len;
  const char *text = json_write(doc, 2, &len);
  cr_assert_str_eq(text, "{\n"
                         "  \"a\": [\n"
                         "    1,\n"
                         "    [],\n"
                         "    {}\n"
                         "  ],\n"
                         "  \"b\": {\n"
                         "    \"c\": null\n"
                         "  }\n"
                         "}");
  cr_assert_eq(len, strlen(text));
}

Test(json_tree, stream_gets_the_same_text) {
  struct json *doc = parse("[1,{\"a\":\"b\"}]");
  char buffer[64] = "";
  FILE *f = fmemopen(buffer, sizeof(buffer), "w");
  cr_assert(json_print(f, doc, 0));
  fclose(f);
  cr_assert_str_eq(buffer, "[1,{\"a\":\"b\"}]\n");
  f = fopen("/dev/full", "w");
  setvbuf(f, NULL, _IONBF, 0);
  cr_assert(!json_print(f, doc, 0));
  fclose(f);
}

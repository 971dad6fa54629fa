// SPDX-License-Identifier: MIT
/* examples/json: what is JSON, what is not, and where an error is. */
#include "json/json.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct json *parse(const char *text) {
  return json_parse(text, strlen(text), NULL, NULL);
}

/* Valid texts with their compact form; NULL: the same text. */
static const struct valid {
  const char *text, *compact;
} valid[] = {
    {"null", NULL},
    {"true", NULL},
    {" false ", "false"},
    {"\t\r\n 1 \n", "1"},
    {"0", NULL},
    {"-0", NULL},
    {"0.0", NULL},
    {"-0.5e-10", NULL},
    {"1E+2", NULL},
    {"1e00002", NULL},
    {"123456789012345678901234567890", NULL},
    {"0.1000", NULL},
    {"1e999999", NULL},
    {"\"\"", NULL},
    {"\"a\"", NULL},
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\""},
    {"\"\\u0041\\u00e9\\u20AC\"", "\"A\xc3\xa9\xe2\x82\xac\""},
    {"\"\\uD83D\\uDe00\"", "\"\xf0\x9f\x98\x80\""},
    {"\"\\u0000\"", NULL},
    {"\"a\\u0000b\\u001f\\u000B\"", "\"a\\u0000b\\u001f\\u000b\""},
    {"\"\\u007f\"", "\"\x7f\""},
    {"\"\xef\xbf\xbf\xf4\x8f\xbf\xbf\"", NULL},
    {"\"\\uDBFF\\uDFFF\"", "\"\xf4\x8f\xbf\xbf\""},
    {"\"\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\"", NULL},
    {"\"exactly 15 byte\"", NULL},
    {"\"exactly 16 bytes\"", NULL},
    {"[]", NULL},
    {"[ ]", "[]"},
    {"[1,\"2\",[3],{}]", NULL},
    {"[\n1\n,\n2\n]", "[1,2]"},
    {"{}", NULL},
    {"{ }", "{}"},
    {"{\"\":0}", NULL},
    {"{\"a\":1,\"b\":[true,null]}", NULL},
    {"{\"a\" : 1 , \"a\" : 2}", "{\"a\":1,\"a\":2}"},
    {"{\"\\u0000\":1}", NULL},
    {"[[[[[[[[[[]]]]]]]]]]", NULL},
};

Test(json_grammar, valid_text_is_accepted_and_written_back) {
  for (size_t i = 0; i < sizeof(valid) / sizeof(valid[0]); i++) {
    const struct valid *v = &valid[i];
    struct json *doc = parse(v->text);
    cr_assert(doc != NULL, "not accepted: %s", v->text);
    const char *out = json_write(doc, 0, NULL);
    cr_assert_str_eq(out, v->compact ? v->compact : v->text);
  }
}

/* Invalid texts with the place and a part of the message. */
static const struct invalid {
  const char *text;
  size_t line, column;
  const char *message;
} invalid[] = {
    {"", 1, 1, "the text ends"},
    {"  \n ", 2, 2, "the text ends"},
    {"tru", 1, 1, "did you mean true"},
    {"nul", 1, 1, "did you mean null"},
    {"False", 1, 1, "a value expected"},
    {"NaN", 1, 1, "a value expected"},
    {"-Infinity", 1, 2, "digit expected"},
    {"+1", 1, 1, "a value expected"},
    {".5", 1, 1, "a value expected"},
    {"1.", 1, 3, "digit expected"},
    {"1.e1", 1, 3, "digit expected"},
    {"1e", 1, 3, "digit expected"},
    {"1e+", 1, 4, "digit expected"},
    {"-", 1, 2, "digit expected"},
    {"01", 1, 2, "leading zero"},
    {"-01", 1, 3, "leading zero"},
    {"0x1", 1, 2, "more text"},
    {"1 2", 1, 3, "more text"},
    {"[1,]", 1, 3, "comma before"},
    {"[,1]", 1, 2, "a value expected"},
    {"[1,,2]", 1, 4, "a value expected"},
    {"[1 2]", 1, 4, "',' or ']' expected"},
    {"[1", 1, 3, "'[' is not closed"},
    {"[", 1, 2, "the text ends"},
    {"]", 1, 1, "a value expected"},
    {"[1}", 1, 3, "',' or ']' expected"},
    {"{\"a\":1,}", 1, 7, "comma before"},
    {"{\"a\":1", 1, 7, "'{' is not closed"},
    {"{\"a\"}", 1, 5, "':' expected"},
    {"{\"a\",1}", 1, 5, "':' expected"},
    {"{\"a\":}", 1, 6, "a value expected"},
    {"{a:1}", 1, 2, "a name in double quotes"},
    {"{1:1}", 1, 2, "a name in double quotes"},
    {"{'a':1}", 1, 2, "a name in double quotes"},
    {"{,}", 1, 2, "a name in double quotes"},
    {"{", 1, 2, "where a name is expected"},
    {"{\"a\":1 \"b\":2}", 1, 8, "',' or '}' expected"},
    {"{\"a\":1}}", 1, 8, "more text"},
    {"\"a", 1, 1, "without closing quote"},
    {"[\"a]", 1, 2, "without closing quote"},
    {"\"\\", 1, 2, "unknown escape"},
    {"\"\\x41\"", 1, 2, "unknown escape"},
    {"\"\\'\"", 1, 2, "unknown escape"},
    {"\"\\u12\"", 1, 2, "four hexadecimal"},
    {"\"\\u00g0\"", 1, 2, "four hexadecimal"},
    {"\"\\u+123\"", 1, 2, "four hexadecimal"},
    {"\"\\ud800\"", 1, 2, "surrogate"},
    {"\"\\ud800x\"", 1, 2, "surrogate"},
    {"\"\\ud800\\u0041\"", 1, 2, "surrogate"},
    {"\"\\udc00\\ud800\"", 1, 2, "surrogate"},
    {"\"ab\ncd\"", 1, 4, "control character U+000A"},
    {"\"\t\"", 1, 2, "control character U+0009"},
    {"\"\x80\"", 1, 2, "invalid UTF-8"},
    {"\"\xc0\x80\"", 1, 2, "invalid UTF-8"},
    {"\"\xc1\xbf\"", 1, 2, "invalid UTF-8"},
    {"\"\xe0\x9f\xbf\"", 1, 2, "invalid UTF-8"},
    {"\"\xed\xa0\x80\"", 1, 2, "invalid UTF-8"},
    {"\"\xf0\x8f\xbf\xbf\"", 1, 2, "invalid UTF-8"},
    {"\"\xf4\x90\x80\x80\"", 1, 2, "invalid UTF-8"},
    {"\"\xf8\x88\x80\x80\x80\"", 1, 2, "invalid UTF-8"},
    {"\"\xe2\x82\"", 1, 2, "invalid UTF-8"},
    {"\xef\xbb\xbf{}", 1, 1, "byte order mark"},
    {"\xc2\xa0"
     "1",
     1, 1, "a value expected"},
    {"// no\n1", 1, 1, "a value expected"},
    {"[1,\n 2,\n x]", 3, 2, "a value expected"},
    {"[1,\r\n 2,\r x]", 3, 2, "a value expected"},
    {"[\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\", x]", 1, 9, "a value expected"},
    {"[\n\n\n\"a\",\n", 5, 1, "the text ends"},
};

Test(json_grammar, invalid_text_is_refused_with_its_place) {
  for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
    const struct invalid *v = &invalid[i];
    struct json_error err;
    cr_assert(!json_parse(v->text, strlen(v->text), NULL, &err), "accepted: %s",
              v->text);
    cr_assert(strstr(err.message, v->message) != NULL, "%s: %s", v->text,
              err.message);
    cr_assert(err.line == v->line && err.column == v->column,
              "%s: %zu:%zu, expected %zu:%zu", v->text, err.line, err.column,
              v->line, v->column);
  }
}

Test(json_grammar, nul_byte_outside_a_string_is_refused) {
  struct json_error err;
  cr_assert(!json_parse("1\0", 2, NULL, &err));
  cr_assert_eq(err.column, 2u);
  cr_assert(!json_parse("[\"a\0b\"]", 7, NULL, &err));
  cr_assert(strstr(err.message, "U+0000") != NULL);
}

Test(json_grammar, text_cut_anywhere_is_refused) {
  static const char text[] =
      "{\"a\": [1.5e3, true, null, \"\\u00e9\\n\"], \"b\": {\"c\": false}}";
  cr_assert(parse(text) != NULL);
  for (size_t n = 0; n + 1 < strlen(text); n++) {
    char *cut = malloc(n + 1); /* exact, so that a sanitizer sees overreads */
    memcpy(cut, text, n);
    cr_assert(!json_parse(cut, n, NULL, NULL), "accepted %zu bytes", n);
    free(cut);
  }
}

static char *nested(size_t depth, const char *open, const char *inner,
                    const char *close) {
  size_t lo = strlen(open), lc = strlen(close);
  char *text = malloc(depth * (lo + lc) + strlen(inner) + 1), *p = text;
  for (size_t i = 0; i < depth; i++) p = stpcpy(p, open);
  p = stpcpy(p, inner);
  for (size_t i = 0; i < depth; i++) p = stpcpy(p, close);
  return text;
}

Test(json_grammar, depth_limit_is_exact) {
  const struct json_options five = {.max_depth = 5};
  struct json_error err;
  char *ok = nested(5, "{\"a\":", "1", "}"), *deep = nested(6, "[", "1", "]");
  cr_assert(json_parse(ok, strlen(ok), &five, &err) != NULL);
  cr_assert(!json_parse(deep, strlen(deep), &five, &err));
  cr_assert_str_eq(err.message, "nested more than 5 deep");
  cr_assert_eq(err.column, 6u);
  free(ok);
  free(deep);
}

Test(json_grammar, deepest_document_is_written_compared_and_copied) {
  char *text = nested(JSON_DEPTH_MAX, "[", "1", "]");
  struct json *doc = parse(text);
  cr_assert(doc != NULL);
  cr_assert_str_eq(json_write(doc, 0, NULL), text);
  cr_assert(json_equal(doc, json_copy(doc)));
  free(text);

  text = nested(100000, "[", "", "");
  struct json_error err;
  cr_assert(!json_parse(text, strlen(text), NULL, &err));
  cr_assert(strstr(err.message, "nested more than 1000 deep") != NULL);
  free(text);
}

static char *shown(const char *text) {
  static char buffer[512];
  struct json_error err;
  cr_assert(!json_parse(text, strlen(text), NULL, &err));
  FILE *f = fmemopen(buffer, sizeof(buffer), "w");
  json_error_print(f, "x.json", &err);
  fclose(f);
  return buffer;
}

Test(json_grammar, error_is_shown_with_a_caret) {
  cr_assert_str_eq(shown("{\n\t\"\xc3\xa9\": tru }"),
                   "x.json:2:7: a value expected; did you mean true?\n"
                   "    \t\"\xc3\xa9\": tru }\n"
                   "    \t     ^\n");
}

Test(json_grammar, error_in_a_long_line_shows_what_is_around_it) {
  char text[3000] = "[";
  for (int i = 0; i < 1000; i++) strcat(text, "1,");
  strcat(text, "oops]");
  cr_assert_str_eq(shown(text), "x.json:1:2002: a value expected\n"
                                "    1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,oops]\n"
                                "                                  ^\n");
}

Test(json_grammar, unreadable_file_is_an_error_without_a_line) {
  struct json_error err;
  cr_assert(!json_load("/nonexistent/x.json", NULL, &err));
  cr_assert_eq(err.line, 0u);
  cr_assert_str_eq(err.message, "No such file or directory");
  cr_assert(!json_load("/", NULL, &err));
  cr_assert_str_eq(err.message, "Is a directory");
}

Test(json_grammar, file_is_read_whole) {
  char name[] = "/tmp/test_json_XXXXXX";
  FILE *f = fdopen(mkstemp(name), "w");
  fputc('[', f);
  for (int i = 0; i < 5000; i++) fprintf(f, "%d,\n", i);
  fputs("\"end\"]", f);
  fclose(f);
  struct json *doc = json_load(name, NULL, NULL);
  remove(name);
  cr_assert_eq(json_length(doc), 5001u);
  cr_assert_str_eq(json_text(json_at(doc, 5000)), "end");
}

// SPDX-License-Identifier: MIT
#include "base/list.h"
#include "support/rng.h"

#include <criterion/criterion.h>
#include <string.h>

struct item {
  int value;
  struct list link;
};

/* The values from front to back as digits, checked against the way back. */
static void digits(const struct list *head, char *out) {
  size_t n = 0, back = 0;
  list_for_each(pos, head) {
    cr_assert_eq(pos->next->prev, pos);
    out[n++] = (char)('0' + list_entry(pos, struct item, link)->value);
  }
  for (struct list *pos = head->prev; pos != head; pos = pos->prev) back++;
  cr_assert_eq(n, back);
  out[n] = 0;
}

static void expect(const struct list *head, const char *values) {
  char got[64];
  digits(head, got);
  cr_assert_str_eq(got, values);
}

Test(list, push_pop_and_remove_keep_order) {
  struct list head;
  struct item items[5];
  list_init(&head);
  cr_assert(list_empty(&head));
  for (int i = 0; i < 5; i++) {
    items[i].value = i;
    list_init(&items[i].link);
    cr_assert_not(list_linked(&items[i].link));
  }
  list_push_back(&head, &items[1].link);
  list_push_back(&head, &items[2].link);
  list_push_front(&head, &items[0].link);
  expect(&head, "012");
  list_insert_before(&items[1].link, &items[4].link);
  expect(&head, "0412");
  cr_assert(list_linked(&items[4].link));
  list_remove(&items[4].link);
  list_remove(&items[4].link); /* harmless */
  expect(&head, "012");
  cr_assert_eq(list_pop_front(&head), &items[0].link);
  cr_assert_not(list_linked(&items[0].link));
  cr_assert_eq(list_pop_front(&head), &items[1].link);
  cr_assert_eq(list_pop_front(&head), &items[2].link);
  cr_assert_null(list_pop_front(&head));
}

Test(list, append_moves_all_and_empties_the_source) {
  struct list a, b;
  struct item items[6];
  list_init(&a);
  list_init(&b);
  list_append(&a, &b);
  expect(&a, "");
  for (int i = 0; i < 6; i++) {
    items[i].value = i;
    list_push_back(i < 3 ? &a : &b, &items[i].link);
  }
  list_append(&a, &b);
  expect(&a, "012345");
  expect(&b, "");
  list_append(&b, &a);
  expect(&b, "012345");
}

Test(list, loop_may_remove_its_element) {
  struct list head;
  struct item items[6];
  list_init(&head);
  for (int i = 0; i < 6; i++) {
    items[i].value = i;
    list_push_back(&head, &items[i].link);
  }
  list_for_each(pos, &head) {
    if (list_entry(pos, struct item, link)->value % 2 == 0) list_remove(pos);
  }
  expect(&head, "135");
}

/* Against an array of digits. */
Test(list, random_operations_agree_with_an_array) {
  struct rng r = rng_seed();
  struct list head;
  struct item items[10];
  char model[11] = "";
  list_init(&head);
  for (int i = 0; i < 10; i++) {
    items[i].value = i;
    list_init(&items[i].link);
  }
  for (int step = 0; step < 5000; step++) {
    int i = (int)rng_below(&r, 10);
    char digit[2] = {(char)('0' + i), 0};
    char *at = strchr(model, digit[0]);
    cr_assert_eq(list_linked(&items[i].link), at != NULL);
    if (at) {
      list_remove(&items[i].link);
      memmove(at, at + 1, strlen(at));
    } else if (rng_chance(&r, 2)) {
      list_push_back(&head, &items[i].link);
      strcat(model, digit);
    } else {
      list_push_front(&head, &items[i].link);
      memmove(model + 1, model, strlen(model) + 1);
      model[0] = digit[0];
    }
    expect(&head, model);
  }
}

// SPDX-License-Identifier: MIT
/*
 * Intrusive doubly linked list: a ring through a head that is no element. An
 * element that is in no list is linked to itself, so that removing it twice is
 * harmless and list_linked tells. The caller locks. Head and elements must not
 * move while they are linked.
 */
#ifndef MGC_BASE_LIST_H
#define MGC_BASE_LIST_H

#include "base/compiler.h"
#include <stdbool.h>

struct list {
  struct list *next, *prev;
};

/* For heads and elements alike. */
static inline void list_init(struct list *l) { l->next = l->prev = l; }

static inline bool list_empty(const struct list *head) {
  return head->next == head;
}

static inline bool list_linked(const struct list *elem) {
  return elem->next != elem;
}

/* Puts elem, which is in no list, before pos: before the head is the end. */
static inline void list_insert_before(struct list *pos, struct list *elem) {
  elem->prev = pos->prev;
  elem->next = pos;
  pos->prev->next = elem;
  pos->prev = elem;
}

static inline void list_push_back(struct list *head, struct list *elem) {
  list_insert_before(head, elem);
}

static inline void list_push_front(struct list *head, struct list *elem) {
  list_insert_before(head->next, elem);
}

static inline void list_remove(struct list *elem) {
  elem->prev->next = elem->next;
  elem->next->prev = elem->prev;
  list_init(elem);
}

/* The first element taken out, or NULL. */
static inline struct list *list_pop_front(struct list *head) {
  struct list *elem = head->next;
  if (elem == head) return NULL;
  list_remove(elem);
  return elem;
}

/* Moves all of from, in order, to the end of to. */
static inline void list_append(struct list *to, struct list *from) {
  if (list_empty(from)) return;
  from->next->prev = to->prev;
  to->prev->next = from->next;
  from->prev->next = to;
  to->prev = from->prev;
  list_init(from);
}

/* pos: struct list * of the loop. The element may be removed in the body. */
#define list_for_each(pos, head)                                               \
  for (struct list *pos = (head)->next, *pos##_next = pos->next;               \
       pos != (head); pos = pos##_next, pos##_next = pos->next)

#define list_entry(ptr, type, member) container_of(ptr, type, member)

#endif

// SPDX-License-Identifier: MIT
/*
 * cfrac [STEPS]: small-number churn. The continued fraction of the square root
 * of a large number, with the numerators of its convergents modulo that number:
 * the first half of Morrison and Brillhart's way to factor. Each number is a
 * block of its own, as in the program of that name that Zorn made a benchmark
 * of allocators; each result is a new block and most live for one operation.
 */
#include "common.h"

struct number {
  uint32_t length; /* limbs in use; the highest is not 0 */
  uint32_t limb[];
};

static struct number *number_new(uint32_t limbs) {
  struct number *n = must(malloc(sizeof *n + limbs * sizeof n->limb[0]));
  n->length = limbs;
  return n;
}

static struct number *trim(struct number *n) {
  while (n->length > 0 && n->limb[n->length - 1] == 0) n->length--;
  return n;
}

static struct number *small(uint32_t value) {
  struct number *n = number_new(1);
  n->limb[0] = value;
  return trim(n);
}

static struct number *copy(const struct number *a) {
  struct number *n = number_new(a->length);
  memcpy(n->limb, a->limb, a->length * sizeof n->limb[0]);
  return n;
}

static int compare(const struct number *a, const struct number *b) {
  if (a->length != b->length) return a->length < b->length ? -1 : 1;
  for (uint32_t i = a->length; i-- > 0;)
    if (a->limb[i] != b->limb[i]) return a->limb[i] < b->limb[i] ? -1 : 1;
  return 0;
}

static struct number *add(const struct number *a, const struct number *b) {
  if (a->length < b->length) return add(b, a);
  struct number *n = number_new(a->length + 1);
  uint64_t carry = 0;
  for (uint32_t i = 0; i < a->length; i++) {
    carry += (uint64_t)a->limb[i] + (i < b->length ? b->limb[i] : 0);
    n->limb[i] = (uint32_t)carry;
    carry >>= 32;
  }
  n->limb[a->length] = (uint32_t)carry;
  return trim(n);
}

/* a - b, which is not negative. */
static struct number *subtract(const struct number *a, const struct number *b) {
  struct number *n = number_new(a->length);
  int64_t borrow = 0;
  for (uint32_t i = 0; i < a->length; i++) {
    borrow += (int64_t)a->limb[i] - (i < b->length ? b->limb[i] : 0);
    n->limb[i] = (uint32_t)borrow;
    borrow >>= 32;
  }
  return trim(n);
}

static struct number *multiply(const struct number *a, const struct number *b) {
  struct number *n = number_new(a->length + b->length);
  memset(n->limb, 0, n->length * sizeof n->limb[0]);
  for (uint32_t i = 0; i < a->length; i++) {
    uint64_t carry = 0;
    for (uint32_t j = 0; j < b->length; j++) {
      carry += (uint64_t)a->limb[i] * b->limb[j] + n->limb[i + j];
      n->limb[i + j] = (uint32_t)carry;
      carry >>= 32;
    }
    n->limb[i + b->length] = (uint32_t)carry;
  }
  return trim(n);
}

static bool bit(const struct number *a, uint32_t i) {
  return (a->limb[i / 32] >> (i % 32)) & 1;
}

/* n = 2 n + low, in place; n has room. */
static void shift_in(struct number *n, uint32_t low) {
  for (uint32_t i = 0; i < n->length; i++) {
    uint32_t high = n->limb[i] >> 31;
    n->limb[i] = n->limb[i] << 1 | low;
    low = high;
  }
  if (low) n->limb[n->length++] = low;
}

static void subtract_from(struct number *n, const struct number *b) {
  int64_t borrow = 0;
  for (uint32_t i = 0; i < n->length; i++) {
    borrow += (int64_t)n->limb[i] - (i < b->length ? b->limb[i] : 0);
    n->limb[i] = (uint32_t)borrow;
    borrow >>= 32;
  }
  trim(n);
}

/* The quotient, bit by bit; the remainder in *rest. */
static struct number *divide(const struct number *a, const struct number *b,
                             struct number **rest) {
  struct number *q = number_new(a->length);
  memset(q->limb, 0, q->length * sizeof q->limb[0]);
  struct number *r = number_new(b->length + 1);
  r->length = 0;
  uint32_t skip = b->length > 1 && a->length >= b->length ? b->length - 1 : 0;
  /* The upper limbs go in at once: they are below b. */
  for (uint32_t i = 0; i < skip; i++)
    r->limb[i] = a->limb[a->length - skip + i];
  r->length = skip;
  trim(r);
  for (uint32_t i = (a->length - skip) * 32; i-- > 0;) {
    if (r->length == 0) {
      r->limb[0] = bit(a, i);
      r->length = r->limb[0] != 0;
    } else {
      shift_in(r, bit(a, i));
    }
    if (compare(r, b) >= 0) {
      subtract_from(r, b);
      q->limb[i / 32] |= 1u << (i % 32);
    }
  }
  *rest = r;
  return trim(q);
}

/* The integer part of the square root, by Newton's iteration from above. */
static struct number *square_root(const struct number *a) {
  struct number *x = copy(a);
  struct number *two = small(2);
  for (;;) {
    struct number *rest, *rest2;
    struct number *q = divide(a, x, &rest);
    struct number *twice = add(x, q);
    struct number *y = divide(twice, two, &rest2);
    free(rest);
    free(rest2);
    free(q);
    free(twice);
    if (compare(y, x) >= 0) {
      free(y);
      free(two);
      return x;
    }
    free(x);
    x = y;
  }
}

static void replace(struct number **old, struct number *by) {
  free(*old);
  *old = by;
}

/*
 * The same where the quotient is mostly 1, 2 or 3, as in a continued fraction
 * (Gauss and Kuzmin): subtracts as often as that goes, and divides when it goes
 * too often.
 */
static struct number *divide_small(const struct number *a,
                                   const struct number *b,
                                   struct number **rest) {
  enum { MOST = 12 };
  struct number *r = copy(a);
  uint32_t q = 0;
  while (compare(r, b) >= 0) {
    if (q++ == MOST) {
      free(r);
      return divide(a, b, rest);
    }
    replace(&r, subtract(r, b));
  }
  *rest = r;
  return small(q);
}

static uint64_t digest(uint64_t sum, const struct number *n) {
  for (uint32_t i = 0; i < n->length; i++)
    sum = (sum ^ n->limb[i]) * 0x100000001B3u;
  return sum;
}

/* above + a (p - next), where p - next may be negative and the sum is not. */
static struct number *next_q(const struct number *above, const struct number *a,
                             const struct number *p,
                             const struct number *next) {
  bool falls = compare(p, next) < 0;
  struct number *change = falls ? subtract(next, p) : subtract(p, next);
  struct number *product = multiply(a, change);
  struct number *q = falls ? subtract(above, product) : add(above, product);
  free(change);
  free(product);
  return q;
}

int main(int argc, char **argv) {
  long steps = argument(argc, argv, 1, 3000000);
  /* 151 bits; any large number that is no square will do. */
  struct number *n = number_new(5);
  for (uint32_t i = 0; i < 4; i++) n->limb[i] = 0xFFFFFFFFu - 0x01234567u * i;
  n->limb[4] = 0x007FFFFFu;

  /* The usual recurrence: P, Q and a of (P + sqrt n) / Q. */
  struct number *root = square_root(n);
  struct number *square = multiply(root, root);
  struct number *p = copy(root), *a, *rest;
  struct number *q_above = small(1), *q = subtract(n, square);
  struct number *above = small(1), *convergent = copy(root);
  free(square);
  uint64_t sum = 0;
  for (long i = 0; i < steps; i++) {
    struct number *top = add(root, p);
    a = divide_small(top, q, &rest);
    struct number *p_next = subtract(root, rest);
    replace(&q_above, next_q(q_above, a, p, p_next));
    struct number *product = multiply(a, convergent);
    struct number *next = add(product, above);
    free(rest);
    free(top);
    free(product);
    replace(&p, p_next);
    replace(&above, convergent);
    free(divide_small(next, n, &convergent));
    free(next);
    free(a);
    sum = digest(sum, convergent);
    struct number *swap = q;
    q = q_above;
    q_above = swap;
  }
  sum = digest(sum, q);
  free(above);
  free(convergent);
  free(q_above);
  free(q);
  free(p);
  free(root);
  free(n);
  printf("cfrac %lu\n", sum);
  return 0;
}

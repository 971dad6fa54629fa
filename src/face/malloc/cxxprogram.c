// SPDX-License-Identifier: MIT
/*
 * What the program's operator new and delete are: see cxx.c. The dynamic linker
 * fills this in. It is a file of its own because in the file that defines the
 * functions the compiler would put those in.
 */
#include "face/malloc/cxx.h"

const struct cxx_program cxx_program = {
    .new_plain = op_new,
    .new_align = op_new_align,
    .new_array = op_new_array,
    .new_array_align = op_new_array_align,
    .delete_plain = op_delete,
    .delete_align = op_delete_align,
    .delete_array = op_delete_array,
    .delete_array_align = op_delete_array_align,
};

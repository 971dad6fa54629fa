# SPDX-License-Identifier: MIT
#
# MALLOCGC_HARDEN=1: misuse that ends the program, and programs that do nothing
# wrong. tests/harden has the parts.
mgc_add_malloc_program(harden)
mgc_add_malloc_driver(harden $<TARGET_FILE:malloc_harden>)

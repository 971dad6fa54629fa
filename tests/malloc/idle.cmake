# SPDX-License-Identifier: MIT
#
# What goes back by itself: see idle.c. These sleep, so they are short of work.
mgc_add_malloc_program(idle)
foreach(kind self threads child again)
  mgc_add_malloc_test(idle_${kind} idle ${kind} 2)
endforeach()
mgc_add_malloc_test(idle_busy idle busy)
mgc_add_malloc_test(idle_small idle small)
# The promise: 400 of 430 MiB freed, below 60 MiB ten seconds later.
mgc_add_malloc_test(idle_promise idle self 10)
set_tests_properties(malloc_idle_promise PROPERTIES LABELS "malloc;long")

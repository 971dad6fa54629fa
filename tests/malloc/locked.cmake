# SPDX-License-Identifier: MIT
mgc_add_malloc_program(locked)
mgc_add_malloc_test(locked locked)
set_tests_properties(malloc_locked PROPERTIES SKIP_RETURN_CODE 77)

# SPDX-License-Identifier: MIT
#
# Heap profiles. The program has debug information, from which pprof takes names.
mgc_add_malloc_program(profile_sites)
target_compile_options(malloc_profile_sites PRIVATE -g)
mgc_add_malloc_driver(profile $<TARGET_FILE:malloc_profile_sites>)

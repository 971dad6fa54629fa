# SPDX-License-Identifier: MIT
#
# The leak report. leaks_lib is what the seeded program loads and unloads.
mgc_add_malloc_program(leaks_seeded)
mgc_add_malloc_program(leaks_live)
foreach(program leaks_seeded leaks_live)
  # Stale pointers in registers and frames are roots, as far as anyone can tell.
  target_compile_options(malloc_${program} PRIVATE -O0)
endforeach()
add_library(malloc_leaks_lib MODULE leaks_lib.c)
target_link_libraries(malloc_leaks_lib PRIVATE mgc_flags)
# The compiler may leave out what nobody reads.
target_compile_options(malloc_leaks_lib PRIVATE -O0 -fno-builtin)
add_dependencies(malloc_leaks_seeded malloc_leaks_lib)
mgc_add_malloc_driver(leaks $<TARGET_FILE:malloc_leaks_seeded>
  $<TARGET_FILE:malloc_leaks_lib> $<TARGET_FILE:malloc_leaks_live>)

# SPDX-License-Identifier: MIT
#
# Flags hang on two interface targets: mgc_flags (language and warnings, for
# everything of ours) and mgc_library_flags (what only the library is built
# with). No edit of CMAKE_C_FLAGS.

find_package(Threads REQUIRED)

find_program(MGC_CCACHE ccache)
mark_as_advanced(MGC_CCACHE)
if(MGC_CCACHE AND NOT CMAKE_C_COMPILER_LAUNCHER AND PROJECT_IS_TOP_LEVEL)
  set(CMAKE_C_COMPILER_LAUNCHER ${MGC_CCACHE})
endif()

set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/lib)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/lib)
set(MGC_GENERATED_DIR ${CMAKE_CURRENT_BINARY_DIR}/generated)

add_library(mgc_flags INTERFACE)
target_compile_options(mgc_flags INTERFACE
  -std=gnu17
  -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wundef
  -Wvla -Wimplicit-fallthrough -Wconversion
  $<$<BOOL:${MGC_WERROR}>:-Werror>
  -fno-strict-aliasing)
target_compile_definitions(mgc_flags INTERFACE _GNU_SOURCE)
target_include_directories(mgc_flags INTERFACE
  $<BUILD_INTERFACE:${MGC_GENERATED_DIR}>
  $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include>)
target_link_libraries(mgc_flags INTERFACE Threads::Threads)

if(MGC_SANITIZE)
  target_compile_options(mgc_flags INTERFACE
    -fsanitize=${MGC_SANITIZE} -fno-sanitize-recover=all
    -fno-omit-frame-pointer)
  target_link_options(mgc_flags INTERFACE -fsanitize=${MGC_SANITIZE})
endif()

# The library reads its per-thread state with one instruction
# (initial-exec), and is bound to its own symbols.
add_library(mgc_library_flags INTERFACE)
target_link_libraries(mgc_library_flags INTERFACE mgc_flags)
target_compile_options(mgc_library_flags INTERFACE
  -fvisibility=hidden -fno-semantic-interposition -ftls-model=initial-exec
  -fno-math-errno
  $<$<C_COMPILER_ID:Clang>:-Wthread-safety>)
target_compile_definitions(mgc_library_flags INTERFACE
  MGC_ASSERT_LEVEL=${MGC_ASSERT_LEVEL})
target_include_directories(mgc_library_flags INTERFACE
  ${CMAKE_CURRENT_SOURCE_DIR}/src)

# Adds the directories that hold a CMakeLists.txt; patterns may match nothing.
function(mgc_add_subdirectories)
  list(TRANSFORM ARGN PREPEND ${PROJECT_SOURCE_DIR}/)
  list(TRANSFORM ARGN APPEND /CMakeLists.txt)
  file(GLOB lists CONFIGURE_DEPENDS ${ARGN})
  foreach(list IN LISTS lists)
    get_filename_component(dir ${list} DIRECTORY)
    add_subdirectory(${dir})
  endforeach()
endfunction()

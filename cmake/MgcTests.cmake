# SPDX-License-Identifier: MIT
#
# Tests are found by name: tests/<kind>/test_*.c is one Criterion executable
# and one CTest entry, labelled <kind>. A directory with a CMakeLists.txt of its
# own registers its tests itself (and may call mgc_add_unit_tests). Tests that
# use the library as programs do (they include mallocgc.h) also carry the label
# "face": the stress modes run these. "long" is for what takes minutes.

find_package(PkgConfig QUIET)
if(PkgConfig_FOUND)
  pkg_check_modules(CRITERION QUIET IMPORTED_TARGET criterion)
endif()
if(NOT CRITERION_FOUND)
  message(WARNING "Criterion not found: unit tests are not built "
                  "(Debian and Ubuntu: libcriterion-dev)")
endif()

# Criterion cannot start its workers under ThreadSanitizer: a header of ours
# with the same macros, which forks for each test, takes its place there.
add_library(mgc_criterion INTERFACE)
if(MGC_SANITIZE STREQUAL "thread")
  target_include_directories(mgc_criterion BEFORE INTERFACE
    ${PROJECT_SOURCE_DIR}/tests/support/tsan)
elseif(CRITERION_FOUND)
  target_link_libraries(mgc_criterion INTERFACE PkgConfig::CRITERION)
endif()

set(MGC_TEST_ENVIRONMENT "")
if(MGC_SANITIZE STREQUAL "address")
  # The collector finds roots in stacks, so frames must stay on them.
  set(MGC_TEST_ENVIRONMENT
    "ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=0:allocator_may_return_null=1:allow_user_segv_handler=1")
elseif(MGC_SANITIZE STREQUAL "thread")
  set(MGC_TEST_ENVIRONMENT
    "TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:detect_deadlocks=0:die_after_fork=0:allow_user_segv_handler=1:suppressions=${PROJECT_SOURCE_DIR}/tests/support/tsan/suppressions.txt")
elseif(MGC_SANITIZE STREQUAL "undefined")
  set(MGC_TEST_ENVIRONMENT "UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1")
endif()
if(MGC_SANITIZE)
  set(MGC_TEST_TIMEOUT 400)
else()
  set(MGC_TEST_TIMEOUT 200)
endif()

file(GLOB mgc_support CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/support/*.c)
if(mgc_support)
  add_library(mgc_test_support STATIC ${mgc_support})
  target_link_libraries(mgc_test_support PUBLIC mgc_internal)
  target_include_directories(mgc_test_support PUBLIC
    ${PROJECT_SOURCE_DIR}/tests)
endif()

# mgc_set_test_properties(TEST LABEL...)
function(mgc_set_test_properties name)
  set_tests_properties(${name} PROPERTIES
    LABELS "${ARGN}"
    ENVIRONMENT "${MGC_TEST_ENVIRONMENT}"
    TIMEOUT ${MGC_TEST_TIMEOUT})
endfunction()

# mgc_add_unit_tests(LABELS FILE...): Criterion tests against all the symbols.
function(mgc_add_unit_tests labels)
  if(NOT CRITERION_FOUND AND NOT MGC_SANITIZE STREQUAL "thread")
    return()
  endif()
  foreach(file IN LISTS ARGN)
    get_filename_component(name ${file} NAME_WE)
    add_executable(${name} ${file})
    target_link_libraries(${name} PRIVATE mgc_internal mgc_criterion
      ${CMAKE_DL_LIBS} m)
    target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
    if(TARGET mgc_test_support)
      target_link_libraries(${name} PRIVATE mgc_test_support)
    endif()
    set_target_properties(${name} PROPERTIES
      RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
    add_test(NAME ${name} COMMAND ${name} --jobs 1 --short-filename)
    file(STRINGS ${file} public_header REGEX "include [<\"]mallocgc.h[>\"]")
    if(public_header)
      mgc_set_test_properties(${name} ${labels} face)
    else()
      mgc_set_test_properties(${name} ${labels})
    endif()
  endforeach()
endfunction()

function(mgc_add_test_directories)
  list(TRANSFORM ARGN PREPEND ${PROJECT_SOURCE_DIR}/)
  file(GLOB dirs CONFIGURE_DEPENDS LIST_DIRECTORIES true ${ARGN})
  foreach(dir IN LISTS dirs)
    get_filename_component(kind ${dir} NAME)
    file(GLOB files CONFIGURE_DEPENDS ${dir}/test_*.c)
    if(EXISTS ${dir}/CMakeLists.txt)
      add_subdirectory(${dir})
    elseif(files)
      mgc_add_unit_tests(${kind} ${files})
    endif()
  endforeach()
endfunction()

# SPDX-License-Identifier: MIT
#
# One object library for each layer of src/ (the folders), then
#   mgc_internal     static, all symbols: what the unit tests link
#   mallocgc_shared  libmallocgc.so, exports mgc_* by version script
#   mallocgc_static  libmallocgc.a, one relocatable object whose only global
#                    symbols are mgc_*, so that it cannot clash with a program
#                    that has a mheap_init of its own
#   mallocgc_malloc  libmallocgc-malloc.so, the malloc face: exports the malloc
#                    family and operators new and delete, and links of the layers
#                    only what these need (no collector)

set(MGC_LAYERS base os page type heap alloc gc face)

# ---- size classes: a generator of ours writes the tables at build time ------

set(mksizeclasses ${PROJECT_SOURCE_DIR}/tools/mksizeclasses/mksizeclasses.c)
add_custom_target(mgc_generated)
if(EXISTS ${mksizeclasses})
  # It runs on the building machine, so it is built by that machine's compiler.
  if(CMAKE_CROSSCOMPILING)
    find_program(MGC_HOST_CC NAMES cc gcc clang REQUIRED)
  else()
    set(MGC_HOST_CC ${CMAKE_C_COMPILER})
  endif()
  file(MAKE_DIRECTORY ${MGC_GENERATED_DIR}/heap ${MGC_GENERATED_DIR}/mallocgc)
  set(generator ${PROJECT_BINARY_DIR}/mksizeclasses)
  set(MGC_SIZECLASS_GEN_H ${MGC_GENERATED_DIR}/heap/sizeclass_gen.h)
  set(MGC_SIZECLASS_INLINE_H ${MGC_GENERATED_DIR}/mallocgc/sizeclass_inline.h)
  add_custom_command(
    OUTPUT ${generator}
    COMMAND ${MGC_HOST_CC} -std=gnu17 -O1 -Wall -Wextra
            -I${PROJECT_SOURCE_DIR}/src -I${PROJECT_SOURCE_DIR}/include
            -o ${generator} ${mksizeclasses} -lm
    DEPENDS ${mksizeclasses}
    COMMENT "Building mksizeclasses" VERBATIM)
  add_custom_command(
    OUTPUT ${MGC_SIZECLASS_GEN_H} ${MGC_SIZECLASS_INLINE_H}
           ${PROJECT_BINARY_DIR}/sizeclasses.txt
    COMMAND ${generator} --out-header ${MGC_SIZECLASS_GEN_H}
            --out-public ${MGC_SIZECLASS_INLINE_H}
            > ${PROJECT_BINARY_DIR}/sizeclasses.txt
    DEPENDS ${generator}
    COMMENT "Generating size classes (see sizeclasses.txt)" VERBATIM)
  add_custom_target(mgc_sizeclasses
    DEPENDS ${MGC_SIZECLASS_GEN_H} ${MGC_SIZECLASS_INLINE_H})
  add_dependencies(mgc_generated mgc_sizeclasses)
endif()

# ---- the layers -------------------------------------------------------------

set(mgc_objects "")
foreach(layer IN LISTS MGC_LAYERS)
  set(dir ${PROJECT_SOURCE_DIR}/src/${layer})
  file(GLOB sources CONFIGURE_DEPENDS ${dir}/*.c ${dir}/*.S)
  if(layer STREQUAL "face") # one folder for each face; this library's is native
    file(GLOB sources CONFIGURE_DEPENDS ${dir}/*.c ${dir}/native/*.c)
  endif()
  if(sources)
    add_library(mgc_${layer} OBJECT ${sources})
    target_link_libraries(mgc_${layer} PRIVATE mgc_library_flags)
    set_target_properties(mgc_${layer} PROPERTIES
      POSITION_INDEPENDENT_CODE ON)
    add_dependencies(mgc_${layer} mgc_generated)
    list(APPEND mgc_objects $<TARGET_OBJECTS:mgc_${layer}>)
  endif()
endforeach()

if(NOT mgc_objects)
  message(FATAL_ERROR "no sources under src/")
endif()

add_library(mgc_internal STATIC ${mgc_objects})
set_target_properties(mgc_internal PROPERTIES LINKER_LANGUAGE C)
target_link_libraries(mgc_internal PUBLIC mgc_flags)
target_include_directories(mgc_internal PUBLIC
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>)
target_compile_definitions(mgc_internal PUBLIC
  MGC_ASSERT_LEVEL=${MGC_ASSERT_LEVEL})
add_dependencies(mgc_internal mgc_generated)

# ---- what users link --------------------------------------------------------

set(mgc_map ${PROJECT_SOURCE_DIR}/cmake/libmallocgc.map)
add_library(mallocgc_shared SHARED ${mgc_objects})
add_library(mallocgc::mallocgc ALIAS mallocgc_shared)
set_target_properties(mallocgc_shared PROPERTIES
  OUTPUT_NAME mallocgc
  EXPORT_NAME mallocgc
  LINKER_LANGUAGE C
  VERSION ${PROJECT_VERSION}
  SOVERSION ${PROJECT_VERSION_MAJOR}
  LINK_DEPENDS ${mgc_map})
target_link_options(mallocgc_shared PRIVATE
  LINKER:--version-script=${mgc_map} LINKER:-z,relro,-z,now)
if(MGC_SANITIZE)
  target_link_options(mallocgc_shared PRIVATE -fsanitize=${MGC_SANITIZE})
else()
  target_link_options(mallocgc_shared PRIVATE LINKER:-z,defs)
endif()
target_link_libraries(mallocgc_shared PRIVATE Threads::Threads)
target_include_directories(mallocgc_shared INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
  $<BUILD_INTERFACE:${MGC_GENERATED_DIR}>
  $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
add_dependencies(mallocgc_shared mgc_generated)

set(MGC_STATIC_OBJECT ${PROJECT_BINARY_DIR}/libmallocgc.o)
add_custom_command(
  OUTPUT ${MGC_STATIC_OBJECT}
  COMMAND ${CMAKE_LINKER} -r -o ${MGC_STATIC_OBJECT}
          ${mgc_objects}
  COMMAND ${CMAKE_OBJCOPY} --wildcard --keep-global-symbol=mgc_*
          ${MGC_STATIC_OBJECT}
  DEPENDS ${mgc_objects}
  COMMAND_EXPAND_LISTS
  COMMENT "Linking the one object of libmallocgc.a" VERBATIM)
add_library(mallocgc_static STATIC ${MGC_STATIC_OBJECT})
add_library(mallocgc::static ALIAS mallocgc_static)
set_target_properties(mallocgc_static PROPERTIES
  OUTPUT_NAME mallocgc
  EXPORT_NAME static
  LINKER_LANGUAGE C)
set_source_files_properties(${MGC_STATIC_OBJECT} PROPERTIES
  EXTERNAL_OBJECT ON GENERATED ON)
target_link_libraries(mallocgc_static INTERFACE Threads::Threads)
target_include_directories(mallocgc_static INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
  $<BUILD_INTERFACE:${MGC_GENERATED_DIR}>
  $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
if(MGC_SANITIZE)
  target_link_options(mallocgc_static INTERFACE -fsanitize=${MGC_SANITIZE})
endif()

# ---- the malloc face ---------------------------------------------------------

set(mgc_malloc_map ${PROJECT_SOURCE_DIR}/cmake/libmallocgc-malloc.map)
file(GLOB mgc_malloc_sources CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/src/face/malloc/*.c)
add_library(mallocgc_malloc SHARED ${mgc_malloc_sources})
add_library(mallocgc::malloc ALIAS mallocgc_malloc)
# It defines the functions that the compiler knows: calloc must not become a call
# of calloc.
target_compile_options(mallocgc_malloc PRIVATE -fno-builtin-malloc
  -fno-builtin-calloc -fno-builtin-realloc -fno-builtin-free
  -ffunction-sections
  # A free slot's two words are two stores; joined in a vector register first they
  # take longer.
  -fno-tree-slp-vectorize)
set_target_properties(mallocgc_malloc PROPERTIES
  OUTPUT_NAME mallocgc-malloc
  EXPORT_NAME malloc
  VERSION ${PROJECT_VERSION}
  SOVERSION ${PROJECT_VERSION_MAJOR}
  LINK_DEPENDS ${mgc_malloc_map})
target_link_libraries(mallocgc_malloc PRIVATE mgc_library_flags mgc_internal
  Threads::Threads)
target_link_options(mallocgc_malloc PRIVATE
  LINKER:--version-script=${mgc_malloc_map} LINKER:-z,relro,-z,now,-z,nodelete
  LINKER:--gc-sections LINKER:--exclude-libs,ALL -static-libgcc)
add_dependencies(mallocgc_malloc mgc_generated)

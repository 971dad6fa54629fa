# SPDX-License-Identifier: MIT
#
# cmake --install BUILD --prefix P. Nothing installed names P: the tree may be
# moved, and pkg-config and CMake find their way from where their files lie.

include(CMakePackageConfigHelpers)

install(TARGETS mallocgc_shared mallocgc_static mallocgc_malloc
  EXPORT mallocgc-targets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
if(MGC_SIZECLASS_INLINE_H)
  install(FILES ${MGC_SIZECLASS_INLINE_H}
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/mallocgc)
endif()

set(mgc_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/mallocgc)
install(EXPORT mallocgc-targets NAMESPACE mallocgc::
  DESTINATION ${mgc_cmake_dir})
configure_package_config_file(
  ${PROJECT_SOURCE_DIR}/cmake/mallocgc-config.cmake.in
  ${PROJECT_BINARY_DIR}/mallocgc-config.cmake
  INSTALL_DESTINATION ${mgc_cmake_dir})
write_basic_package_version_file(
  ${PROJECT_BINARY_DIR}/mallocgc-config-version.cmake
  COMPATIBILITY SameMajorVersion)
install(FILES ${PROJECT_BINARY_DIR}/mallocgc-config.cmake
  ${PROJECT_BINARY_DIR}/mallocgc-config-version.cmake
  DESTINATION ${mgc_cmake_dir})

# The prefix as seen from the .pc file: as many steps up as its directory has.
set(mgc_pc_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH MGC_PC_UP /prefix/${mgc_pc_dir} /prefix)
string(REGEX REPLACE "/$" "" MGC_PC_UP "${MGC_PC_UP}")
foreach(pc mallocgc mallocgc-malloc)
  configure_file(${PROJECT_SOURCE_DIR}/cmake/${pc}.pc.in
    ${PROJECT_BINARY_DIR}/${pc}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${pc}.pc DESTINATION ${mgc_pc_dir})
endforeach()

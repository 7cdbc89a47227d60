# What a user of the C++ and C interfaces finds, the same in a prefix of their own and in the wheel: there it lies below the
# package's folder, where nothing may be a link and every path must be relative.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

if(DEFINED SKBUILD)
  set(root fastconv/)
  set(libdir lib)
  set(includedir include)
  set(bindir .)  # a DLL is found beside the extension module
else()
  set(root "")
  set(libdir ${CMAKE_INSTALL_LIBDIR})
  set(includedir ${CMAKE_INSTALL_INCLUDEDIR})
  set(bindir ${CMAKE_INSTALL_BINDIR})
  set_target_properties(fastconv PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
endif()
set(cmakedir ${libdir}/cmake/fastconv)
set(pkgconfigdir ${libdir}/pkgconfig)

install(TARGETS fastconv fastconv_core EXPORT fastconvTargets
  ARCHIVE DESTINATION ${root}${libdir}
  LIBRARY DESTINATION ${root}${libdir}
  RUNTIME DESTINATION ${root}${bindir}
  INCLUDES DESTINATION ${root}${includedir})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/csrc/include/ DESTINATION ${root}${includedir})
install(EXPORT fastconvTargets NAMESPACE fastconv:: DESTINATION ${root}${cmakedir})

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/fastconvConfig.cmake.in fastconvConfig.cmake
  INSTALL_DESTINATION ${root}${cmakedir} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(fastconvConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/fastconvConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/fastconvConfigVersion.cmake
  DESTINATION ${root}${cmakedir})

# Relative to the .pc file, so that the folder can be moved. A prefix may have absolute folders: they stay what they are.
function(relocatable variable folder)
  if(IS_ABSOLUTE ${folder} OR IS_ABSOLUTE ${pkgconfigdir})
    get_filename_component(path ${folder} ABSOLUTE BASE_DIR ${CMAKE_INSTALL_PREFIX})
  else()
    file(RELATIVE_PATH path /${pkgconfigdir} /${folder})
    string(REGEX REPLACE "/$" "" path "\${pcfiledir}/${path}")
  endif()
  set(${variable} ${path} PARENT_SCOPE)
endfunction()
relocatable(pc_libdir ${libdir})
relocatable(pc_includedir ${includedir})
list(TRANSFORM FASTCONV_OPENMP_LIBRARIES PREPEND -l OUTPUT_VARIABLE pc_private)
list(JOIN pc_private " " pc_private)
configure_file(${CMAKE_CURRENT_LIST_DIR}/fastconv.pc.in fastconv.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/fastconv.pc DESTINATION ${root}${pkgconfigdir})

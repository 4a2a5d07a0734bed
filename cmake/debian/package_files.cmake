# SPDX-License-Identifier: MIT
# Run by cpack before packages are made: what Debian's policy wants beside the installed files, and times that do not
# depend on when the build ran.
file(GLOB components LIST_DIRECTORIES true ${CPACK_TEMPORARY_DIRECTORY}/*)
foreach(component ${components})
  if(NOT IS_DIRECTORY ${component})
    continue()
  endif()
  get_filename_component(name ${component} NAME)
  string(TOUPPER ${name} upper)
  set(package ${CPACK_DEBIAN_${upper}_PACKAGE_NAME})
  execute_process(COMMAND sh ${CMAKE_CURRENT_LIST_DIR}/package_files.sh ${component} ${package}
      ${CPACK_PACKAGE_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE} "${CPACK_PACKAGE_CONTACT}"
    COMMAND_ERROR_IS_FATAL ANY)
endforeach()

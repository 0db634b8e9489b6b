# Run by cpack once the files of a package are in place: what Debian wants of every package, compressed as it wants it.
#   CPACK_TEMPORARY_DIRECTORY holds a folder for each component.
cmake_minimum_required(VERSION 3.25)
set(names main tails-iptc fastpath tails-iptc-fastpath)
foreach(component ${CPACK_COMPONENTS_ALL})
  list(FIND names ${component} at)
  math(EXPR at "${at} + 1")
  list(GET names ${at} package)
  set(root ${CPACK_TEMPORARY_DIRECTORY}/${component})
  if(NOT IS_DIRECTORY ${root}/usr)
    continue()
  endif()
  set(doc ${root}/usr/share/doc/${package})
  set(debian ${CPACK_PROJECT_SOURCE_DIR}/packaging/debian)
  file(MAKE_DIRECTORY ${doc})
  configure_file(${debian}/copyright ${doc}/copyright COPYONLY)
  configure_file(${debian}/changelog ${doc}/changelog COPYONLY)
  # The bill of materials, of this program as it was built here.
  execute_process(COMMAND ${CPACK_PROJECT_SOURCE_DIR}/packaging/sbom ${package} ${CPACK_PACKAGE_VERSION}
                          ${root}/usr/sbin/${package}
                  OUTPUT_FILE ${doc}/sbom.cdx.json COMMAND_ERROR_IS_FATAL ANY)
  file(GLOB pages ${root}/usr/share/man/man*/*.[0-9])
  execute_process(COMMAND gzip -9nf ${pages} ${doc}/changelog COMMAND_ERROR_IS_FATAL ANY)
  # Whoever asks for the program's page gets that of its main command.
  set(man ${root}/usr/share/man/man8)
  if(EXISTS ${man}/tails-iptc-fastpath-run.8.gz)
    file(CREATE_LINK tails-iptc-fastpath-run.8.gz ${man}/tails-iptc-fastpath.8.gz SYMBOLIC)
  endif()
  if(EXISTS ${debian}/${package}.lintian-overrides)
    file(MAKE_DIRECTORY ${root}/usr/share/lintian/overrides)
    configure_file(${debian}/${package}.lintian-overrides ${root}/usr/share/lintian/overrides/${package} COPYONLY)
  endif()
endforeach()

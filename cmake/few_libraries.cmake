# Run after the program is linked: fails where it needs a shared library that costs it its quick start.
#   cmake -DREADELF=… -DPROGRAM=… -P few_libraries.cmake
execute_process(COMMAND ${READELF} -d ${PROGRAM} OUTPUT_VARIABLE dynamic COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "\\[lib[^]]*\\]" needed "${dynamic}")
foreach(library ${needed})
  if(library MATCHES "libstdc\\+\\+|libfmt|libspdlog|libtomlplusplus|libbdd")
    message(FATAL_ERROR "${PROGRAM} needs ${library}. That library, or libstdc++ behind it, takes longer to load than "
                        "`apply` may take. Link it statically (-l:NAME.a), or use its header-only form in one source file.")
  endif()
endforeach()

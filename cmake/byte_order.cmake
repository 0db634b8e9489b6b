# Rules of the kernel are read and written by plain loads and stores of the machine's own order, and nobody has ever run
# them on a big-endian one. What is not tested is not offered.
if(NOT CMAKE_CXX_BYTE_ORDER STREQUAL "LITTLE_ENDIAN")
  message(FATAL_ERROR
    "tails-iptc is not built for big-endian machines (this compiler's byte order: \"${CMAKE_CXX_BYTE_ORDER}\"). "
    "The kernel's structures and packets have never been tested there, and a filter that is not tested must not be relied "
    "on. Little-endian ones are x86-64, i386, ARM, and MIPS or POWER as \"el\" or \"le\".")
endif()

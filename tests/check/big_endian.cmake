# A toolchain that claims to be big-endian: this machine's compiler, whose answers are given in advance.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR ppc)
foreach(language C CXX)
  set(CMAKE_${language}_COMPILER_WORKS TRUE)
  set(CMAKE_${language}_ABI_COMPILED TRUE)
  set(CMAKE_${language}_SIZEOF_DATA_PTR 4)
  set(CMAKE_${language}_BYTE_ORDER BIG_ENDIAN)
endforeach()

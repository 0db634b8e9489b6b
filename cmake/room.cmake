# tails_room(NAME [WORDS] SOURCES … [USES room…] [LINK library…]): one folder of the house as a static library tails_NAME.
# WORDS: it speaks and asks, and does not compute; compiled for size, as its pages are in memory while others compute.
function(tails_room name)
  cmake_parse_arguments(ROOM "WORDS" "" "SOURCES;USES;LINK" ${ARGN})
  add_library(tails_${name} STATIC ${ROOM_SOURCES})
  if(ROOM_WORDS AND NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
    target_compile_options(tails_${name} PRIVATE -Os)
  endif()
  list(TRANSFORM ROOM_USES PREPEND tails_)
  target_link_libraries(tails_${name} PUBLIC ${ROOM_USES} PRIVATE ${ROOM_LINK})
endfunction()

# tails_test(NAME [COMPUTES] SOURCES … [USES room…] [LINK library…] [LABELS label…] [PROPERTIES property value…]): one
# GoogleTest program; in ctest each test is called NAME.Suite.Test. Tests with the label "kernel" make network namespaces
# and need root. COMPUTES: the test's own code takes time; that of the others is compiled in half the time without
# optimisation (what it tests is optimised).
function(tails_test name)
  cmake_parse_arguments(TEST "COMPUTES" "" "SOURCES;USES;LINK;LABELS;PROPERTIES" ${ARGN})
  add_executable(test_${name} ${TEST_SOURCES})
  if(NOT TEST_COMPUTES)
    target_compile_options(test_${name} PRIVATE -O0)
    if(TAILS_SANITIZE)
      # Two tests at each use of a pointer: a quarter of the time that these files take. The house's own keep them.
      target_compile_options(test_${name} PRIVATE -fno-sanitize=alignment,pointer-overflow)
    elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
      target_compile_options(test_${name} PRIVATE -U_FORTIFY_SOURCE)  # it needs optimisation
    endif()
  endif()
  list(TRANSFORM TEST_USES PREPEND tails_)
  target_link_libraries(test_${name} PRIVATE ${TEST_USES} ${TEST_LINK} GTest::gmock GTest::gtest_main)
  set(labels ${TEST_LABELS})
  if(NOT labels)
    set(labels unit)
  endif()
  gtest_discover_tests(test_${name} TEST_PREFIX "${name}." DISCOVERY_TIMEOUT 60
                       PROPERTIES LABELS "${labels}" ${TEST_PROPERTIES})
endfunction()

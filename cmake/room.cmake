# tails_room(NAME [WORDS] [BYTES] SOURCES … [USES room…] [LINK library…]): one folder of the house as a static library
# tails_NAME. WORDS: it speaks and asks, and does not compute; compiled for size, as its pages are in memory while others
# compute. BYTES: it lays structures over bytes, so that sanitizers look at each pointer.
function(tails_room name)
  cmake_parse_arguments(ROOM "WORDS;BYTES" "" "SOURCES;USES;LINK" ${ARGN})
  add_library(tails_${name} STATIC ${ROOM_SOURCES})
  if(NOT ROOM_BYTES)
    tails_trust_pointers(tails_${name})
  endif()
  if(ROOM_WORDS AND NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
    target_compile_options(tails_${name} PRIVATE -Os)
  endif()
  list(TRANSFORM ROOM_USES PREPEND tails_)
  target_link_libraries(tails_${name} PUBLIC ${ROOM_USES} PRIVATE ${ROOM_LINK})
endfunction()

# tails_test(NAME [COMPUTES] [REPEATS] SOURCES … [USES room…] [LINK library…] [LABELS label…] [PROPERTIES property value…]): one
# GoogleTest program; in ctest each test is called NAME.Suite.Test. Tests with the label "kernel" make network namespaces
# and need root. COMPUTES: the test's own code takes time; that of the others is compiled in half the time without
# optimisation (what it tests is optimised). REPEATS: it runs the same programs many times over; see tails_repeats.
function(tails_test name)
  cmake_parse_arguments(TEST "COMPUTES;REPEATS" "" "SOURCES;USES;LINK;LABELS;PROPERTIES" ${ARGN})
  add_executable(test_${name} ${TEST_SOURCES})
  if(NOT TEST_COMPUTES)
    target_compile_options(test_${name} PRIVATE -O0)
    tails_trust_pointers(test_${name})
    if(NOT CMAKE_BUILD_TYPE STREQUAL "Debug" AND NOT TAILS_SANITIZE)
      target_compile_options(test_${name} PRIVATE -U_FORTIFY_SOURCE)  # it needs optimisation
    endif()
  endif()
  list(TRANSFORM TEST_USES PREPEND tails_)
  target_link_libraries(test_${name} PRIVATE ${TEST_USES} ${TEST_LINK} GTest::gmock GTest::gtest_main)
  set(labels ${TEST_LABELS})
  if(NOT labels)
    set(labels unit)
  endif()
  set(repeats)
  if(TEST_REPEATS AND TAILS_SANITIZE)
    set(repeats ${tails_repeats})
  endif()
  gtest_discover_tests(test_${name} TEST_PREFIX "${name}." DISCOVERY_TIMEOUT 60
                       PROPERTIES LABELS "${labels}" ${TEST_PROPERTIES} ${repeats})
endfunction()

# Properties of a test that runs the same programs many times over: LeakSanitizer's look at all memory is half of a short
# run. Leaks are looked for where the programs run once (cli, cli_kernel, see, fuzz) and in all that is tested within a test.
set(tails_repeats ENVIRONMENT_MODIFICATION ASAN_OPTIONS=path_list_append:detect_leaks=0)

# tails_room(NAME [WORDS] [BYTES] SOURCES … [USES room…] [LINK library…]): one folder of the house as a static library
# tails_NAME. WORDS: it speaks and asks, and does not compute; compiled for size, as its pages are in memory while others
# compute, and in Debug without optimisation. BYTES: it lays structures over bytes, so that sanitizers look at each pointer.
function(tails_room name)
  cmake_parse_arguments(ROOM "WORDS;BYTES" "" "SOURCES;USES;LINK" ${ARGN})
  add_library(tails_${name} STATIC ${ROOM_SOURCES})
  if(NOT ROOM_BYTES)
    tails_trust_pointers(tails_${name})
  endif()
  if(ROOM_WORDS)
    target_compile_options(tails_${name} PRIVATE $<IF:$<CONFIG:Debug>,-O0,-Os>)
  endif()
  list(TRANSFORM ROOM_USES PREPEND tails_)
  target_link_libraries(tails_${name} PUBLIC ${ROOM_USES} PRIVATE ${ROOM_LINK})
endfunction()

# tails_computes(TARGET): a program or library of the tests is optimised.
function(tails_computes target)
  target_compile_options(${target} PRIVATE $<IF:$<CONFIG:Debug>,-O1,-O2>)
endfunction()

# tails_test(NAME [COMPUTES] [REPEATS] SOURCES … [USES room…] [LINK library…] [LABEL label] [PROPERTIES property value…]): one
# GoogleTest program; in ctest each test is called NAME.Suite.Test. One label, for gtest_discover_tests takes lists apart;
# tests with "kernel" in it make network namespaces and need root. COMPUTES: the test's own code takes time (see
# tests/CMakeLists.txt). REPEATS: it runs the same programs many times over, without LeakSanitizer, whose look at all memory
# is half of a short run; cli, cli_kernel and see run them with it.
function(tails_test name)
  cmake_parse_arguments(TEST "COMPUTES;REPEATS" "LABEL" "SOURCES;USES;LINK;PROPERTIES" ${ARGN})
  if(TEST_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "tails_test(${name}): ${TEST_UNPARSED_ARGUMENTS}?")
  endif()
  add_executable(test_${name} ${TEST_SOURCES})
  tails_trust_pointers(test_${name})
  if(TEST_COMPUTES)
    tails_computes(test_${name})
  endif()
  list(TRANSFORM TEST_USES PREPEND tails_)
  target_link_libraries(test_${name} PRIVATE ${TEST_USES} ${TEST_LINK} GTest::gmock GTest::gtest_main)
  if(NOT TEST_LABEL)
    set(TEST_LABEL unit)
  endif()
  set(repeats)
  if(TEST_REPEATS AND TAILS_SANITIZE)
    set(repeats ENVIRONMENT_MODIFICATION ASAN_OPTIONS=path_list_append:detect_leaks=0)
  endif()
  gtest_discover_tests(test_${name} TEST_PREFIX "${name}." DISCOVERY_TIMEOUT 60
                       PROPERTIES LABELS ${TEST_LABEL} ${TEST_PROPERTIES} ${repeats})
endfunction()

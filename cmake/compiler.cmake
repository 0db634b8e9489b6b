# One place for the language, the warnings and the hardening of every target.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# -iquote and not -I: our folder net/ must not hide the system's <net/if.h>.
add_compile_options("SHELL:-iquote ${PROJECT_SOURCE_DIR}" "SHELL:-iquote ${PROJECT_BINARY_DIR}")
add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnull-dereference -Wformat=2 -Werror)
foreach(warning -Wold-style-cast -Wnon-virtual-dtor -Woverloaded-virtual)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:${warning}>)
endforeach()
add_compile_options(-fstack-protector-strong -fcf-protection=full)

option(TAILS_COVERAGE "Count what runs (gcc): scripts/coverage" OFF)
if(TAILS_COVERAGE)
  add_compile_options(--coverage -fprofile-update=atomic)
  add_link_options(--coverage)
else()
  # gcov needs the places themselves.
  add_compile_options(-ffile-prefix-map=${PROJECT_SOURCE_DIR}=.)
endif()
add_link_options(-Wl,-z,relro,-z,now -Wl,--as-needed)

if(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  add_compile_definitions(_FORTIFY_SOURCE=2 _GLIBCXX_ASSERTIONS)
endif()

option(TAILS_FUZZ "Build the libFuzzer targets (needs clang)" OFF)
option(TAILS_SANITIZE "Build with AddressSanitizer and UndefinedBehaviorSanitizer" OFF)
if(TAILS_SANITIZE)
  add_compile_definitions(TAILS_SANITIZED)
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  if(NOT TAILS_FUZZ)
    # Before each use of a pointer it would be tested for what AddressSanitizer finds anyway; a sixth of the build's time.
    add_compile_options(-fno-sanitize=null,vptr,object-size,nonnull-attribute,returns-nonnull-attribute)
  endif()
  add_link_options(-fsanitize=address,undefined)
  # The sanitizers' own data has a million addresses in it. Where the program may stand anywhere each is set at each start,
  # which then takes twice as long; the tests start programs many thousand times.
  add_link_options($<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-no-pie>)
else()
  include(CheckPIESupported)
  check_pie_supported()
endif()

# tails_trust_pointers(TARGET): without UndefinedBehaviorSanitizer's two tests at each use of a pointer. Each writes down its
# place in the program's data, which is registered at each start and which LeakSanitizer reads at each end. Preset fuzz keeps
# them everywhere.
function(tails_trust_pointers target)
  if(TAILS_SANITIZE AND NOT TAILS_FUZZ)
    target_compile_options(${target} PRIVATE -fno-sanitize=alignment,pointer-overflow)
  endif()
endfunction()

option(TAILS_SANITIZE_THREAD "Build with ThreadSanitizer" OFF)
if(TAILS_SANITIZE_THREAD)
  # DPDK's headers have fences, which ThreadSanitizer does not see; GCC warns of each.
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer $<$<CXX_COMPILER_ID:GNU>:-Wno-tsan>)
  add_link_options(-fsanitize=thread)
endif()

if(TAILS_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)  # coverage, which steers the search
endif()
option(BUILD_TESTING "Build the tests" ON)

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

# From nothing, most of the time goes into reading the same headers again for each file; sixteen of a target at a time take
# half as long. While one is at work on a few files, each by itself is the quicker. scripts/lint sees each by itself.
option(TAILS_COMPILE_TOGETHER "Compile several files of a target at a time" OFF)
if(TAILS_COMPILE_TOGETHER)
  set(CMAKE_UNITY_BUILD ON)
  set(CMAKE_UNITY_BUILD_BATCH_SIZE 16)
  # They take each file for a header; and with so much in sight gcc supposes a null pointer in libstdc++'s own variant.
  add_compile_options(-Wno-shadow "$<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-subobject-linkage;-Wno-null-dereference>")
endif()

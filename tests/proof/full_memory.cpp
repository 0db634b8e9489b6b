// In these programs new memory is full of large numbers, by malloc's own means or by AddressSanitizer's: BuDDy has no
// sanitizers, and what it reads before anybody wrote it must not happen to be zero.
#include <malloc.h>

namespace {

constexpr int kFreed = 0x80;  // what is allocated is filled with its complement, 0x7F
[[maybe_unused]] const bool is_full = mallopt(M_PERTURB, kFreed) == 1;

}  // namespace

extern "C" const char* __asan_default_options();   // NOLINT(bugprone-reserved-identifier)
extern "C" const char* __asan_default_options() {  // NOLINT(bugprone-reserved-identifier)
  return "malloc_fill_byte=127:max_malloc_fill_size=65536";
}

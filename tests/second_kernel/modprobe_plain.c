// Stands in the place of kmod in the guest (see `init`): the same, told not to use vector registers that the guest does
// not save. Linked statically, so that it needs none itself before it has said so.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int count, char** arguments) {
  // kmod is many programs, told apart by the name they are called by.
  char* const slash = count > 0 ? strrchr(arguments[0], '/') : NULL;
  if (slash != NULL) arguments[0] = slash + 1;
  setenv("GLIBC_TUNABLES",
         "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX2,-AVX,-AVX_Fast_Unaligned_Load,-XSAVEC,-XSAVE,-RTM,-BMI2",
         1);
  execv("/mnt/kmod", arguments);
  return 127;
}

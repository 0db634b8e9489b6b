// What the guest's kernel runs instead of /sbin/modprobe (see `run`): the same, told not to use vector registers
// that the guest does not save. Linked statically, so that it needs none itself before it has said so.
#include <stdlib.h>
#include <unistd.h>

int main(int count, char** arguments) {
  (void)count;
  setenv("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX2,-AVX,-AVX_Fast_Unaligned_Load,-XSAVEC,-XSAVE,-RTM,-BMI2", 1);
  arguments[0] = (char[]){"modprobe"};  // kmod is many programs, told apart by this name
  execv("/sbin/modprobe", arguments);
  return 127;
}

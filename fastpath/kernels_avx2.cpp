#define TAILS_KERNELS kKernelsAvx2
#define TAILS_KERNELS_NAME "avx2"
#include "fastpath/kernels_body.h"

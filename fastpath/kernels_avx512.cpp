#define TAILS_KERNELS kKernelsAvx512
#define TAILS_KERNELS_NAME "avx512"
#include "fastpath/kernels_body.h"

#define TAILS_KERNELS kKernelsSse2
#define TAILS_KERNELS_NAME "sse2"
#include "fastpath/kernels_body.h"

#pragma once

#include <cstddef>

/// What malloc is told.
namespace tails {

/// Settings of malloc for a program that does one thing after the other and ends. Once, at the start.
void set_up_heap();

/// The heap is about to grow by at least so many bytes: these then lie in large pages, where the kernel has them.
void expect_heap(size_t bytes);

}  // namespace tails

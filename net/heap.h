#pragma once

#include <cstddef>

/// What malloc is told. Nothing here fails: what the system does not grant is done without. Not thread-safe.
namespace tails {

/// Settings for a program that does one thing after the other and ends. Once, at the start; without it, and where
/// another malloc is in the place of the C library's (a sanitizer's), the other functions do nothing.
void set_up_heap();

/// The heap is about to grow by at least `bytes`: from 4 MiB on these then lie in large pages, where the kernel has
/// them and as far as they cost at most twice what small ones do. To find that out, up to half of them is taken at
/// once.
void expect_heap(size_t bytes);

/// The same of one piece at the heap's end. Before a large one, what lies free between other pieces goes back.
void expect_piece(size_t bytes);

}  // namespace tails

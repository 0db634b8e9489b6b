// Preloaded into user-mode-linux (see `run`): hides the extended processor state (NT_X86_XSTATE), so that the guest
// falls back to the 512-byte FXSAVE area of PTRACE_GETFPREGS. Linux before 6.13 keeps that state in a buffer sized
// at build time (arch/x86/um/os-Linux/registers.c), and the host refuses a buffer smaller than its own state.
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

long ptrace(enum __ptrace_request request, ...) {
  va_list arguments;
  va_start(arguments, request);
  const long pid = va_arg(arguments, long);
  void* const address = va_arg(arguments, void*);
  void* const data = va_arg(arguments, void*);
  va_end(arguments);
  if ((request == PTRACE_GETREGSET || request == PTRACE_SETREGSET) && (size_t)address == NT_X86_XSTATE) {
    errno = EIO;
    return -1;
  }
  if (request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER) {
    // The system call stores the word where the library's function returns it.
    long word = 0;
    if (syscall(SYS_ptrace, (long)request, pid, address, &word) < 0) return -1;
    errno = 0;
    return word;
  }
  return syscall(SYS_ptrace, (long)request, pid, address, data);
}

/* Preloaded into User-Mode Linux (linux.uml); machine.py compiles it. Two repairs:
 *
 * ptrace: on processors with AMX the host's extended register state is 11 KB. UML 6.1 keeps the
 * 2.7 KB that AVX-512 needs, and the host refuses to write back a part (EFAULT), so that the first
 * process panics. What UML leaves out are the AMX tiles, which no guest process may use; any
 * content will do there, so a write is filled up to the host's full size. Newer UML does the same.
 *
 * fsync, fdatasync: a guest's "flush to disk" need not reach this host's disk. A power cut kills the
 * guest, never the host, and what the guest wrote to its disk file is safe in the host's cache.
 * dpkg flushes so often that installs would otherwise wait for the host's disk most of the time.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char state[65536];
static size_t state_size;

static long set_extended_state(pid_t pid, void *kind, const struct iovec *part)
{
	struct iovec whole = { state, sizeof state };

	if (state_size == 0) {
		if (syscall(SYS_ptrace, PTRACE_GETREGSET, pid, kind, &whole) < 0)
			return -1;
		state_size = whole.iov_len;
	}
	if (part->iov_len >= state_size)
		return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, kind, part);
	memcpy(state, part->iov_base, part->iov_len);
	whole.iov_len = state_size;
	return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, kind, &whole);
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list arguments;
	va_start(arguments, request);
	pid_t pid = va_arg(arguments, pid_t);
	void *address = va_arg(arguments, void *);
	void *data = va_arg(arguments, void *);
	va_end(arguments);

	if (request == PTRACE_SETREGSET && (long)address == NT_X86_XSTATE)
		return set_extended_state(pid, address, data);
	if (request >= PTRACE_PEEKTEXT && request <= PTRACE_PEEKUSER) {
		/* The system call stores the word, the library function returns it. */
		long word;
		if (syscall(SYS_ptrace, request, pid, address, &word) < 0)
			return -1;
		errno = 0;
		return word;
	}
	return syscall(SYS_ptrace, request, pid, address, data);
}

int fsync(int fd)
{
	(void)fd;
	return 0;
}

int fdatasync(int fd)
{
	(void)fd;
	return 0;
}

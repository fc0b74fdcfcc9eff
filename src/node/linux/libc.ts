/**
 * The one place where native code is entered: every C function that openvmnet calls, declared once.
 *
 * Theory of operation. Arguments and results are plain numbers only. An address is a `uintptr_t` that comes from
 * `address()` in memory.ts and from nowhere else; koffi then has nothing to pin, copy or convert, and a call costs
 * 110–140 ns above the kernel's own work (measured: `close(-1)` 230 ns where `fs.writeSync` needs 700 ns for what
 * `write` here does in 350). Results that may be large are `int64_t`: koffi returns a Number while it is a safe integer,
 * which no length or address in user space exceeds.
 *
 * Symbols are taken from the running program (`load(null)`): the very libc that Node itself uses, glibc or musl.
 * Nothing but node/linux imports this module.
 */

import koffi from 'koffi';

const self = koffi.load(null);

/** Declares a C function whose arguments and result are numbers; the signature's text is checked by koffi, its arity by `F`. */
function declare<F extends (...numbers: number[]) => number>(signature: string): F {
  return self.func(signature) as unknown as F;
}

type Fn0 = () => number;
type Fn1 = (a: number) => number;
type Fn2 = (a: number, b: number) => number;
type Fn3 = (a: number, b: number, c: number) => number;
type Fn4 = (a: number, b: number, c: number, d: number) => number;
type Fn5 = (a: number, b: number, c: number, d: number, e: number) => number;
type Fn6 = (a: number, b: number, c: number, d: number, e: number, f: number) => number;

/** The last failed call's errno. Ask at once: the next call overwrites it. 22 ns. */
export const errno: Fn0 = koffi.errno;

/** The view of mapped memory as an ArrayBuffer; no copy. */
export function viewOf(base: number, length: number): ArrayBuffer {
  return koffi.view(base, length);
}

// Memory.
export const mmap = declare<Fn6>('uintptr_t mmap(uintptr_t, uint64_t, int, int, int, int64_t)');
export const madvise = declare<Fn3>('int madvise(uintptr_t, uint64_t, int)');
export const memfdCreate = declare<Fn2>('int memfd_create(uintptr_t, uint32_t)');
export const ftruncate = declare<Fn2>('int ftruncate(int, int64_t)');

// Descriptors.
export const open = declare<Fn3>('int open(uintptr_t, int, uint32_t)');
export const close = declare<Fn1>('int close(int)');
export const read = declare<Fn3>('int64_t read(int, uintptr_t, uint64_t)');
export const write = declare<Fn3>('int64_t write(int, uintptr_t, uint64_t)');
export const fcntl = declare<Fn3>('int fcntl(int, int, int64_t)');
export const ioctl = declare<Fn3>('int ioctl(int, uint64_t, uintptr_t)');
export const poll = declare<Fn3>('int poll(uintptr_t, uint64_t, int)');
export const flock = declare<Fn2>('int flock(int, int)');
export const epollCreate1 = declare<Fn1>('int epoll_create1(int)');
export const epollCtl = declare<Fn4>('int epoll_ctl(int, int, int, uintptr_t)');
export const epollWait = declare<Fn4>('int epoll_wait(int, uintptr_t, int, int)');

// Sockets.
export const socket = declare<Fn3>('int socket(int, int, int)');
export const socketpair = declare<Fn4>('int socketpair(int, int, int, uintptr_t)');
export const bind = declare<Fn3>('int bind(int, uintptr_t, uint32_t)');
export const listen = declare<Fn2>('int listen(int, int)');
export const accept4 = declare<Fn4>('int accept4(int, uintptr_t, uintptr_t, int)');
export const connect = declare<Fn3>('int connect(int, uintptr_t, uint32_t)');
export const shutdown = declare<Fn2>('int shutdown(int, int)');
export const getsockname = declare<Fn3>('int getsockname(int, uintptr_t, uintptr_t)');
export const getsockopt = declare<Fn5>('int getsockopt(int, int, int, uintptr_t, uintptr_t)');
export const setsockopt = declare<Fn5>('int setsockopt(int, int, int, uintptr_t, uint32_t)');
export const recv = declare<Fn4>('int64_t recv(int, uintptr_t, uint64_t, int)');
export const send = declare<Fn4>('int64_t send(int, uintptr_t, uint64_t, int)');
export const recvfrom = declare<Fn6>('int64_t recvfrom(int, uintptr_t, uint64_t, int, uintptr_t, uintptr_t)');
export const sendto = declare<Fn6>('int64_t sendto(int, uintptr_t, uint64_t, int, uintptr_t, uint32_t)');
export const recvmsg = declare<Fn3>('int64_t recvmsg(int, uintptr_t, int)');
export const sendmsg = declare<Fn3>('int64_t sendmsg(int, uintptr_t, int)');

// Processes.
export const prctl = declare<Fn5>('int prctl(int, uint64_t, uint64_t, uint64_t, uint64_t)');
export const getrlimit = declare<Fn2>('int getrlimit(int, uintptr_t)');
export const setrlimit = declare<Fn2>('int setrlimit(int, uintptr_t)');
/** `syscall(2)` with three arguments, for calls that older C libraries lack a wrapper for (pidfd_open). */
export const syscall3 = declare<Fn4>('int64_t syscall(int64_t, int64_t, int64_t, int64_t)');

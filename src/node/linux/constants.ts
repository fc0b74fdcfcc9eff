/**
 * Numbers of the Linux ABI that node/linux uses, under the names of the kernel's headers. Those given here are the same
 * on x86-64 and arm64; the one that differs, the layout of `struct epoll_event`, is told by {@link EPOLL_EVENT}.
 * Both are little-endian, and so is every struct that is written by hand in this folder.
 */

// asm-generic/fcntl.h, bits/fcntl.h
export const O_RDONLY = 0;
export const O_RDWR = 2;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;
export const F_GETFD = 1;
export const F_SETFD = 2;
export const F_GETFL = 3;
export const F_SETFL = 4;
export const F_DUPFD_CLOEXEC = 1030;
export const FD_CLOEXEC = 1;
export const LOCK_EX = 2;
export const LOCK_NB = 4;

// asm-generic/mman.h
export const PROT_READ_WRITE = 3;
export const MAP_SHARED = 0x01;
export const MAP_PRIVATE = 0x02;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
export const MAP_NORESERVE = 0x4000;
export const MADV_DONTNEED = 4;
export const MADV_REMOVE = 9;
export const MFD_CLOEXEC = 1;

// bits/socket.h, asm-generic/socket.h
export const AF_UNIX = 1;
export const AF_INET = 2;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_NONBLOCK = O_NONBLOCK;
export const SOCK_CLOEXEC = O_CLOEXEC;
export const SHUT_WR = 1;
export const SOL_SOCKET = 1;
export const SO_ERROR = 4;
export const SO_SNDBUF = 7;
export const SO_OOBINLINE = 10;
export const SO_LINGER = 13;
export const SO_PEERCRED = 17;
export const SO_PEEK_OFF = 42;
export const SO_MEMINFO = 55;
export const SCM_RIGHTS = 1;
export const MSG_PEEK = 0x02;
export const MSG_CTRUNC = 0x08;
export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;
export const MSG_ERRQUEUE = 0x2000;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_CMSG_CLOEXEC = 0x40000000;

// linux/sock_diag.h: indices into the array of 32-bit words that SO_MEMINFO fills
export const SK_MEMINFO_SNDBUF = 3;
export const SK_MEMINFO_WMEM_QUEUED = 5;
export const SK_MEMINFO_VARS = 9;

// linux/in.h, linux/tcp.h, linux/icmp.h, linux/errqueue.h
export const IPPROTO_IP = 0;
export const IPPROTO_ICMP = 1;
export const IPPROTO_TCP = 6;
export const IP_RECVERR = 11;
export const TCP_NODELAY = 1;
export const SOL_RAW = 255;
export const ICMP_FILTER = 1;
export const ICMP_ECHO_REPLY = 0;
export const ICMP_ECHO_REQUEST = 8;

// linux/eventpoll.h, asm-generic/poll.h
export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const EPOLL_CTL_MOD = 3;
export const EPOLLIN = 0x001;
export const EPOLLOUT = 0x004;
export const EPOLLERR = 0x008;
export const EPOLLHUP = 0x010;
export const EPOLLPRI = 0x2;
export const EPOLLRDHUP = 0x2000;
/** Bit 31, as the signed number that the kernel's 32 bits read as. */
export const EPOLLET = 1 << 31;
export const POLLIN = 1;
export const POLLOUT = 4;
export const POLLRDHUP = 0x2000;

/** `struct epoll_event` in 32-bit words: packed on x86-64 only (linux/eventpoll.h, EPOLL_PACKED). */
export const EPOLL_EVENT = process.arch === 'x64' ? { words: 3, data: 1 } : { words: 4, data: 2 };

// linux/if_tun.h, linux/if.h, linux/sockios.h
export const TUNSETIFF = 0x400454ca;
export const TUNSETOFFLOAD = 0x400454d0;
export const TUNGETIFF = 0x800454d2;
export const TUNSETVNETHDRSZ = 0x400454d8;
export const TUNSETCARRIER = 0x400454e2;
export const IFF_TAP = 0x0002;
export const IFF_NO_PI = 0x1000;
export const IFF_VNET_HDR = 0x4000;
export const TUN_F_CSUM = 0x01;
export const TUN_F_TSO4 = 0x02;
export const TUN_F_TSO6 = 0x04;
export const TUN_F_TSO_ECN = 0x08;
export const TUN_F_USO4 = 0x20;
export const TUN_F_USO6 = 0x40;
export const SIOCGIFMTU = 0x8921;
export const SIOCSIFMTU = 0x8922;
export const SIOCSIFHWADDR = 0x8924;
export const SIOCGIFHWADDR = 0x8927;
export const SIOCSIFTXQLEN = 0x8943;
export const ARPHRD_ETHER = 1;
export const IFNAMSIZ = 16;

// linux/virtio_net.h
export const VIRTIO_NET_HDR_F_NEEDS_CSUM = 1;
export const VIRTIO_NET_HDR_F_DATA_VALID = 2;

// asm-generic/unistd.h (the same number on x86-64), linux/resource.h, linux/prctl.h
export const SYS_PIDFD_OPEN = 434;
export const RLIMIT_NOFILE = 7;

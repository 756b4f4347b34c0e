"""The system calls that a student's kernel is refused, as a program for Linux's seccomp filter.

One process, its threads, files and Unix sockets are all that a kernel needs. What starts processes,
reaches into others, changes namespaces or mounts, holds memory that the watchdog can't count, or is
known for holes in Linux fails with an ordinary error, so that a cell sees an `OSError` and goes on.

The program is classic BPF (linux/filter.h, linux/seccomp.h): per instruction 16 bits of code, the
distances to jump if true and if false, and a 32-bit operand.
"""

from __future__ import annotations

import errno
import platform
import struct

# name: numbers on x86_64 and aarch64; None where the architecture lacks the call
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    # new processes; threads come by clone, see below
    "fork": (57, None), "vfork": (58, None),
    # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "pidfd_getfd": (438, 438), "kcmp": (312, 272),
    # namespaces, mounts, other roots, device files
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39),
    "pivot_root": (155, 41), "chroot": (161, 51), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "open_tree": (428, 428),
    "mount_setattr": (442, 442), "mknod": (133, None), "mknodat": (259, 33),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "fanotify_init": (300, 262),
    # parts of Linux that had many holes and that no notebook needs
    "bpf": (321, 280), "userfaultfd": (323, 282), "perf_event_open": (298, 241),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "io_setup": (206, 0), "io_submit": (209, 2), "vmsplice": (278, 75), "add_key": (248, 217),
    "request_key": (249, 218), "keyctl": (250, 219), "personality": (135, 92),
    "modify_ldt": (154, None), "uselib": (134, None), "lookup_dcookie": (212, 18),
    # memory that is no process's: anonymous files, System V's and POSIX's queues
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194),
    "shmat": (30, 196), "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180),
    "mbind": (237, 235), "set_mempolicy": (238, 237), "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    # the machine; all need rights that the sandbox lacks anyway
    "syslog": (103, 116), "reboot": (169, 142), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "clock_adjtime": (305, 266),
    "adjtimex": (159, 171), "sethostname": (170, 161), "setdomainname": (171, 162),
    "quotactl": (179, 60), "quotactl_fd": (443, 443), "vhangup": (153, 58), "iopl": (172, None),
    "ioperm": (173, None), "nfsservctl": (180, 42),
}  # fmt: skip

# machine: column in _REFUSED, AUDIT_ARCH, then the calls that depend on an argument
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_CLONE, _CLONE3, _SOCKET, _PRCTL, _IOCTL = (56, 220), (435, 435), (41, 198), (157, 167), (16, 29)

_NUMBER, _ARCH, _ARGUMENT, _SECOND = 0, 4, 16, 24  # offsets in struct seccomp_data, low words
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000

_CLONE_THREAD = 0x00010000
_CLONE_NEW = 0x7E020080  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET, NEWTIME
# The kernel talks to itself over 127.0.0.1, which the sandbox has for itself. Other families, such
# as a virtual machine's vsock, know no network namespaces.
_AF_UNIX, _AF_INET = 1, 2
_PR_SET_PDEATHSIG = 1  # else a kernel could outlive the process that grades
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C  # typing into somebody's terminal
_X32 = 0x40000000  # x86_64's second table of calls: every number has a double there

_Code = list[tuple[int, int, int, int]]


def _refuse(number: int) -> _Code:
    """What follows a comparison that may jump over one instruction: fail with errno `number`."""
    return [(_RETURN, 0, 0, _ERRNO | number)]


def _on_call(number: int, then: _Code) -> _Code:
    """Run `then`, which must return, if the call is `number`; the number is loaded."""
    return [(_EQUAL, 0, len(then), number), *then]


def system_call_filter(machine: str | None = None) -> bytes:
    """The filter's program: what bubblewrap's `--seccomp` reads, an array of struct sock_filter.

    Args:
        machine: the processor as `platform.machine()` names it; default: this computer's.
    Raises:
        ValueError: if there is no table for the processor; known are x86_64 and aarch64.
    Source: seccomp(2), clone(2).
    """
    machine = platform.machine() if machine is None else machine
    if machine not in _MACHINES:
        raise ValueError(
            f"machine: no table of system calls for {machine!r}, known are {', '.join(_MACHINES)}"
        )
    column, arch = _MACHINES[machine]
    allow = [(_RETURN, 0, 0, _ALLOW)]
    code: _Code = [
        (_LOAD, 0, 0, _ARCH),
        (_EQUAL, 1, 0, arch),
        (_RETURN, 0, 0, _KILL),  # 32-bit calls have other numbers
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        *_refuse(errno.ENOSYS),
    ]
    for numbers in _REFUSED.values():
        number = numbers[column]
        if number is not None:
            code += _on_call(number, _refuse(errno.EPERM))
    # Its flags lie in memory, where a filter can't look: without it glibc uses clone.
    code += _on_call(_CLONE3[column], _refuse(errno.ENOSYS))
    code += _on_call(
        _CLONE[column],
        [
            (_LOAD, 0, 0, _ARGUMENT),
            (_ANY_BIT, 2, 0, _CLONE_NEW),
            (_ANY_BIT, 0, 1, _CLONE_THREAD),
            *allow,
            *_refuse(errno.EPERM),
        ],
    )
    code += _on_call(
        _SOCKET[column],
        [
            (_LOAD, 0, 0, _ARGUMENT),
            (_EQUAL, 2, 0, _AF_UNIX),
            (_EQUAL, 1, 0, _AF_INET),
            *_refuse(errno.EOPNOTSUPP),  # libzmq asks for the interfaces; others it takes ill
            *allow,
        ],
    )
    code += _on_call(
        _PRCTL[column],
        [
            (_LOAD, 0, 0, _ARGUMENT),
            (_EQUAL, 0, 1, _PR_SET_PDEATHSIG),
            *_refuse(errno.EPERM),
            *allow,
        ],
    )
    code += _on_call(
        _IOCTL[column],
        [
            (_LOAD, 0, 0, _SECOND),
            (_EQUAL, 1, 0, _TIOCSTI),
            (_EQUAL, 0, 1, _TIOCLINUX),
            *_refuse(errno.EPERM),
            *allow,
        ],
    )
    code += allow
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)

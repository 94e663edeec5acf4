"""The program that runs code which a model wrote, in a process of its own: cut off where the system allows it, limited in any case.

Run by `instructsel.grading.code_sandbox` with the standard library alone. Standard input holds the program; DONE on the pipe whose number
is the last argument says that it came to its end.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys

try:
    import resource
except ImportError:  # no such limits on this system
    resource = None  # type: ignore[assignment]

DONE = b"+"
ISOLATED = b"i"
LIMITED = b"l"
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = (
    0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip
MS_REC, MS_PRIVATE = 0x4000, 0x40000
MOUNT_SETATTR, CAPSET = 442, {"x86_64": 126, "aarch64": 91}
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
READ_ONLY, NO_SETUID, NO_DEVICES = 1, 2, 4
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
CAPABILITIES_V3 = 0x20080522


class _Attributes(ctypes.Structure):
    """struct mount_attr."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]


def isolate() -> bool:
    """Leave network, other processes and every writable file behind; whether all of it worked.

    In a new user namespace this process may make the others: one without network, one in which it is alone, and one whose mounts are
    read-only. It then gives up the rights that it has there, so that nothing is undone.
    """
    if not sys.platform.startswith("linux") or os.uname().machine not in CAPSET:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS) != 0:
        return False
    try:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    except OSError:
        return False
    if libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) != 0:
        return False
    attributes = _Attributes(attr_set=READ_ONLY | NO_SETUID | NO_DEVICES)
    if libc.syscall(MOUNT_SETATTR, AT_FDCWD, b"/", AT_RECURSIVE, ctypes.byref(attributes), ctypes.sizeof(attributes)) != 0:
        return False
    # The namespace of processes begins with the first fork, and ends with it, whatever else the program starts. The program is the
    # second one's, as the first process of a namespace is deaf to signals.
    for _ in range(2):
        child = os.fork()
        if child:
            _, status = os.waitpid(child, 0)
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(CAPABILITIES_V3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    return bool(libc.syscall(CAPSET[os.uname().machine], header, nothing) == 0)


def limit(seconds: int, megabytes: int) -> None:
    """Processor time, memory, and no file that grows."""
    ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) if sys.platform.startswith("linux") else None
    if resource is None:
        return
    for kind, value in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, megabytes << 20),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (value, value))


def main() -> None:
    """Run the program on standard input."""
    seconds, megabytes, pipe = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    code = sys.stdin.buffer.read().decode("utf-8", "surrogatepass")
    sys.stdin.close()
    isolated = isolate()
    os.write(pipe, ISOLATED if isolated else LIMITED)
    limit(seconds, megabytes)
    exec(compile(code, "<program>", "exec"), {"__name__": "__main__"})
    os.write(pipe, DONE)
    os._exit(0)


if __name__ == "__main__":
    main()

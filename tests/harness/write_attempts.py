"""write_attempts.py DIRECTORY FILE LINK OTHER: tries every system call that would change the file system.

Prints one line for each: its name and the error it gave, or "done". OTHER is an empty directory on another file system,
from which things can be moved in. May run as any user.
"""

import ctypes
import errno
import fcntl
import os
import socket
import stat
import struct
import sys

directory, file, link, other = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100
FS_IOC_SETFLAGS = 0x40086602
FALLOC_PUNCH_HOLE = 0x03
new = os.path.join(directory, "written")
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry)
    for entry in (
        (0x01, 7, 0xFFFFFFFF),
        (0x02, 7, 1),
        (0x04, 5, 0xFFFFFFFF),
        (0x10, 7, 0xFFFFFFFF),
        (0x20, 5, 0xFFFFFFFF),
    )
)
attempts = {}


def attempt(function):
    attempts[function.__name__] = function
    return function


def c(name, *args):
    ctypes.set_errno(0)
    if getattr(libc, name)(*args) < 0:
        raise OSError(ctypes.get_errno(), "")


def opening(path, flags, mode=0o644):
    os.close(os.open(path, flags, mode))


def with_fd(path, action, flags=os.O_RDONLY):
    fd = os.open(path, flags)
    try:
        action(fd)
    finally:
        os.close(fd)


for label, flags in {
    "create": os.O_CREAT | os.O_WRONLY,
    "create_exclusive": os.O_CREAT | os.O_EXCL | os.O_RDWR,
    "create_to_read": os.O_CREAT | os.O_RDONLY,
}.items():
    attempts["open_" + label] = lambda flags=flags: opening(new, flags)
for label, flags in {
    "write": os.O_WRONLY,
    "read_write": os.O_RDWR,
    "append": os.O_WRONLY | os.O_APPEND,
    "truncate": os.O_RDONLY | os.O_TRUNC,
    "create_existing_to_write": os.O_CREAT | os.O_WRONLY,
    "direct_write": os.O_WRONLY | os.O_DIRECT,
}.items():
    attempts["open_" + label] = lambda flags=flags: opening(file, flags)

for where, path in (("file", file), ("directory", directory)):
    attempts["chmod_" + where] = lambda path=path: os.chmod(path, 0o777)
    attempts["fchmod_" + where] = lambda path=path: with_fd(path, lambda fd: os.fchmod(fd, 0o777))
    attempts["chown_" + where] = lambda path=path: os.chown(path, 1, 1)
    attempts["fchown_" + where] = lambda path=path: with_fd(path, lambda fd: os.fchown(fd, 1, 1))
    attempts["utimes_" + where] = lambda path=path: os.utime(path, (1, 1))
    attempts["utimes_now_" + where] = lambda path=path: os.utime(path)
    attempts["futimens_" + where] = lambda path=path: with_fd(path, lambda fd: os.utime(fd, (1, 1)))
    attempts["setxattr_user_" + where] = lambda path=path: os.setxattr(path, "user.x", b"1")
    attempts["setxattr_acl_" + where] = lambda path=path: os.setxattr(path, "system.posix_acl_access", ACL)
    attempts["fsetxattr_" + where] = lambda path=path: with_fd(path, lambda fd: os.setxattr(fd, "user.x", b"1"))
    attempts["removexattr_" + where] = lambda path=path: os.removexattr(path, "user.x")
    attempts["access_write_" + where] = lambda path=path: c("access", os.fsencode(path), os.W_OK)
    attempts["rename_" + where] = lambda path=path: os.rename(path, path + "-moved")


@attempt
def truncate():
    os.truncate(file, 0)


@attempt
def unlink():
    os.unlink(file)


@attempt
def rmdir():
    os.rmdir(directory)


@attempt
def mkdir():
    os.mkdir(new)


@attempt
def symlink():
    os.symlink("x", new)


@attempt
def mkfifo():
    os.mkfifo(new)


@attempt
def mknod_file():
    os.mknod(new, stat.S_IFREG | 0o644)


@attempt
def hard_link():
    os.link(file, new)


@attempt
def bind_socket():
    os.chdir(directory)
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.bind("written")
    finally:
        os.chdir("/")


@attempt
def rename_noreplace():
    c("renameat2", AT_FDCWD, os.fsencode(file), AT_FDCWD, os.fsencode(new), 1)


@attempt
def rename_exchange():
    c("renameat2", AT_FDCWD, os.fsencode(file), AT_FDCWD, os.fsencode(directory), 2)


@attempt
def setxattr_default_acl():
    os.setxattr(directory, "system.posix_acl_default", ACL)


@attempt
def unlink_symlink():
    os.unlink(link)


@attempt
def lchown_symlink():
    os.lchown(link, 1, 1)


@attempt
def utimes_symlink():
    os.utime(link, (1, 1), follow_symlinks=False)


@attempt
def rename_symlink():
    os.rename(link, link + "-moved")


@attempt
def tmpfile():
    opening(directory, os.O_TMPFILE | os.O_RDWR)


@attempt
def set_inode_flags():
    with_fd(file, lambda fd: fcntl.ioctl(fd, FS_IOC_SETFLAGS, struct.pack("l", 0x10)))


@attempt
def ftruncate_of_reader():
    with_fd(file, lambda fd: os.ftruncate(fd, 0))


@attempt
def fallocate_of_reader():
    with_fd(file, lambda fd: c("fallocate", fd, FALLOC_PUNCH_HOLE, ctypes.c_long(0), ctypes.c_long(1)))


@attempt
def write_of_reader():
    with_fd(file, lambda fd: os.write(fd, b"x"))


@attempt
def move_in():
    outside = os.path.join(other, str(os.getpid()))
    opening(outside, os.O_CREAT | os.O_WRONLY)
    try:
        os.rename(outside, new)
    finally:
        os.unlink(outside)


for name in sorted(attempts):
    try:
        attempts[name]()
        said = "done"
    except OSError as error:
        said = errno.errorcode.get(error.errno, str(error.errno))
    print(name, said)

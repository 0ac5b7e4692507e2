"""handles.py take ROOT | open ROOT: file handles as an NFS server uses them. Root only.

take: prints handle, type, inode number, digest and path of everything below ROOT, tab-separated, one a line.
open: reads such lines from standard input, opens each by its handle alone, and prints a line for each that is not the same:
the path and what was got. ROOT is only asked for the mount it is on.
"""

import ctypes
import errno
import hashlib
import os
import stat
import sys

libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100
LONGEST = 128


class Handle(ctypes.Structure):
    _fields_ = [
        ("length", ctypes.c_uint),
        ("kind", ctypes.c_int),
        ("data", ctypes.c_ubyte * LONGEST),
    ]


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def take(path):
    handle, mount = Handle(length=LONGEST), ctypes.c_int()
    checked(libc.name_to_handle_at(AT_FDCWD, path, ctypes.byref(handle), ctypes.byref(mount), 0))
    return bytes(handle.data[: handle.length]), handle.kind


def reopen(mount_fd, data, kind):
    handle = Handle(length=len(data), kind=kind)
    ctypes.memmove(handle.data, data, len(data))
    return checked(libc.open_by_handle_at(mount_fd, ctypes.byref(handle), os.O_RDONLY))


def look(fd):
    attributes, digest = os.fstat(fd), hashlib.sha256()
    if stat.S_ISDIR(attributes.st_mode):
        digest.update(b"\0".join(sorted(os.fsencode(name) for name in os.listdir(fd))))
    else:
        while chunk := os.read(fd, 1 << 20):
            digest.update(chunk)
    return str(attributes.st_ino), digest.hexdigest()


def everything(root):
    yield root
    for path, directories, files in os.walk(root):
        for name in sorted(directories + files):
            full = os.path.join(path, name)
            if not os.path.islink(full):
                yield full


what, root = sys.argv[1], os.fsencode(sys.argv[2])
if what == "take":
    for path in everything(root):
        data, kind = take(path)
        fd = os.open(path, os.O_RDONLY)
        try:
            line = [data.hex(), str(kind), *look(fd), os.fsdecode(path)]
        finally:
            os.close(fd)
        print("\t".join(line))
else:
    mount_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for line in sys.stdin:
        data, kind, inode, digest, path = line.rstrip("\n").split("\t")
        try:
            fd = reopen(mount_fd, bytes.fromhex(data), int(kind))
            try:
                got = look(fd)
            finally:
                os.close(fd)
        except OSError as error:
            got = errno.errorcode[error.errno]
        if got != (inode, digest):
            print(path, got)

"""other_reads.py DIRECTORY FILE LINK OTHER: reads in all the ways that are not plain reading.

Prints a line for each: its name and what it gave, an errno or "ok"; "wrong" if it gave other bytes than plain reading does.
OTHER is a directory on another file system, which can be written.
"""

import errno
import fcntl
import mmap
import os
import select
import struct
import sys

directory, file, link, other = sys.argv[1:]
size = os.stat(file).st_size
with open(file, "rb") as plain:
    content = plain.read()
FS_IOC_GETFLAGS = 0x80086601


def of_file(action):
    fd = os.open(file, os.O_RDONLY)
    try:
        return action(fd)
    finally:
        os.close(fd)


def mapped(fd, flags, protection):
    with mmap.mmap(fd, size, flags=flags, prot=protection) as memory:
        return memory[:] == content


def copied(fd):
    out = os.open(os.path.join(other, "copy"), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        while os.sendfile(out, fd, None, 1 << 20):
            pass
        os.lseek(out, 0, os.SEEK_SET)
        return os.read(out, size + 1) == content
    finally:
        os.close(out)
        os.unlink(os.path.join(other, "copy"))


def run_it():
    pid = os.fork()
    if pid == 0:
        try:
            os.execv(file, [file])
        except OSError as e:
            os._exit(e.errno)
    _, status = os.waitpid(pid, 0)
    raise OSError(os.waitstatus_to_exitcode(status), "")


ways = {
    "stat_of_what_is_not_there": lambda: os.stat(directory + "/nothing"),
    "open_in_capitals": lambda: os.open(directory + "/" + os.path.basename(file).upper(), os.O_RDONLY),
    "open_file_as_directory": lambda: os.open(file, os.O_RDONLY | os.O_DIRECTORY),
    "read_directory": lambda: os.read(os.open(directory, os.O_RDONLY), 10),
    "list_file": lambda: os.listdir(file),
    "readlink": lambda: len(os.readlink(link)) == 10,
    "readlink_of_file": lambda: os.readlink(file),
    "read_past_the_end": lambda: of_file(lambda fd: os.pread(fd, 10, size + 5) == b""),
    "seek_to_the_end": lambda: of_file(lambda fd: os.lseek(fd, 0, os.SEEK_END) == size),
    "seek_data": lambda: of_file(lambda fd: os.lseek(fd, 1, os.SEEK_DATA) == 1),
    "seek_hole": lambda: of_file(lambda fd: os.lseek(fd, 0, os.SEEK_HOLE) == size),
    "seek_data_at_the_end": lambda: of_file(lambda fd: os.lseek(fd, size, os.SEEK_DATA)),
    "map_private": lambda: of_file(lambda fd: mapped(fd, mmap.MAP_PRIVATE, mmap.PROT_READ)),
    "map_shared": lambda: of_file(lambda fd: mapped(fd, mmap.MAP_SHARED, mmap.PROT_READ)),
    "map_to_write": lambda: of_file(lambda fd: mapped(fd, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)),
    "map_to_run": lambda: of_file(lambda fd: mapped(fd, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)),
    "sendfile": lambda: of_file(copied),
    "run": run_it,
    "access_to_read": lambda: os.access(file, os.R_OK),
    "access_to_write": lambda: not os.access(file, os.W_OK),
    "access_to_run": lambda: not os.access(file, os.X_OK),
    "getxattr": lambda: os.getxattr(file, "user.DOSATTRIB"),
    "get_default_acl": lambda: os.getxattr(directory, "system.posix_acl_default"),
    "listxattr": lambda: "user.DOSATTRIB" not in os.listxattr(file),
    "lock_shared": lambda: of_file(lambda fd: fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)),
    "lock_exclusive": lambda: of_file(lambda fd: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)),
    "lock_range_to_read": lambda: of_file(lambda fd: fcntl.lockf(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)),
    "lock_range_to_write": lambda: of_file(lambda fd: fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)),
    "fsync": lambda: of_file(os.fsync),
    "inode_flags": lambda: of_file(lambda fd: fcntl.ioctl(fd, FS_IOC_GETFLAGS, struct.pack("l", 0))),
    "select": lambda: of_file(lambda fd: select.select([fd], [], [], 0)[0] == [fd]),
}
for name, way in ways.items():
    try:
        print(name, "wrong" if way() is False else "ok")
    except OSError as e:
        print(name, errno.errorcode[e.errno])

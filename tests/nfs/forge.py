"""A client of version 3 that was handed no handle by the server, and makes them up: forge.py UID KIND:NUMBER...

KIND is f for a file, d for a directory; NUMBER is that of the inode, of which handles are made. Each file is read and each
directory listed as that user. Writes the server's status for each: 0, or an NFS error such as 13 for EACCES, 70 for a stale handle.
"""
import socket, struct, sys

uid, nodes = int(sys.argv[1]), sys.argv[2:]
server = socket.create_connection(("127.0.0.1", 2049))
NFS, VERSION, AUTH_SYS, READ, READDIR = 100003, 3, 1, 6, 16


def opaque(data):
    return struct.pack(">I", len(data)) + data + bytes(-len(data) % 4)


def receive(length):
    data = b""
    while len(data) < length:
        data += server.recv(length - len(data))
    return data


def status(procedure, arguments):
    identity = opaque(struct.pack(">I", 0) + opaque(b"client") + struct.pack(">III", uid, uid, 0))
    call = struct.pack(">IIIIIII", 1, 0, 2, NFS, VERSION, procedure, AUTH_SYS) + identity + bytes(8) + arguments
    server.sendall(struct.pack(">I", 0x80000000 | len(call)) + call)
    reply = receive(struct.unpack(">I", receive(4))[0] & 0x7FFFFFFF)
    # Transaction, reply, accepted, verifier of no length, success.
    assert reply[4:24] == struct.pack(">IIIII", 1, 0, 0, 0, 0), reply[:40]
    return struct.unpack(">I", reply[24:28])[0]


for node in nodes:
    kind, number = node[0], int(node[2:])
    # The export by its number, 0; then what FUSE makes of an inode: upper half, lower half, generation.
    inode = struct.pack("=III", number >> 32, number & 0xFFFFFFFF, 0)
    handle = opaque(bytes([1, 0, 1, 0x81]) + bytes(4) + inode)
    if kind == "f":
        print(status(READ, handle + struct.pack(">QI", 0, 4096)))
    else:
        print(status(READDIR, handle + struct.pack(">QQI", 0, 0, 4096)))

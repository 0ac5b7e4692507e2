"""A client of another make than Samba's: client.py HOST USER PASSWORD SHARE COMMAND [PATH].

walk: a line for each file, its path, size and digest.  writes: what the server says to each way to write.
versions: the Previous Versions of a file, and the digest of each.

It opens nothing whose name has a character beyond the first 65,536: the length it sends for those is wrong.
"""
import hashlib, io, sys
from impacket.smbconnection import SessionError, SMBConnection

host, user, password, share, command = sys.argv[1:6]
path = sys.argv[6] if len(sys.argv) > 6 else ""
smb = SMBConnection(host, host)
smb.login(user, password)


def digest(path):
    whole = io.BytesIO()
    smb.getFile(share, path, whole.write)
    return len(whole.getvalue()), hashlib.sha256(whole.getvalue()).hexdigest()


def said(attempt):
    try:
        attempt()
        return "done"
    except SessionError as e:
        return e.getErrorString()[0]


def walk(at):
    for entry in smb.listPath(share, at + "\\*"):
        name = entry.get_longname()
        if name in (".", ".."):
            continue
        below = at + "\\" + name if at else name
        if entry.is_directory():
            walk(below)
        else:
            size, sha = digest(below)
            assert size == entry.get_filesize(), (below, size, entry.get_filesize())
            print(below.replace("\\", "/"), size, sha, sep="\t")


if command == "walk":
    walk(path)
elif command == "writes":
    folder = path.rpartition("\\")[0]
    print("a new file:", said(lambda: smb.putFile(share, folder + "\\new.eml", io.BytesIO(b"x").read)))
    print("over a message:", said(lambda: smb.putFile(share, path, io.BytesIO(b"x").read)))
    print("a directory:", said(lambda: smb.createDirectory(share, folder + "\\new")))
    print("deleting:", said(lambda: smb.deleteFile(share, path)))
    print("deleting a directory:", said(lambda: smb.deleteDirectory(share, folder)))
    print("renaming:", said(lambda: smb.rename(share, path, folder + "\\new.eml")))
elif command == "versions":
    tree = smb.connectTree(share)
    for version in smb.listSnapshots(tree, path):
        print(version, *digest(version + "\\" + path), sep="\t")

"""A user who reads his mail in a mount and compares every byte: roam.py ROOT ADDRESS FIRST_OF_BOB UNTIL.

UNTIL is "all": every date once, no error is excused, and the number of dates is written. Or it is a file: at random places
until there is such a file, and the numbers of files and bytes compared, errors told and refusals are written. What is wrong is
written as WRONG, with status 1.
"""
import errno, os, random, sys, time, zlib

root, address, first_of_bob, until = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
other = {"alice@example.com": "bob@example.com", "bob@example.com": "alice@example.com"}[address]
# While the daemon or its server is away. EACCES: nothing is exported. EBADF: an NFSv4 client could not open the file again
# that somebody had open.
EXCUSED = {
    errno.ENOENT,
    errno.EIO,
    errno.ESTALE,
    errno.ENOTCONN,
    errno.ECONNABORTED,
    errno.EACCES,
    errno.EREMOTEIO,
    errno.EBADF,
}
files = size = errors = refused = 0


def wrong(*what):
    print("WRONG", *what)
    sys.exit(1)


def is_his(number):
    return (number >= first_of_bob) == (address == "bob@example.com")


def expected(number):
    sender, subject, body = "Bob Rossi <bob@example.com>", f"Message {number}", f"Line of message {number}.\n"
    told = zlib.crc32(f"{sender}{subject}{body}".encode())
    return (
        f"From: {sender}\nTo: alice@example.com\nSubject: {subject}\nMessage-ID: <{told:08x}@example.com>\n"
        f"Date: Thu, 19 Nov 2026 09:32:00 +0000\n\n{body}"
    )


def read(path):
    global files, size
    with open(path, newline="") as file:
        told = os.fstat(file.fileno()).st_size
        text = file.read()
    if len(text) != told:
        wrong(path, len(text), told)
    files, size = files + 1, size + told
    return text


def messages(folder):
    for name in os.listdir(folder):
        if name.endswith(".eml"):
            number = int(name.split("Message ")[1].split(" ")[0])
            text = read(f"{folder}/{name}")
            if text != expected(number) or not is_his(number):
                wrong(folder, name, text)


def mbox(path):
    for entry in read(path).split("\nSubject: Message ")[1:]:
        number = int(entry.split("\n")[0])
        if f"\nLine of message {number}.\n" not in entry or not is_his(number):
            wrong(path, entry)


def pry(date):
    global refused
    for path in ("", "/INBOX", "/INBOX.mbox"):
        try:
            os.close(os.open(f"{root}/{date}/{other}{path}", os.O_RDONLY))
            wrong("opened", date, other, path)
        except OSError:
            refused += 1


def dates():
    return [name for name in os.listdir(root) if name.startswith("20")]


if until == "all":
    found = dates()
    for date in found:
        messages(f"{root}/{date}/{address}/INBOX")
        mbox(f"{root}/{date}/{address}/INBOX.mbox")
        pry(date)
    print(len(found))
    sys.exit(0)

while not os.path.exists(until):
    try:
        date = random.choice(dates() or ["2000-01-01"])
        folder = f"{root}/{date}/{address}/" + random.choice(["INBOX", "Archive"])
        if not os.path.isdir(folder):
            time.sleep(0.05)
            continue
        if random.randrange(4):
            messages(folder)
        else:
            mbox(folder + ".mbox")
        pry(date)
    except OSError as e:
        if e.errno not in EXCUSED:
            wrong(e)
        errors += 1
        time.sleep(0.05)
print(files, size, errors, refused)

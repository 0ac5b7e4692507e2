"""reference.py SEED STORE: makes a random mail store with a few snapshots, and says what a mount of it must show.

Shares nothing with the program but the description of what it does. Everything follows from SEED alone. Prints one line for
everything that must be there, tab-separated: path, kind, uid, size, mtime, sha256; "-" where nothing is promised. In a path the
ID of a message is "(#)", and a name that had to be cut keeps its first 60 characters only, so that lines may be equal.

What is said about a message (its sender, its subject) is drawn first and put into the header afterwards, in one of several
encodings: the model has no header parser that could share a mistake.
"""

import base64
import datetime
import hashlib
import os
import random
import sys
import unicodedata
import zoneinfo

seed, store = int(sys.argv[1]), sys.argv[2]
rng = random.Random(seed)
ZONE = zoneinfo.ZoneInfo("Europe/Rome")
STATUS = rng.random() < 0.5
DAYS = ["2026-11-18", "2026-11-19", "2026-11-20"][: rng.randint(1, 3)]
DROPPED = (b"status", b"x-status")


class Message:
    """A file of a folder: its store name, the part it lies in, its flags, its bytes, its time, and what it says of itself."""

    def __init__(self, base, part, flags, content, received, sender, subject):
        self.base, self.part, self.flags = base, part, flags
        self.content, self.received = content, received
        self.sender, self.subject = sender, subject

    def file_name(self):
        return self.base + (":2," + self.flags if self.flags is not None else "")

    def with_flags(self, part, flags):
        return Message(self.base, part, flags, self.content, self.received, self.sender, self.subject)


# --- what is drawn -------------------------------------------------------------------------------------------------

SENDERS = [None, "", "Bob", "Bob Rossi", "Jörg Müller", "日本 太郎", "O'Neil, Pat", "a/b:c", "Bob", "dot."]
WORDS = ["Re:", "a", "b", "A", "Offer", "für", "März", "日本語", "😀", "x/y", "what?", "50 %", "*", "e\u0301", "..", "<tag>", "|"]
LINES = [
    b"",
    b"text",
    b"From me",
    b">From you",
    b">>From them",
    b"From",
    b"From:",
    b" From here",
    b">",
    b"\0\xff\xfe",
    b"lone\rCR",
    b"x" * 3000,
    b"Status: body",
]
BASES = ["1795.M%dP1.mx" % n for n in range(12)] + ["1795.M7P2.mx,S=11,W=12", "a", "B", "b", "odd name", "1795.\udcff.mx"]
FOLDERS = {
    "INBOX": None,
    "Sent": "Sent",
    "Archive": "Archive",
    "Archive/2024": "Archive.2024",
    "Notes/x/y": "Notes.x.y",
    "Entwürfe": "Entw&APw-rfe",
    "日本語": "&ZeVnLIqe-",
    "A&B": "A&-B",
}


def draw_subject():
    if rng.random() < 0.08:
        return rng.choice(["", "   "])
    if rng.random() < 0.06:
        return "long " * 60
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 4)))


def encoded(text):
    """A header field's value that says `text`."""
    way = rng.randrange(3)
    if text.isascii() or way == 0:
        return text.encode()
    raw = text.encode()
    if way == 1:
        return b"=?utf-8?B?" + base64.b64encode(raw) + b"?="
    return b"=?UTF-8?q?" + b"".join(b"=%02X" % byte for byte in raw) + b"?="


def draw_message(base):
    """A message; some are empty, have no header, or end without a line end."""
    eol = rng.choice([b"\n", b"\n", b"\r\n"])
    kind = rng.random()
    sender, subject = None, ""
    if kind < 0.06:
        content = b""
    elif kind < 0.1:
        content = eol + b"no header" + eol
    else:
        fields = []
        name = rng.choice(SENDERS)
        if name is not None:
            address = b"someone@example.com"
            if not name:
                sender = address.decode()
                fields.append(b"From: " + rng.choice([address, b"<" + address + b">"]))
            else:
                sender = name
                plain = encoded(name)
                if not plain.startswith(b"=?"):
                    plain = b'"' + plain + b'"'
                fields.append(b"From: " + plain + b" <" + address + b">")
        if rng.random() < 0.95:
            subject = draw_subject()
            fields.append(b"Subject: " + encoded(subject))
        fields += rng.sample(
            [b"Status: RO", b"X-Status: D" + eol + b" folded", b"STATUS:x", b"X-Statuses: kept", b"To: From x", b"Content-Length: 1"],
            rng.randint(0, 3),
        )
        rng.shuffle(fields)
        body = [rng.choice(LINES) for _ in range(rng.randint(0, 8))]
        content = eol.join(fields + [b""] + body)
        if rng.random() < 0.8:
            content += eol
    received = 1_794_900_000 + rng.randint(0, 8) * 600
    part = rng.choice(["cur", "cur", "new"])
    flags = draw_flags() if part == "cur" or rng.random() < 0.2 else None
    return Message(base, part, flags, content, received, sender, subject)


def draw_flags():
    return "".join(f for f in "DFPRSTab" if rng.random() < 0.3) if rng.random() < 0.9 else None


def draw_day(before):
    """A mailbox a day later: messages come, go, move and change their flags; folders come and go."""
    folders = {name: list(messages) for name, messages in before.items()}
    for name in rng.sample(sorted(FOLDERS), rng.randint(0, 3)):
        folders.setdefault(name, [])
    for name in sorted(folders):
        kept = []
        for message in folders[name]:
            luck = rng.random()
            if luck < 0.15:
                continue
            if luck < 0.4:
                message = message.with_flags("cur", draw_flags())
            kept.append(message)
        for _ in range(rng.randint(0, 4)):
            base = rng.choice(BASES)
            if all(m.base != base for m in kept):
                kept.append(draw_message(base))
        if kept and rng.random() < 0.15:
            # A second file of the same name in the other part, of the same size or of another one.
            double = rng.choice(kept)
            if sum(m.base == double.base for m in kept) == 1:
                part = "new" if double.part == "cur" else "cur"
                content = double.content if rng.random() < 0.5 else double.content + b"more\n"
                kept.append(Message(double.base, part, double.flags, content, double.received, double.sender, double.subject))
        folders[name] = kept
    for name in list(folders):
        if name != "INBOX" and rng.random() < 0.08:
            del folders[name]
    return folders


# --- what is on the disk ---------------------------------------------------------------------------------------------


def directory_of(mailbox, name, layout):
    stored = FOLDERS[name]
    if stored is None:
        return mailbox
    if layout == "fs":
        return os.path.join(mailbox, stored.replace(".", "/"))
    if layout == "utf8":
        return os.path.join(mailbox, "." + name.replace("/", "."))
    return os.path.join(mailbox, "." + stored)


def write(day, domain, user, uid, layout, folders, seen):
    home = os.path.join(store, day, domain, user)
    mailbox = os.path.join(home, "Maildir")
    for name, messages in folders.items():
        directory = directory_of(mailbox, name, layout)
        for part in ("cur", "new", "tmp"):
            os.makedirs(os.path.join(directory, part), exist_ok=True)
        for message in messages:
            path = os.path.join(directory, message.part, message.file_name())
            # What is the same as the day before is the same file, as snapshots by hard links have it.
            key = (user, domain, name, message.part, message.base, message.content, message.received)
            if key in seen and rng.random() < 0.7:
                os.link(seen[key], path)
            else:
                with open(path, "wb") as file:
                    file.write(message.content)
                os.utime(path, (message.received, message.received))
            seen[key] = path
        if rng.random() < 0.3:
            with open(os.path.join(directory, "tmp", "1795.M1P1.mx"), "wb") as file:
                file.write(b"Subject: never delivered\n\n")
    for path, directories, files in os.walk(home):
        for name in [path] + [os.path.join(path, f) for f in files]:
            os.lchown(name, uid, uid)


# --- what must be shown ----------------------------------------------------------------------------------------------


def shown(messages):
    """One of each name; both of those that differ in size."""
    found = []
    for message in messages:
        others = [m for m in messages if m.base == message.base and m is not message]
        if message.part == "new" and any(len(m.content) == len(message.content) for m in others):
            continue
        found.append(message)
    return found


def safe(text):
    text = unicodedata.normalize("NFC", " ".join(text.split()))
    return "".join("_" if c in '<>:"/\\|?*' or unicodedata.category(c) == "Cc" else c for c in text)


def name_of(message):
    when = datetime.datetime.fromtimestamp(message.received, ZONE).strftime("%Y-%m-%d %H%M")
    sender = safe(message.sender or "") or "unknown"
    subject = safe(message.subject) or "no subject"
    name = f"{when} {sender} - {subject}"
    if len((name + " (12345678).eml").encode("utf-16-le")) // 2 > 120:
        return name[:60] + "…"
    return name + " (#).eml"


def quoted(content):
    lines = content.split(b"\n")
    ends = len(lines) - 1
    out = []
    for number, line in enumerate(lines):
        if number == ends and not line:
            break
        if number < ends and line.endswith(b"\r"):
            line = line[:-1]
        if line.lstrip(b">").startswith(b"From "):
            line = b">" + line
        out.append(line + b"\n")
    return out


def without_status(lines):
    """The same lines without the header fields that are written anew."""
    out, header, dropping = [], True, False
    for line in lines:
        if header and line == b"\n":
            header = False
        if header:
            if line[:1] in b" \t" and line[:1]:
                if dropping:
                    continue
            else:
                dropping = line.split(b":")[0].rstrip(b" \t").lower() in DROPPED and b":" in line
                if dropping:
                    continue
        out.append(line)
    return out


def mbox(messages):
    out = []
    for message in sorted(messages, key=lambda m: (m.received, os.fsencode(m.base))):
        stamp = datetime.datetime.fromtimestamp(message.received, datetime.timezone.utc)
        out.append(f"From MAILER-DAEMON {stamp:%a %b} {stamp.day:2} {stamp:%H:%M:%S %Y}\n".encode())
        lines = quoted(message.content)
        if STATUS:
            flags = message.flags or ""
            out.append(b"Status: RO\n" if "S" in flags else b"Status: O\n")
            letters = "".join(x for x, flag in (("A", "R"), ("F", "F"), ("T", "D"), ("D", "T")) if flag in flags)
            if letters:
                out.append(f"X-Status: {letters}\n".encode())
            lines = without_status(lines)
        out += lines + [b"\n"]
    return b"".join(out)


def tell(path, kind, uid, content=None, mtime="-"):
    size, digest = ("-", "-") if content is None else (len(content), hashlib.sha256(content).hexdigest())
    print("\t".join(str(field) for field in (path, kind, uid, size, mtime, digest)))


def expect(day, mailbox, uid, folders):
    top = f"{day}/{mailbox}"
    tell(top, "directory", uid)
    tell(f"{top}/ABOUT THIS BACKUP.txt", "file", uid)
    directories = set()
    for name, messages in folders.items():
        parts = name.split("/")
        directories |= {"/".join(parts[: n + 1]) for n in range(len(parts))}
        messages = shown(messages)
        for message in messages:
            tell(f"{top}/{name}/{name_of(message)}", "file", uid, message.content, message.received)
        twice = {m.base for m in messages if sum(o.base == m.base for o in messages) > 1}
        # The order of two files of one name and one time is nobody's promise.
        tell(f"{top}/{name}.mbox", "file", uid, None if twice else mbox(messages))
    for name in directories:
        tell(f"{top}/{name}", "directory", uid)


mailboxes = [("alice", "example.com", 1_500_001), ("bob", "example.com", 1_500_002), ("alice", "example.org", 1_500_003)]
mailboxes = mailboxes[: rng.randint(1, 3)]
sys.stdout.reconfigure(encoding="utf-8")
print(f"flags\t{'status' if STATUS else 'none'}")
states, seen = {m: {"INBOX": []} for m in mailboxes}, {}
layouts = {m: rng.choice(["maildir++", "fs", "utf8"]) for m in mailboxes}
for day in DAYS:
    tell(day, "directory", "-")
    for m in mailboxes:
        user, domain, uid = m
        states[m] = draw_day(states[m])
        # A name outside ASCII says which of the two encodings of names a store has.
        if layouts[m] == "utf8":
            states[m].setdefault("Entwürfe", [])
        write(day, domain, user, uid, layouts[m], states[m], seen)
        expect(day, f"{user}@{domain}", uid, states[m])

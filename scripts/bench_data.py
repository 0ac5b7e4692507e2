"""Makes mail for scripts/bench: Maildirs of messages of one size, and dates of them by hard links.

usage: bench_data.py messages MAILDIR COUNT BYTES    a Maildir of COUNT messages in cur/
       bench_data.py mailboxes DIR COUNT             DIR/example.com/<user>/Maildir, empty
       bench_data.py next FROM TO PERCENT            TO is FROM a day later: of each Maildir, PERCENT of the messages
                                                     are gone and as many are new, the others are hard links
"""

import os
import sys

LINE = b"The quick brown fox jumps over the lazy dog, again and again and yet again.\n"


def message(number, size):
    head = (
        f"From: Sender {number % 997} <sender{number % 997}@example.org>\n"
        f"To: user@example.com\n"
        f"Subject: Message {number} about subject {number * 7919 % 10007}\n"
        f"Date: Fri, 20 Nov 2026 10:{number % 60:02}:00 +0000\n"
        f"Message-ID: <{number}@example.org>\n\n"
    ).encode()
    body = LINE * ((size - len(head)) // len(LINE) + 1)
    return (head + body)[: max(size - 1, len(head))] + b"\n"


def write_message(cur, number, size):
    data = message(number, size)
    moment = 1_700_000_000 + number * 60
    path = f"{cur}/{moment}.M{number}P1.mail,S={len(data)}:2,S"
    with open(path, "wb", buffering=0) as file:
        file.write(data)
    os.utime(path, (moment, moment))


def maildir(path):
    for part in ("cur", "new", "tmp"):
        os.makedirs(f"{path}/{part}", exist_ok=True)
    return f"{path}/cur"


def messages(path, count, size):
    cur = maildir(path)
    for number in range(count):
        write_message(cur, number, size)


def mailboxes(path, count):
    for number in range(count):
        maildir(f"{path}/example.com/user{number:05}/Maildir")


def next_day(source, target, percent):
    for where, _, names in os.walk(source):
        there = target + where[len(source) :]
        os.makedirs(there, exist_ok=True)
        changed = int(len(names) * percent / 100 + 0.5)
        for name in sorted(names)[changed:]:
            os.link(f"{where}/{name}", f"{there}/{name}")
        for number in range(changed):
            size = os.path.getsize(f"{where}/{names[0]}")
            write_message(there, 10_000_000 + number, size)


def main(arguments):
    match arguments:
        case ["messages", path, count, size]:
            messages(path, int(count), int(size))
        case ["mailboxes", path, count]:
            mailboxes(path, int(count))
        case ["next", source, target, percent]:
            next_day(source, target, float(percent))
        case _:
            sys.exit(__doc__)


main(sys.argv[1:])

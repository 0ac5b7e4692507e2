"""Uses a mailbox while it is restored into: delivers, changes flags, moves messages from folder to folder and back.

Arguments: port, user, password, folder from which a message is moved back and forth, folder to which. Prints a line when
all is under way; ends when its standard input does, and prints what it has done as JSON: `delivered` messages, and the
`flags` that messages of INBOX have now, by UID.
"""
import hashlib
import imaplib
import json
import random
import re
import sys
import threading

port, user, password, here, there = sys.argv[1:6]
imaplib.Commands.setdefault('MOVE', ('SELECTED',))
stopped = threading.Event()
under_way = threading.Barrier(4)
delivered, flags, faults = [], {}, []


def done(answer):
    status, said = answer
    if status != 'OK':
        raise RuntimeError(f'the server refuses: {said}')
    return said


def signed_in():
    server = imaplib.IMAP4('127.0.0.1', int(port))
    server.login(user, password)
    return server


def deliver(server):
    number = len(delivered)
    text = f'From: Eve <eve@example.com>\r\nSubject: New {number}\r\nMessage-ID: <new-{number}@example.com>\r\n\r\nx\r\n'
    folder = ['INBOX', 'Sent', here][number % 3]
    date = f'"21-Nov-2026 10:{number // 60 % 60:02}:{number % 60:02} +0000"'
    done(server.append(f'"{folder}"', '(\\Flagged)', date, text.encode()))
    received = 1795255200 + number // 60 % 60 * 60 + number % 60
    digest = hashlib.sha256(text.encode()).hexdigest()
    delivered.append(dict(folder=folder, flags=['\\Flagged'], received=received, digest=digest, uid=0))


def flag(server):
    if server.state != 'SELECTED':
        done(server.select('INBOX'))
    uid = random.choice(in_inbox)
    chosen = sorted(random.sample(['\\Seen', '\\Flagged', '\\Answered', 'later', '$Label1'], 2))
    done(server.uid('store', uid, 'FLAGS', '(' + ' '.join(chosen) + ')'))
    flags[uid] = chosen


def subjects(server):
    """The messages of the folder that is open: subject to UID."""
    said = done(server.uid('fetch', '1:*', '(BODY.PEEK[HEADER.FIELDS (SUBJECT)])'))
    parts = [part for part in said if isinstance(part, tuple)]
    return {header.strip(): re.search(rb'UID (\d+)', start).group(1).decode() for start, header in parts}


def move(server):
    for source, target in ((here, there), (there, here)):
        done(server.select(f'"{source}"'))
        by_subject = subjects(server)
        if not hasattr(server, 'subject'):
            server.subject = min(by_subject)
        done(server.uid('move', by_subject[server.subject], f'"{target}"'))


def repeat(act):
    try:
        server = signed_in()
        act(server)
        under_way.wait()
        while not stopped.is_set():
            act(server)
            # Not so fast that the mailbox grows without end.
            stopped.wait(0.01)
    except Exception as fault:
        faults.append(f'{act.__name__}: {fault!r}')
        under_way.abort()


def uids_of_inbox():
    server = signed_in()
    done(server.select('INBOX'))
    return done(server.uid('search', 'ALL'))[0].decode().split()


in_inbox = uids_of_inbox()
threads = [threading.Thread(target=repeat, args=[act]) for act in (deliver, flag, move)]
for thread in threads:
    thread.start()
try:
    under_way.wait()
    print('under way', flush=True)
    sys.stdin.read()
except threading.BrokenBarrierError:
    pass
stopped.set()
for thread in threads:
    thread.join()
if faults:
    raise SystemExit('\n'.join(faults))
print(json.dumps(dict(delivered=delivered, flags=flags)))

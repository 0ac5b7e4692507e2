"""Somebody who uses a mailbox over IMAP, at random, and keeps account of it.

Arguments: port, user, password, seed, folders (their names in IMAP, separated by commas). Each line on standard input
asks for something, and is answered with a line of JSON.

  day           lives through a day
  take N...     puts these messages back, as somebody does who drags them into a mail program
  note JSON     takes note that somebody else has put messages there: {folder: [number, ...]}

The answer: `folders` with the numbers of the messages that each holds, `digests` of all messages there ever were
(line ends as LF).
"""
import collections
import hashlib
import imaplib
import json
import random
import re
import sys

port, user, password, seed, names = sys.argv[1:6]
names = names.split(',')
dice = random.Random(int(seed))
server = imaplib.IMAP4('127.0.0.1', int(port))
server.login(user, password)
server._encoding = 'utf-8'
imaplib.Commands.setdefault('MOVE', ('SELECTED',))

# What each folder holds: numbers of messages, one for each copy.
folders = collections.defaultdict(list)
folders['INBOX'] = []
texts = {}


def done(answer):
    status, said = answer
    if status != 'OK':
        raise SystemExit(f'the server refuses: {said}')
    return said


def quoted(folder):
    return '"' + folder + '"'


def text(number, like=None):
    """A message; with `like`, another version of that one. Many are of one size, some have no Message-ID."""
    lines = [f'Subject: number {number:06}', 'From: Bob <bob@example.com>', f'X-Number: {number:06}',
             'Date: Fri, 20 Nov 2026 10:00:00 +0000']
    if number % 5:
        lines.append(f'Message-ID: <{number if like is None else like:06}@example.com>')
    body = ['text'] * (1 + (0 if like is None else number)) + ['From here on', '>From there']
    return '\r\n'.join(lines + [''] + body + ['']).encode()


def append(number, folder, flags=''):
    if folder not in folders:
        done(server.create(quoted(folder)))
    date = f'"{1 + number % 14:02}-Nov-2026 08:{number % 60:02}:00 +0000"'
    done(server.append(quoted(folder), flags, date, texts[number]))
    folders[folder].append(number)


def new(folder, flags='', like=None):
    number = len(texts) + 1
    texts[number] = text(number, like)
    append(number, folder, flags)
    return number


def select(folder):
    done(server.select(quoted(folder)))


def some():
    """A folder that is open now and some of its messages, with their UIDs."""
    folder = dice.choice([f for f in folders if folders[f]] or ['INBOX'])
    select(folder)
    chosen = dice.sample(folders[folder], min(len(folders[folder]), dice.randint(1, 3)))
    chosen = sorted(set(chosen))
    uids = []
    for number in chosen:
        found = done(server.uid('search', 'HEADER', 'X-Number', f'{number:06}'))[0].split()
        uids.append(found[0].decode())
    return folder, chosen, ','.join(uids)


def destination():
    folder = dice.choice(names)
    if folder not in folders:
        done(server.create(quoted(folder)))
        folders[folder]
    return folder


def deliver():
    new('INBOX', dice.choice(['', '', '(\\Seen)']))


def send():
    new(destination(), '(\\Seen)')


def read():
    _, chosen, uids = some()
    if chosen:
        flags = dice.choice(['(\\Seen)', '(\\Flagged $Label1)', '(\\Answered later)', '(\\Deleted)'])
        done(server.uid('store', uids, dice.choice(['+FLAGS', '-FLAGS', '+FLAGS.SILENT']), flags))


def move():
    target = destination()
    folder, chosen, uids = some()
    if chosen and folder != target:
        done(server.uid('move', uids, quoted(target)))
        for number in chosen:
            folders[folder].remove(number)
            folders[target].append(number)


def copy():
    target = destination()
    _, chosen, uids = some()
    if chosen:
        done(server.uid('copy', uids, quoted(target)))
        folders[target] += chosen


def expunge():
    folder, chosen, uids = some()
    if chosen:
        done(server.uid('store', uids, '+FLAGS', '(\\Deleted)'))
        done(server.uid('expunge', uids))
        for number in chosen:
            folders[folder].remove(number)


def edit():
    """A draft is saved again: another message, of the same Message-ID, in place of it."""
    folder, chosen, uids = some()
    if chosen:
        uid = uids.split(',')[0]
        new(folder, '(\\Draft)', like=chosen[0])
        select(folder)
        done(server.uid('store', uid, '+FLAGS', '(\\Deleted)'))
        done(server.uid('expunge', uid))
        folders[folder].remove(chosen[0])


def come_and_go():
    number = new('INBOX')
    select('INBOX')
    found = done(server.uid('search', 'HEADER', 'X-Number', f'{number:06}'))[0].decode()
    done(server.uid('store', found, '+FLAGS', '(\\Deleted)'))
    done(server.uid('expunge', found))
    folders['INBOX'].remove(number)


def empty_trash():
    if 'Trash' in folders and folders['Trash']:
        select('Trash')
        done(server.uid('store', '1:*', '+FLAGS', '(\\Deleted)'))
        done(server.expunge())
        folders['Trash'] = []


def rename():
    movable = [f for f in folders if f not in ('INBOX', 'Trash')]
    if movable:
        old = dice.choice(movable)
        fresh = f'{old.split("/")[0]} {dice.randint(10, 99)}'
        if not any(f == fresh or f.startswith(fresh + '/') for f in folders):
            select('INBOX')
            done(server.rename(quoted(old), quoted(fresh)))
            for folder in [f for f in folders if f == old or f.startswith(old + '/')]:
                folders[fresh + folder[len(old):]] = folders.pop(folder)


def drop_folder():
    movable = [f for f in folders if f not in ('INBOX', 'Trash')]
    if movable and dice.random() < 0.4:
        old = dice.choice(movable)
        select('INBOX')
        done(server.delete(quoted(old)))
        del folders[old]


ACTIONS = [deliver] * 8 + [send, read, read, move, move, move, copy, copy, expunge, expunge, edit, come_and_go,
                           empty_trash, rename, drop_folder]


def check():
    """That the account is what the server has."""
    for folder in list(folders):
        select(folder)
        said = done(server.uid('fetch', '1:*', '(BODY.PEEK[HEADER.FIELDS (X-NUMBER)])')) if folders[folder] else []
        found = [int(re.search(rb'X-Number: (\d+)', part[1]).group(1)) for part in said if isinstance(part, tuple)]
        if sorted(found) != sorted(folders[folder]):
            raise SystemExit(f'{folder}: the server has {sorted(found)}, the account {sorted(folders[folder])}')
    select('INBOX')


def decoded(folder):
    """The little of modified UTF-7 that there is in these names."""
    return folder.replace('&APw-', 'ü').replace('&-', '&')


for line in sys.stdin:
    asked, _, rest = line.strip().partition(' ')
    if asked == 'day':
        for _ in range(30 + dice.randint(0, 20)):
            dice.choice(ACTIONS)()
    elif asked == 'take':
        for number in rest.split():
            append(int(number), 'INBOX')
    elif asked == 'note':
        by_shown = {decoded(folder): folder for folder in [*folders, *names]}
        for shown, numbers in json.loads(rest).items():
            folders[by_shown.get(shown, shown)] += numbers
    check()
    digests = {n: hashlib.sha256(t.replace(b'\r\n', b'\n')).hexdigest() for n, t in texts.items()}
    print(json.dumps(dict(folders={decoded(f): n for f, n in folders.items()}, digests=digests)), flush=True)

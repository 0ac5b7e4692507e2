# A day of the user's, and what IMAP says of the mailbox afterwards: PORT PASSWORD DAY MESSAGES
import base64, datetime, imaplib, json, random, re, socket, sys

port, password, day, total = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])


def connect(user):
    server = imaplib.IMAP4('127.0.0.1', port)
    # What follows a message is sent at once, and not when the message has been acknowledged.
    server.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server.login(user, password)
    return server


def ok(answer):
    assert answer[0] == 'OK', answer
    return answer[1]


def quoted(folder):
    return '"' + folder + '"'


def select(folder):
    return int(ok(server.select(quoted(folder)))[0])


def deliver(numbers):
    for number in numbers:
        text = random.Random(number)
        flags = ['', '\\Seen', '\\Answered \\Seen', '\\Flagged $Label1', '\\Draft', '\\Deleted', '', '\\Seen project-x']
        body = 'From here on\r\n>From there\r\nÄ\r\n' * text.randrange(8)
        body += ''.join('%064x\r\n' % text.getrandbits(256) for _ in range(1500 if number % 40 == 7 else text.randrange(60)))
        mail = 'From: Bob <b@example.com>\r\nTo: alice@example.com\r\nSubject: Number %d\r\n' % number
        mail += 'Message-ID: <%d@example.com>\r\n\r\n%s' % (number, body)
        when = datetime.datetime.fromtimestamp(1780000000 + 613 * number, datetime.timezone.utc)
        ok(server.append('INBOX', '(' + flags[number % 8] + ')', when, mail.encode()))


def file(which, folder, move=True):
    if not move:
        ok(server.copy(which, quoted(folder)))
    else:
        ok(server.xatom('MOVE', which, quoted(folder)))


def first_day():
    for folder in ['Sent', 'Trash', 'Entw&APw-rfe', 'Lists', 'A &- B v1.2', 'Archive', 'Archive/2024/M&AOQ-rz']:
        ok(server.create(quoted(folder)))
    deliver(range(total * 6 // 10))
    select('INBOX')
    file('1:%d' % (total // 5), 'Sent')
    file('1:%d' % (total // 8), 'Archive/2024/M&AOQ-rz')
    file('2:9', 'A &- B v1.2', move=False)
    file('4', 'Entw&APw-rfe', move=False)


def another_day():
    share = total // 15
    start = total * 6 // 10 + (day - 1) * share
    deliver(range(start, start + share))
    select('INBOX')
    ok(server.store('1:%d' % (day * share), '+FLAGS', '(\\Seen)'))
    ok(server.store('3:%d' % (3 + share // 2), '+FLAGS', '(day-%d)' % day))
    ok(server.store('2:%d' % (2 + share // 4), '-FLAGS', '(\\Flagged project-x)'))
    file('2:%d' % (2 + share // 4), 'Trash')
    file('3:%d' % (3 + share // 2), ('Old' if day > 4 else 'Archive') + '/2024/M&AOQ-rz', move=False)
    # A copy in its own folder.
    file('1', 'INBOX', move=False)
    ok(server.store('5:6', '+FLAGS', '(\\Deleted)'))
    if day % 2:
        ok(server.expunge())
    if day == 2:
        ok(server.create('"New &- other"'))
        file('7:9', 'New &- other', move=False)
    if day == 3:
        ok(server.rename('Lists', 'Lists-2'))
    if day == 4:
        ok(server.rename('Archive', 'Old'))
    if day == 5:
        ok(server.delete('Entw&APw-rfe'))
    server.unselect()


def decoded(name):
    part = lambda m: base64.b64decode(m[1].replace(',', '/') + '=' * (-len(m[1]) % 4)).decode('utf-16-be') if m[1] else '&'
    return re.sub('&([^-]*)-', part, name)


server = connect('alice') if day else None
if day:
    another_day()
else:
    admin = connect('admin')
    ok(admin.create('user/alice'))
    admin.logout()
    server = connect('alice')
    first_day()
found = []
for line in ok(server.list()):
    attributes, folder = re.match(rb'\((.*?)\) "/" "?(.*?)"?$', line).groups()
    if b'\\Noselect' in attributes or b'NonExistent' in attributes:
        continue
    folder, messages = folder.decode(), []
    if int(ok(server.select(quoted(folder), readonly=True))[0]):
        for part in ok(server.uid('fetch', '1:*', '(FLAGS INTERNALDATE BODY.PEEK[])')):
            if isinstance(part, tuple):
                head, text = part
                date = re.search(rb'INTERNALDATE "([^"]*)"', head).group(1).decode().strip()
                date = datetime.datetime.strptime(date, '%d-%b-%Y %H:%M:%S %z')
                flags = {flag.decode() for flag in imaplib.ParseFlags(head)} - {'\\Recent'}
                messages.append(dict(flags=sorted(flags), received=int(date.timestamp()), text=text.decode()))
            elif b'FLAGS' in part:
                raise SystemExit('flags behind the text: %r' % part)
    found.append(dict(folder=folder, decoded=decoded(folder), messages=messages))
server.logout()
print(json.dumps(found))

#!/usr/bin/env python3
"""What our HTTP/1.1 parser accepts, llhttp (strict, as httptools binds it) accepts, and reads the same way.

usage: llhttp_diff.py PROBE CORPUS_DIR VENV_DIR [SECONDS [SEED]]
Inputs: the files of the fuzz corpus and a seeded stream of requests put together from good and bad parts, then
damaged. For every message that PROBE (http1_probe_main.c) takes as whole, llhttp must have seen a message at the
same place with the same method, target, fields and body; and where we wait for more, llhttp must not have a
message already. What we refuse llhttp may take. httptools comes from PyPI into VENV_DIR; exit 77 without it.
Known to be wider than llhttp, and left out: methods it has no name for (answered 405 or 404 here), targets it
does not take (bytes above 0x7f and the like go through as stock lets them), anything behind Upgrade.
"""
import collections, glob, json, os, random, struct, subprocess, sys, time

probe, corpus, venv = sys.argv[1:4]
seconds = float(sys.argv[4]) if len(sys.argv) > 4 else 10
seed = int(sys.argv[5]) if len(sys.argv) > 5 else 1


def get_httptools():
    try:
        import httptools
        return httptools
    except ImportError:
        pass
    python = os.path.join(venv, 'bin', 'python')
    if os.environ.get('PW_LLHTTP_VENV'):
        print('skipped: httptools cannot be imported from its venv')
        sys.exit(77)
    if not os.path.exists(python) or subprocess.run([python, '-c', 'import httptools'], stderr=subprocess.DEVNULL).returncode:
        ok = subprocess.run([sys.executable, '-m', 'venv', venv], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
        ok = ok and subprocess.run([os.path.join(venv, 'bin', 'pip'), '-q', 'install', 'httptools'],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60).returncode == 0
        if not ok:
            print('skipped: httptools (llhttp) could not be installed from PyPI')
            sys.exit(77)
    os.execve(python, [python] + sys.argv, dict(os.environ, PW_LLHTTP_VENV='1'))


httptools = get_httptools()


class Sink:
    def __init__(self):
        self.messages, self.whole = [], 0

    def on_message_begin(self):
        self.messages.append({'target': b'', 'headers': [], 'body': b''})
        self.in_head = True

    def on_url(self, b):
        self.messages[-1]['target'] += b

    def on_header(self, n, v):
        if self.in_head:  # trailers come here as well
            self.messages[-1]['headers'].append((n, v))

    def on_headers_complete(self):
        self.in_head = False
        self.messages[-1]['method'] = self.parser.get_method()

    def on_body(self, b):
        self.messages[-1]['body'] += b

    def on_message_complete(self):
        self.whole += 1


def llhttp(data):
    s = Sink()
    p = httptools.HttpRequestParser(s)
    s.parser = p
    try:
        p.feed_data(data)
        return s, None
    except httptools.HttpParserUpgrade:
        return s, 'upgrade'
    except httptools.HttpParserError as e:
        return s, '%s: %s' % (type(e).__name__, e)


# ---- Requests -----------------------------------------------------------------------------------------

GOOD_HEADERS = [b'Host: h', b'Host: a.example:4040', b'User-Agent: x/1 (y; z)', b'Accept: */*', b'Connection: keep-alive',
                b'X-Empty:', b'X: a\tb', b'Content-Type: application/proto', b'Connection: close', b'x-a:b', b"X!#$%&'*+-.^_`|~0: z"]
BAD_HEADERS = [b'Host : h', b' Host: h', b'Host\t: h', b'X: a\r\n b', b'X: a\r\n\tb', b'X\0: a', b'X: a\0b', b'X: a\rb', b'X: a\nb',
               b': v', b'novalue', b'X(: a', b'X: \x7f', b'X: \xff\x80', b'Expect: 100-continue', b'Upgrade: h2c',
               b'Connection: upgrade', b'Host: h', b'Host: a b', b'X: ' + b'y' * 300]
LENGTHS = [b'5', b'5', b'5', b'05', b'+5', b'-5', b'5 ', b' 5', b'5,5', b'5, 5', b'0x5', b'5;', b'', b'5a', b'18446744073709551621', b'1_0',
           b'5\t', b'\x0b5', b'0']
CODINGS = [b'chunked', b'chunked', b'Chunked', b'chunked ', b'\tchunked', b'\x0bchunked', b'gzip, chunked', b'chunked, chunked', b'chunked, gzip',
           b'identity', b'xchunked', b'chunke', b'chunked;q=1', b'"chunked"', b',chunked', b'chunked,', b'']
SIZES = [b'5', b'5', b'5', b'05', b'0x5', b'0_5', b'5 ', b' 5', b'5;a=b', b'5;a', b'5;', b'5 ;a', b'5;a="b"', b'5;a="b\r\nc"', b'-5', b'+5', b'',
         b'000000000000000005', b'fffffffffffffffff5', b'5\t', b'5\n', b'5\r', b'5;\n', b'5;a=\x7f']
METHODS = [b'GET', b'POST', b'PUT', b'HEAD', b'OPTIONS', b'DELETE', b'PATCH', b'get', b'FOO', b'G ET', b'PRI', b'CONNECT', b'', b'GE\0T']
TARGETS = [b'/', b'/a?b=c', b'*', b'http://h/p', b'/a b', b'/\xc3\xa4', b'/{a}', b'/#f', b'//', b'/%zz', b'', b'h:80', b'?', b'http:///', b'/\t']
VERSIONS = [b'HTTP/1.1'] * 6 + [b'HTTP/1.0', b'HTTP/1.2', b'HTTP/2.0', b'http/1.1', b'HTTP/1.1 ', b' HTTP/1.1', b'HTTP/01.1', b'HTTP/1', b'']
ENDS = [b'\r\n'] * 40 + [b'\n', b'\r', b'\r\r\n', b'\n\r', b'\r\n ']


def request(r):
    def end():
        return r.choice(ENDS) if r.random() < 0.15 else b'\r\n'
    odd = r.random() < 0.5
    method = r.choice(METHODS) if odd and r.random() < 0.3 else r.choice(METHODS[:7])
    target = r.choice(TARGETS) if r.random() < 0.2 else b'/p'
    out = (b'\r\n' if r.random() < 0.05 else b'') + method + b' ' + target + b' ' + \
        (r.choice(VERSIONS) if odd and r.random() < 0.3 else b'HTTP/1.1') + end()
    lines = [b'Host: h'] if r.random() < 0.95 else []
    lines += [r.choice(GOOD_HEADERS[2:]) for _ in range(r.randrange(4))]
    if odd and r.random() < 0.4:
        lines.append(r.choice(BAD_HEADERS))
    body = b''
    kind = r.random()
    if kind < 0.35:
        lines.append(r.choice([b'Content-Length: ', b'content-length:', b'Content-Length:\t']) +
                     (r.choice(LENGTHS) if r.random() < 0.5 else b'5'))
        body = b'hello'
    if kind > 0.3 and kind < 0.75:
        lines.append(b'Transfer-Encoding: ' + (r.choice(CODINGS) if r.random() < 0.4 else b'chunked'))
        body = b''
        for _ in range(r.randrange(3)):
            body += (r.choice(SIZES) if r.random() < 0.4 else b'5') + end() + b'hello' + end()
        body += (r.choice([b'0', b'00', b'0;a=b', b'0 ', b'']) if r.random() < 0.3 else b'0') + end()
        if r.random() < 0.2:
            body += r.choice([b'X: y', b'X : y', b'Content-Length: 3', b'X: a\r\n b', b'novalue', b'X: \0']) + end()
        body += end()
    r.shuffle(lines)
    for line in lines:
        out += line + end()
    return out + end() + body


def inputs():
    for f in sorted(glob.glob(os.path.join(corpus, '*'))):
        data = open(f, 'rb').read()
        yield data
        yield data[1:]  # some begin with a byte for the fuzz target
    r = random.Random(seed)
    while True:
        data = b''.join(request(r) for _ in range(r.randrange(1, 4))) + b'GET /sentinel HTTP/1.1\r\nHost: s\r\n\r\n'
        for _ in range(r.choice((0, 0, 0, 1, 2))):
            i = r.randrange(len(data))
            data = data[:i] + r.choice((b'', bytes([r.randrange(256)]), b'\r\n', data[i:i + 2] * 2, b' ')) + data[i + r.randrange(2):]
        yield data


# ---- Comparing ------------------------------------------------------------------------------------------

count = collections.Counter()


def wider(m):
    """Why llhttp is known to refuse what we take; None: it is not."""
    target = bytes.fromhex(m['target'])
    if not m['known']:
        return 'method without a name in llhttp'
    if any(b >= 0x7f for b in target) or not (target.startswith(b'/') or target == b'*' or target.startswith(b'http')):
        return 'target llhttp does not take'
    return None


def compare(ours, theirs, error):
    """None when they agree, else what is wrong."""
    for i in range(ours['whole']):
        m = ours['messages'][i]
        if error == 'upgrade' and theirs.whole <= i + 1:
            count['upgrade, left out'] += 1
            return None
        if theirs.whole <= i:
            why = wider(m)
            if why and error:
                count[why + ', left out'] += 1
                return None
            return 'message %d is whole for us, not for llhttp (%s)' % (i, error)
        t = theirs.messages[i]
        headers = [(bytes.fromhex(h['n']), bytes.fromhex(h['v'])) for h in m['headers']]
        for name, a, b in (('method', bytes.fromhex(m['method']), t['method']), ('target', bytes.fromhex(m['target']), t['target']),
                           ('fields', headers, [(n, v.strip(b' \t')) for n, v in t['headers']]), ('body', bytes.fromhex(m['body']), t['body'])):
            if a != b:
                return 'message %d: %s %r, llhttp %r' % (i, name, a, b)
        count['messages both took'] += 1
    if ours['end'] in ('more', 'all') and theirs.whole > ours['whole'] and error != 'upgrade':
        return 'llhttp has %d messages where we wait after %d' % (theirs.whole, ours['whole'])
    return None


p = subprocess.Popen([probe], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
stop, bad, n = time.time() + seconds, 0, 0
for data in inputs():
    if time.time() > stop:
        break
    p.stdin.write(struct.pack('<I', len(data)) + data)
    p.stdin.flush()
    ours = json.loads(p.stdout.readline())
    theirs, error = llhttp(data)
    wrong = compare(ours, theirs, error)
    n += 1
    count['refused by us' if ours['end'] not in ('all', 'more', 'close') else 'ended: ' + ours['end']] += 1
    if ours['end'] not in ('all', 'more', 'close') and not error:
        count['refused by us alone'] += 1
    if wrong:
        bad += 1
        if bad <= 10:
            print('DIFFERS %s\n   %r' % (wrong, data[:600]))
p.stdin.close()
p.wait()
print('httptools %s, seed %d: %d inputs; %s' % (httptools.__version__, seed, n, ', '.join('%s %d' % kv for kv in sorted(count.items()))))
if not count['messages both took'] or p.returncode != 0:
    print('nothing was compared, or the probe failed')
    bad += 1
sys.exit(1 if bad else 0)

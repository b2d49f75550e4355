#!/usr/bin/env python3
"""Replay the recorded pushes of real clients, byte for byte, and compare every answer with stock's.

usage: replay.py HOST:PORT PUSHES_DIR [--modes whole,bytes,pipelined] [--repeat-base K] [--flush N] [--no-push]
--flush N: after every N pushes, and before the flame graphs, everything becomes blocks (IngesterService/Flush).
--no-push: the pushes of mode whole were sent before; only the flame graphs are checked.
The server must run with -validation.reject-older-than=0 (the recordings carry their own time) and be
fresh. PUSHES_DIR is tests/golden/pushes or ../shared/data/pushes.

Checks per request: status, body, and the headers a client can rely on. After all modes: for every push,
the flame graph of its own millisecond (totals times the number of replays) against expected.json.
Standard library only. Exit 1 when anything differs. Prints `N passed, N failed, N skipped`.
"""
import collections, gzip, json, os, re, socket, sys, time
import http.client

HEADERS = ('content-type', 'vary', 'accept-encoding', 'allow', 'accept-post', 'x-content-type-options',
           'content-length', 'content-encoding')
OUT_OF_SCOPE = {  # format -> why it is skipped
    'jfr': 'JFR is a later issue', 'trie': 'trie is a later issue', 'tree': 'tree is a later issue',
    'lines': 'lines is a later issue', 'speedscope': 'speedscope is a later issue',
}


def arg(name, default=None):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


def scope(e):
    """None when the entry is in scope, else the reason it is not."""
    if e.get('protocol') == 'h2c':
        return 'HTTP/2 is a later issue'
    reqs = e.get('requests') or [e]
    for r in reqs:
        ct = r.get('content_type') or e.get('content_type') or ''
        path = r.get('path') or e.get('path') or ''
        q = r.get('query') if isinstance(r.get('query'), dict) else {}
        if 'grpc' in ct:
            return 'gRPC and gRPC-Web are a later issue'
        if path.startswith('/v1development') or 'opentelemetry' in path:
            return 'OTLP is a later issue'
        if q.get('format') in OUT_OF_SCOPE:
            return OUT_OF_SCOPE[q['format']]
        for f in ('trie', 'tree'):
            if ct == 'binary/octet-stream+' + f:
                return OUT_OF_SCOPE[f]
    return None


def read_answer(sock, buf):
    """One final answer from sock; returns (status, headers, body, rest)."""
    while True:
        while b'\r\n\r\n' not in buf:
            more = sock.recv(65536)
            if not more:
                raise EOFError('connection closed before a head, got %r' % buf[:200])
            buf += more
        head, buf = buf.split(b'\r\n\r\n', 1)
        lines = head.decode('latin-1').split('\r\n')
        status = int(lines[0].split()[1])
        headers = {}
        for line in lines[1:]:
            k, v = line.split(':', 1)
            headers[k.strip().lower()] = v.strip()
        if status == 100:
            continue
        if 'chunked' in headers.get('transfer-encoding', ''):
            body = b''
            while True:
                while b'\r\n' not in buf:
                    buf += sock.recv(65536)
                size, buf = buf.split(b'\r\n', 1)
                n = int(size, 16)
                while len(buf) < n + 2:
                    buf += sock.recv(65536)
                body, buf = body + buf[:n], buf[n + 2:]
                if n == 0:
                    return status, headers, body, buf
        n = int(headers.get('content-length', '0'))
        while len(buf) < n:
            more = sock.recv(65536)
            if not more:
                raise EOFError('connection closed inside a body')
            buf += more
        return status, headers, buf[:n], buf[n:]


def parse_recorded(data):
    """All final answers in a recorded .response file."""
    class Fake:
        def recv(self, _):
            return b''
    out, buf = [], data
    while buf.strip():
        st, h, b, buf = read_answer(Fake(), buf)
        out.append((st, h, b))
    return out


def connect():
    host, port = addr.rsplit(':', 1)
    s = socket.create_connection((host.strip('[]'), int(port)), timeout=20)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def send(sock, data, mode):
    if mode != 'bytes':
        sock.sendall(data)
        return
    for i in range(0, min(len(data), 65536)):
        sock.send(data[i:i + 1])
    sock.sendall(data[65536:])


def expected_of(e, want):
    """The recorded answer with our deliberate difference applied: bad client data is never a 5xx."""
    st, h, b = want
    if e['id'] == 'pyroscope-io-0.8/003':
        # The client left before it had sent everything; the bytes as recorded are whole and give 200
        # (README of the recordings).
        return 200, {'vary': h['vary'], 'content-length': '0'}, b'', True
    if st == 500:
        j = json.loads(b)
        j['code'] = 'invalid_argument'
        return 400, h, json.dumps(j, separators=(',', ':')).encode(), True
    return st, h, b, False


def same(e, want, got):
    ws, wh, wb, changed = expected_of(e, want)
    gs, gh, gb = got
    # Compressed answers are compared by what they hold: deflate leaves the encoder its choices.
    if wh.get('content-encoding') == 'gzip':
        wb = gzip.decompress(wb)
    if gh.get('content-encoding') == 'gzip':
        gb = gzip.decompress(gb)
    if ws != gs:
        return 'status %d, want %d; body %r' % (gs, ws, gb[:300])
    if wb != gb:
        try:
            if json.loads(wb) != json.loads(gb):
                return 'body %r, want %r' % (gb[:300], wb[:300])
        except ValueError:
            return 'body %r, want %r' % (gb[:300], wb[:300])
    for k in HEADERS:
        if changed and k == 'content-length':
            continue
        if k == 'content-length' and wh.get('content-encoding') == 'gzip':
            continue
        if k == 'content-length' and 'transfer-encoding' in wh:
            continue
        if k == 'content-length' and wb != gb:
            continue
        if wh.get(k) != gh.get(k):
            return 'header %s: %r, want %r' % (k, gh.get(k), wh.get(k))
    return None


def replay_one(e, mode):
    data = open(os.path.join(pushes, e['file']), 'rb').read()
    want = parse_recorded(open(os.path.join(pushes, e['response_file']), 'rb').read())
    times = 3 if mode == 'pipelined' and e['kind'] == 'request' else 1
    if times > 1 and (b'HTTP/1.0' in data[:2000] or want[-1][1].get('connection') == 'close'):
        times = 1
    s = connect()
    try:
        send(s, data * times, mode)
        buf = b''
        for i in range(times):
            for w in want:
                st, h, b, buf = read_answer(s, buf)
                err = same(e, w, (st, h, b))
                if err:
                    return err, times
    except (OSError, EOFError) as x:
        return 'no answer: %s' % x, times
    finally:
        s.close()
    return None, times


def flame(entry):
    c = http.client.HTTPConnection(addr, timeout=20)
    c.request('POST', '/querier.v1.QuerierService/SelectMergeStacktraces', json.dumps({
        'profileTypeID': entry['profile_type_id'], 'labelSelector': entry['label_selector'],
        'start': entry['start'], 'end': entry['end'], 'maxNodes': 1048576}), {'Content-Type': 'application/json'})
    r = c.getresponse()
    body = r.read()
    c.close()
    if r.status != 200:
        return r.status, body
    return 200, json.loads(body)['flamegraph']


def check_flame(entry, k):
    st, f = flame(entry)
    if st != 200:
        return 'query %d %r' % (st, f[:200])
    names = f.get('names', [])
    levels = [[int(x) for x in lv.get('values', [])] for lv in f.get('levels', [])]
    total = int(f.get('total', 0))
    self_of = collections.Counter()
    nodes = 0
    for lv in levels:
        for i in range(0, len(lv), 4):
            self_of[names[lv[i + 3]]] += lv[i + 2]
            nodes += 1
    got = {'total': total, 'max_self': int(f.get('maxSelf', 0)), 'names': len(names), 'levels': len(levels)}
    got['nodes'] = nodes
    wrong = []
    for key in got:
        want = entry[key] * (k if key in ('total', 'max_self') else 1)
        if got[key] != want:
            wrong.append('%s %d, want %d' % (key, got[key], want))
    if wrong:
        return '; '.join(wrong)
    for name, v in entry['top_self']:
        if self_of[name] != v * k:
            return 'self of %s: %d, want %d' % (name, self_of[name], v * k)
    return None


addr, pushes = sys.argv[1], sys.argv[2]
modes = arg('--modes', 'whole,pipelined,bytes').split(',')
manifest = json.load(open(os.path.join(pushes, 'manifest.json')))
out_ids = {e['id'] for e in manifest if scope(e)}
exp = json.load(open(os.path.join(pushes, 'expected.json')))
passed = failed = skipped = clash = 0


def shares(entry):
    return entry.get('pushes_at_same_millisecond', 1) != 1


def sharers(entry):
    """Pushes whose profiles are in the answer to entry's query."""
    return {o['id'] for o in exp['single_pushes']
            if o['profile_type_id'] == entry['profile_type_id'] and o['label_selector'] == entry['label_selector']
            and o['start'] <= entry['end'] and entry['start'] <= o['end']}


def report(entry, k):
    global passed, failed
    err = check_flame(entry, k)
    failed += bool(err)
    passed += not err
    if err:
        print('FAIL flame graph of %s %s: %s' % (entry['id'], entry['profile_type_id'], err))


def check_shared():
    """After the first round, when everything was pushed once: windows that several pushes share."""
    global clash
    for entry in exp['single_pushes']:
        if entry['id'] in out_ids or not shares(entry):
            continue
        if sharers(entry) & out_ids:
            clash += 1
        else:
            report(entry, 1)


def flush():
    c = http.client.HTTPConnection(addr, timeout=60)
    c.request('POST', '/ingester.v1.IngesterService/Flush', b'{}', {'Content-Type': 'application/json'})
    r = c.getresponse()
    body = r.read()
    if (r.status, body) != (200, b'{}'):
        sys.exit('Flush answered %d %r' % (r.status, body))
    c.close()


flush_every, sent = int(arg('--flush', 0)), 0
replayed = collections.Counter()
why = collections.Counter()
for mode in modes:
    for e in manifest:
        reason = scope(e)
        if not reason and not os.path.exists(os.path.join(pushes, e['file'])):
            reason = 'not in this folder'
        if reason:
            if mode == modes[0]:
                skipped += 1
                why[reason] += 1
            continue
        err, times = (None, 1) if '--no-push' in sys.argv else replay_one(e, mode)
        sent += 1
        if flush_every and sent % flush_every == 0:
            flush()
        replayed[e['id']] += times
        if err:
            failed += 1
            print('FAIL %s %s: %s' % (mode, e['id'], err))
        else:
            passed += 1
    if flush_every:
        flush()
    if mode == modes[0] == 'whole':
        check_shared()
for reason, n in sorted(why.items()):
    print('skipped %d requests: %s' % (n, reason))
for entry in exp['single_pushes']:
    if entry['id'] in out_ids or entry['id'] not in replayed or shares(entry):
        continue
    report(entry, replayed[entry['id']])
if clash:
    skipped += clash
    print('skipped %d flame graphs: a push of a later issue shares the millisecond' % clash)
print('%d passed, %d failed, %d skipped' % (passed, failed, skipped))
sys.exit(1 if failed or not passed else 0)

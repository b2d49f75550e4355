#!/usr/bin/env python3
"""One appliance in its rings: ready at once, shown to people and tools, forgotten and back, LEAVING before it goes,
and the same tokens after a restart. Then two in one ring: they see the same; who asks one while the other says nothing
and goes away is not worked for any more; one is killed, shown as silent, forgotten, and one leaves. Every wait is for an
event, up to a minute.

usage: ring.py PYROWIRE [--address A]"""
import json, os, re, signal, socket, struct, sys, tempfile, urllib.error, urllib.parse, urllib.request

from small import SELECT, Appliance, comes_true, everything

address = sys.argv[sys.argv.index('--address') + 1] if '--address' in sys.argv else '127.0.0.27'
base = 'http://%s:4040' % address
name = 'me & <you>'
passed = failed = 0


def check(what, ok, seen=''):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    print(('ok   ' if ok else 'FAIL ') + what + ('' if ok else ': %s' % (seen,)))


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


opener = urllib.request.build_opener(NoRedirect)


def ask(path, form=None, accept=None, method=None, **more):
    """Status, headers, text."""
    body = None if form is None else urllib.parse.urlencode(form).encode()
    more = {name.replace('_', '-'): value for name, value in more.items()}
    req = urllib.request.Request(base + path, body, {**({'Accept': accept} if accept else {}), **more}, method=method)
    try:
        with opener.open(req, timeout=30) as r:
            return r.status, r.headers, r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.headers, e.read().decode()


def shards(path='/ring', at=None):
    with opener.open(urllib.request.Request((at or base) + path, headers={'Accept': 'application/json'}), timeout=30) as r:
        return json.loads(r.read())['shards']


def wait_for(what, found):
    check(what, comes_true(found), 'not within a minute')


def start(*more):
    return Appliance([sys.argv[1], '-pyroscopedb.data-path=' + data, '-ingester.lifecycler.ID=' + name,
                      '-ingester.availability-zone=zone-a', '-ingester.tokens-file-path=' + data + '/tokens',
                      '-ingester.heartbeat-period=1s', *more], address, 4040, log)


def look(a):
    ring = shards()
    check('one ACTIVE member with its tokens', [(m['id'], m['state'], len(m['tokens']), m['zone'], m['address'])
                                               for m in ring] == [(name, 'ACTIVE', 128, 'zone-a', address + ':4040')], ring)
    check('tokens ascend', ring[0]['tokens'] == sorted(set(ring[0]['tokens'])))
    check('every key of stock', sorted(ring[0]) == sorted([
        'id', 'state', 'address', 'timestamp', 'registered_timestamp', 'read_only', 'read_only_updated_timestamp',
        'zone', 'tokens']), ring[0])
    check('never set is the year 1', ring[0]['read_only_updated_timestamp'] == '0001-01-01T00:00:00Z', ring[0])
    check('times in UTC', re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ', ring[0]['timestamp']), ring[0])
    dist = shards('/distributor/ring')
    check('one distributor with one token', [(m['state'], len(m['tokens'])) for m in dist] == [('ACTIVE', 1)], dist)
    check('?format=json is JSON too', json.loads(ask('/ring?format=json')[2])['shards'][0]['id'] == name)
    status, headers, page = ask('/ring')
    check('a page for people', status == 200 and headers['Content-Type'].startswith('text/html') and
          'takes writes, answers queries' in page and '100.0 %' in page and 'me &amp; &lt;you&gt;' in page and
          '<you>' not in page, page[:300])
    for path in ('/ring', '/distributor/ring', '/memberlist'):
        headers = ask(path)[1]
        check('nothing runs on, or lies over ' + path, headers['X-Content-Type-Options'] == 'nosniff' and
              "default-src 'none'" in headers['Content-Security-Policy'] and
              "frame-ancestors 'none'" in headers['Content-Security-Policy'], str(headers))
    check('tokens on request', str(ring[0]['tokens'][7]) in ask('/ring?tokens=true')[2] and
          str(ring[0]['tokens'][7]) not in page)
    metrics = ask('/metrics')[2]
    check('metrics', 'pyroscope_ring_members{name="ingester",state="ACTIVE"} 1\n' in metrics and
          'pyroscope_ring_tokens_total{name="ingester"} 128\n' in metrics and
          'pyroscope_ring_members{name="distributor",state="ACTIVE"} 1\n' in metrics)
    check('other methods get 405', ask('/ring', {'x': 1}, method='DELETE')[0] == 405)


def forget(a):
    before = shards()[0]
    check('a stranger cannot be forgotten', ask('/ring', {'forget': 'nobody'})[::2] ==
          (500, "error forgetting instance 'nobody': no such member\n"))
    check('nobody cannot either', ask('/ring', {'forget': ''})[0] == 400)
    for what, said in (('in another site', {'Sec_Fetch_Site': 'cross-site'}),
                       ('beside it', {'Sec_Fetch_Site': 'same-site', 'Origin': base}),
                       ('of another host', {'Origin': 'http://evil.example'}),
                       ('of another port', {'Origin': base.replace(':4040', ':4041')}), ('of no origin', {'Origin': 'null'})):
        got = ask('/ring', {'forget': name}, **said)
        check('a page %s cannot have it forgotten' % what, got[0] == 403 and shards()[0]['timestamp'] >= before['timestamp'],
              got)
    for said in ({'Sec_Fetch_Site': 'same-origin', 'Origin': 'https://proxy.example'}, {'Origin': base}):
        check('a page of ours may ask: ' + next(iter(said)), ask('/ring', {'forget': 'nobody'}, **said)[0] == 500)
    status, headers, text = ask('/ring', {'forget': name})
    check('forgotten: 302 to #', (status, headers['Location'], text) == (302, '#', ''), (status, headers, text))
    wait_for('and back with its next heartbeat', lambda: shards() and shards()[0]['state'] == 'ACTIVE')
    check('with the same tokens', shards()[0]['tokens'] == before['tokens'])
    wait_for('ready again', lambda: a.request('GET', '/ready')[0] == 200)


def stop(a):
    a.p.send_signal(signal.SIGTERM)
    a.p.wait(60)
    lines = [l for l in open(log.name) if 'msg="state" ring=collectors/ring' in l]
    check('LEAVING, then LEFT, exit 0', a.p.returncode == 0 and 'to=LEAVING' in lines[-2] and 'to=LEFT' in lines[-1],
          (a.p.returncode, lines))


def member(where, folder, join, log):
    """One of several on a loopback address of its own."""
    return Appliance([sys.argv[1], '-pyroscopedb.data-path=' + folder, '-ingester.lifecycler.ID=' + where,
                      '-distributor.ring.instance-id=' + where, '-memberlist.bind-addr=' + where,
                      '-memberlist.advertise-addr=' + where, *(['-memberlist.join=' + join + ':7946'] if join else []),
                      '-ingester.min-ready-duration=0s', '-ingester.heartbeat-period=1s', '-ring.heartbeat-timeout=5s',
                      '-ingester.heartbeat-timeout=5s', '-query.threads=1'], where, 4040, log)


def seen(where, path='/ring'):
    return {m['id']: (m['state'], m['address'], tuple(m['tokens'])) for m in shards(path, 'http://%s:4040' % where) or []}


def is_asked(where):
    """Whether bytes wait for the process that listens there."""
    local = '%08X:%04X' % (struct.unpack('<I', socket.inet_aton(where))[0], 4040)
    for line in open('/proc/net/tcp'):
        f = line.split()
        if f[1] == local and f[3] == '01' and not f[4].endswith(':00000000'):
            return True
    return False


def leave(asked, silent, how):
    """Asks the one, whose only query thread then waits for the other, and goes away."""
    query = everything('{}').encode()
    head = 'POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n' % (SELECT, len(query))
    before = {m: asked.metric(m) for m in ('pyrowire_query_abandoned_total', 'pyrowire_peer_abandoned_total',
                                           'pyrowire_peer_failures_total')}
    silent.p.send_signal(signal.SIGSTOP)
    s = socket.create_connection((asked.address, 4040))
    s.sendall(head.encode() + query)
    check('the other one is asked', comes_true(lambda: is_asked(silent.address)))
    if how == 'RST':
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    s.close()
    wait_for('gone with %s: counted' % how, lambda: asked.metric('pyrowire_query_abandoned_total') ==
             before['pyrowire_query_abandoned_total'] + 1)
    check('the question was dropped, not timed out',
          asked.metric('pyrowire_peer_abandoned_total') == before['pyrowire_peer_abandoned_total'] + 1 and
          asked.metric('pyrowire_peer_failures_total') == before['pyrowire_peer_failures_total'])
    check('and its thread is free', asked.request('GET', '/api/v1/status/buildinfo')[0] == 200)
    silent.p.send_signal(signal.SIGCONT)
    wait_for('the other one is heard again', lambda: [m['state'] for m in shards(at='http://%s:4040' % asked.address)] ==
             ['ACTIVE', 'ACTIVE'])


def two(data, log):
    first, second = address, re.sub(r'\d+$', lambda m: str(int(m[0]) + 1), address)
    members = []
    try:
        members.append(member(first, data + '/1', '', log))
        members.append(member(second, data + '/2', first, log))
        wait_for('two members, the same in both', lambda: seen(first) == seen(second) and len(seen(first)) == 2)
        wait_for('two distributors', lambda: len(seen(first, '/distributor/ring')) == 2)
        check('no token twice', len({t for m in seen(first).values() for t in m[2]}) == 256)
        for how in ('RST', 'FIN'):
            leave(members[0], members[1], how)
        members[1].kill()
        wait_for('killed: UNHEALTHY', lambda: seen(first)[second][0] == 'UNHEALTHY')
        members[1] = member(second, data + '/2', first, log)
        wait_for('restarted: ACTIVE with its tokens', lambda: seen(first) == seen(second) and
                 seen(first)[second][0] == 'ACTIVE' and len(seen(first)[second][2]) == 128)
        members[1].kill()
        wait_for('killed again: UNHEALTHY', lambda: seen(first)[second][0] == 'UNHEALTHY')
        check('forgotten on request', ask('/ring', {'forget': second})[0] == 302)
        wait_for('and gone', lambda: list(seen(first)) == [first])
        members[1] = member(second, data + '/2', first, log)
        wait_for('back in the ring', lambda: seen(first) == seen(second) and seen(first)[second][0] == 'ACTIVE')
        members[1].p.send_signal(signal.SIGTERM)
        wait_for('one that leaves is gone', lambda: list(seen(first)) == [first])
        check('exit 0', members[1].p.wait(60) == 0)
    finally:
        for m in members:
            m.kill()


log = open(os.environ.get('PW_RING_LOG') or tempfile.mktemp(prefix='pyrowire-ring-log.'), 'w')
with tempfile.TemporaryDirectory(prefix='pyrowire-ring.') as data:
    a = None
    try:
        a = start()
        look(a)
        forget(a)
        tokens = shards()[0]['tokens']
        stop(a)
        kept = json.load(open(data + '/tokens'))
        check('the tokens file has them', kept == {'tokens': tokens}, kept)
        a = start('-ingester.join-after=1h')
        check('a restart goes on with them, without a wait', shards()[0]['tokens'] == tokens and
              shards()[0]['state'] == 'ACTIVE')
        stop(a)
    finally:
        if a is not None:
            a.kill()
    os.mkdir(data + '/1')
    os.mkdir(data + '/2')
    two(data, log)
if not os.environ.get('PW_RING_LOG'):
    os.unlink(log.name)
print('%d passed, %d failed, 0 skipped' % (passed, failed))
sys.exit(failed > 0)

#!/usr/bin/env python3
"""What somebody reads whose first start fails: one line that names the option, its value and what to do; exit code 1.

usage: starts.py PYROWIRE [ADDRESS]     a loopback address of its own, else 127.0.0.31
Also: two appliances of one directory, of one port; a second signal while connections are drained; the metric of the runtime
configuration. No root.
"""
import os, re, signal, subprocess, sys, tempfile

from small import HANG_S, Appliance

pyrowire = os.path.abspath(sys.argv[1])
address = sys.argv[2] if len(sys.argv) > 2 else '127.0.0.31'
folder = tempfile.TemporaryDirectory(prefix='pyrowire-starts.')
here = folder.name
common = ['-nic.hugepages=off', '-server.http-listen-address=' + address, '-ingester.head.prefault-bytes=0']
bad = []


def path(name, content=None):
    where = os.path.join(here, name)
    if content is not None:
        with open(where, 'w') as f:
            f.write(content)
    return where


def refused(args, wanted):
    """Does not start; its last line has every one of the texts."""
    p = subprocess.run([pyrowire, *common, '-pyroscopedb.data-path=' + path('data'), *args], capture_output=True, text=True,
                       timeout=HANG_S, cwd=here)
    lines = p.stderr.strip().splitlines()
    if p.returncode != 1 or p.stdout or not lines or not all(w in '\n'.join(lines[-2:]) for w in wanted):
        bad.append('%s: exit code %d, stdout %r, last lines %r, without %r' % (' '.join(args), p.returncode, p.stdout, lines[-2:],
                                                                              wanted))


def start(name, args=(), port=4040):
    with open(path(name + '.log'), 'wb') as log:
        return Appliance([pyrowire, *common, '-pyroscopedb.data-path=' + path('data-' + name), *args], address, port, log)


def rows():
    plain = path('a-file', '')
    yield ['-server.http-listen-prt=1'], ['not defined: -server.http-listen-prt', '-help']
    yield ['-config.file=' + path('none.yaml')], ['none.yaml', 'No such file']
    yield ['-config.file=' + path('key.yaml', 'server:\n  http_listen_prt: 1\n')], ['key.yaml', 'line 2: field http_listen_prt']
    yield ['-config.file=' + path('form.yaml', 'server:\n\t: [')], ['form.yaml', 'line 2']
    yield ['-runtime-config.file=' + path('none.yaml')], ['part="runtime config"', 'none.yaml']
    yield ['-nic.netdev=none-such0'], ['-nic.netdev: there is no network interface none-such0: see `ip link`']
    yield ['-nic.device=none', '-nic.address=10.0.0.5/24'], ['-nic.device: none is not a PCI address']
    yield ['-pyroscopedb.data-path=' + plain], ['Not a directory', '-pyroscopedb.data-path=' + plain]
    yield ['-ingester.wal.dir=' + plain + '/log'], ['Not a directory', '-ingester.wal.dir=' + plain]
    yield ['-storage.backend=filesystem', '-storage.filesystem.dir=' + plain], ['-storage.filesystem.dir=' + plain]
    yield ['-link.secret-file=' + path('secret', 'short')], ['-link.secret-file', '16 to 4096 bytes']
    yield ['-target=ingester'], ['-target=ingester needs -link.secret-file']
    yield ['-server.http-listen-address=192.0.2.1'], ['192.0.2.1 port 4040', 'set -server.http-listen-address']


def hugepages_are_lost():
    """Free ones were counted, another program had them first: it starts all the same, as `auto` says. A machine whose free pages
    are a file's word plays the other program."""
    if os.geteuid() != 0:
        return
    pages = path('hugepages')
    os.makedirs(pages + '/hugepages-1048576kB')
    for name in ('free', 'nr', 'resv', 'surplus'):
        path('hugepages/hugepages-1048576kB/%s_hugepages' % name, '4\n' if name in ('free', 'nr') else '0\n')
    with open(path('lost.log'), 'wb') as log:
        a = Appliance(['unshare', '-m', 'sh', '-c', 'mount --bind %s /sys/kernel/mm/hugepages && exec "$@"' % pages, 'sh', pyrowire,
                       '-nic.hugepages=auto', '-ingester.head.prefault-bytes=0', '-pyroscopedb.data-path=' + path('data-lost')],
                      address, 4040, log)
    code = a.stop()
    with open(path('lost.log')) as log:
        said = log.read()
    if code != 0 or 'another program took the hugepages' not in said or 'level=error module=pw.app' in said:
        bad.append('hugepages that another program takes: exit code %s, %s' % (code, said[-1000:]))


def main():
    for args, wanted in rows():
        refused(args, wanted)
    hugepages_are_lost()
    first = start('first', ['-shutdown-delay=1h'])
    refused([], ['%s port 4040: the port is in use' % address, 'set -server.http-listen-port'])
    refused(['-server.http-listen-port=4041', '-memberlist.bind-port=7947', '-pyroscopedb.data-path=' + path('data-first')],
            ['is another process using it?', '-pyroscopedb.data-path=' + path('data-first')])
    first.p.send_signal(signal.SIGINT)
    with open(path('first.log')) as log:
        while 'stopping: draining' not in log.read():
            if first.p.poll() is not None:
                raise SystemExit('it ended at the first signal, with %d' % first.p.returncode)
            log.seek(0)
    code = first.stop()
    if code != -signal.SIGTERM:
        bad.append('a second signal: exit code %s' % code)
    # What a killed one leaves keeps nobody from starting.
    again = start('first', ['-runtime-config.file=' + path('overrides.yaml', 'overrides: {}\n')])
    if again.metric('pyroscope_runtime_config_last_reload_successful') != 1:
        bad.append('/metrics does not say that the runtime configuration was read')
    code = again.stop()
    if code != 0:
        bad.append('one signal: exit code %s' % code)
    for line in bad:
        print('FAIL ' + line)
    if not bad:
        print('every refused start says why; a second signal ends at once')
    return 1 if bad else 0


sys.exit(main())

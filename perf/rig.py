"""What the steps of perf/run.sh measure with: the appliance, the generator, the yardstick, CPU accounts.

run.sh made the link: TB_NS is the namespace of the clients, TB_IF the appliance's interface, TB_HOST its address.
Clients run on CPU 0 of the machine, whatever is measured on the last one.
"""
import collections, http.client, os, re, signal, statistics, subprocess, sys, tempfile, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CPU = os.cpu_count() - 1
ADMIN = '127.0.0.10'  # the appliance's loopback door: /metrics without a packet on the port
PORT = 4040
HERTZ = os.sysconf('SC_CLK_TCK')

median = statistics.median
SPIN = ('-dataplane.idle=spin', '-dataplane.connections-per-address=0', '-ingester.head.max-bytes=8GiB')
ENOUGH = ('-variants', 1000)  # bodies a generator prepares where the first 5,000 were pushed already
# The generator has a real-time priority and sleeps until something is due. Without the priority whoever else wants
# its CPU delays it by a scheduler's slice, 3 or 4 ms; spinning it would keep the CPU from the kernel's and the
# appliance's background work. When issue_p99_us comes near p99_us, it is the generator (or the hypervisor under it)
# that was measured.
PUNCTUAL = ('-fifo', 50, '-arrivals', 'poisson', '-connections', 16)


def busy_us(d, of):
    """Busy CPU per event, what the NIC driver took left out, and that."""
    return d['pyrowire_loop_busy_seconds_total'] * 1e6 / of, d['pyrowire_worker_driver_seconds_total'] * 1e6 / of


def path(*parts):
    return os.path.join(ROOT, *parts)


def figures(argv, **kw):
    """Runs a program that prints name=value lines: its exit code and the figures."""
    out = subprocess.run(argv, stdout=subprocess.PIPE, text=True, timeout=300, **kw)
    pairs = dict(re.findall(r'^(\w+)=([-0-9.]+)$', out.stdout, re.M))
    return out.returncode, {k: float(v) for k, v in pairs.items()}


def give_up(text):
    print('perf: ' + text, file=sys.stderr)
    sys.exit(2)


def in_namespace(*argv):
    return ['ip', 'netns', 'exec', os.environ['TB_NS'], *argv]


def generator(*args, addr=None, must=True):
    """pyroload in the namespace, on CPU 0."""
    argv = in_namespace(path('build/perf/pyroload'), '-addr', addr or '%s:%d' % (os.environ['TB_HOST'], PORT),
                        '-corpus', path('perf/corpus'), '-cpu', '0', *map(str, args))
    rc, f = figures(argv)
    if rc and must:
        give_up('pyroload %s ended with %d: %s' % (' '.join(map(str, args)), rc, f))
    return f


def unpack_us():
    """The yardstick: libdeflate on the very bodies that are pushed (the mix, packed again as an SDK does it), round
    robin over 10 pods of each profile: 3.4 MB, so that the input is not all in the first caches."""
    rc, f = figures([path('build/perf/pyroload'), '-addr', '127.0.0.1:1', '-unpack', '-corpus', path('perf/corpus'),
                     '-cpu', str(CPU), '-variants', '200'])
    if rc:
        give_up('pyroload -unpack failed')
    return f['unpack_us']


def machine(rest_ms, times):
    """What a wake-up and a small page cost after so much rest, by the machine alone."""
    rc, f = figures([path('build/perf/machine'), '0', str(CPU), str(rest_ms), str(times)])
    if rc:
        give_up('perf/machine failed')
    return f


class Process:
    """A program that is measured; ends with us."""

    def __init__(self, argv, log, cpus):
        self.log = log
        self.p = subprocess.Popen(['taskset', '-c', cpus, 'setpriv', '--pdeathsig', 'KILL', *argv], stdout=log, stderr=log)
        self.pid = self.p.pid

    def stop(self):
        self.p.send_signal(signal.SIGCONT)
        self.p.terminate()
        try:
            self.p.wait(15)
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.wait()

    def cpu_s(self):
        """User and system time of the process and of those it made."""
        total = 0
        for pid in [self.pid] + self.children():
            with open('/proc/%d/stat' % pid) as f:
                row = f.read().rsplit(')', 1)[1].split()
            total += int(row[11]) + int(row[12])
        return total / HERTZ

    def children(self):
        with open('/proc/%d/task/%d/children' % (self.pid, self.pid)) as f:
            return [int(x) for x in f.read().split()]

    def threads_cpu_s(self, prefix=''):
        """Scheduler's account of each thread whose name starts so, in seconds: finer than cpu_s."""
        out = {}
        for tid in os.listdir('/proc/%d/task' % self.pid):
            base = '/proc/%d/task/%s/' % (self.pid, tid)
            with open(base + 'comm') as f:
                name = f.read().strip()
            with open(base + 'schedstat') as f:
                if name.startswith(prefix):
                    out[tid + ' ' + name] = int(f.read().split()[0]) / 1e9
        return out

    def waited_s(self, prefix=''):
        """Time that threads whose names start so were ready to run while somebody else had their CPU."""
        total = 0
        for tid in os.listdir('/proc/%d/task' % self.pid):
            base = '/proc/%d/task/%s/' % (self.pid, tid)
            with open(base + 'comm') as f:
                name = f.read()
            with open(base + 'schedstat') as f:
                total += int(f.read().split()[1]) / 1e9 if name.startswith(prefix) else 0
        return total

    def memory(self):
        """Resident bytes, hugepages too."""
        with open('/proc/%d/status' % self.pid) as f:
            return 1024 * sum(int(x) for x in re.findall(r'^(?:VmRSS|HugetlbPages):\s+(\d+) kB', f.read(), re.M))


REPEATED = []  # how much of each round that did not count somebody else had of the CPU
DISTURBED = [0]  # the same of rounds that did


def undisturbed(process, threads, what):
    """what(), again when somebody else had the CPU it measures for more than a hundredth of the time: on a machine that
    others use, too, and in a virtual machine whose host is busy. The third time counts whatever it was."""
    for last in (False, False, True):
        waited, stolen, t0 = process.waited_s(threads), cpu_s('steal'), time.time()
        result = what()
        share = (process.waited_s(threads) - waited + cpu_s('steal') - stolen) / (time.time() - t0)
        if share < 0.01 or last:
            DISTURBED.append(share)
            return result
        REPEATED.append(share)


class Appliance(Process):
    """pyrowire on the port, without the limits that are for people. The bars are of packets to head: the log is
    written, but no answer waits for the disk."""

    def __init__(self, *options, data=None):
        log = tempfile.TemporaryFile('w+')
        self.data = data or tempfile.TemporaryDirectory(prefix='pyrowire-perf.')  # gone with its last user
        Process.__init__(self, [path('build/app/pyrowire'), '-pyroscopedb.data-path=' + self.data.name,
                                '-ingester.wal.sync=none', '-nic.netdev=' + os.environ['TB_IF'],
                                '-server.http-listen-address=' + ADMIN, '-log.level=warn',
                                '-ingester.max-global-series-per-tenant=0',
                                '-distributor.ingestion-rate-limit-mb=1000000',
                                '-distributor.ingestion-burst-size-mb=1000000', *options], log, '0-%d' % CPU)
        for _ in range(200):
            if self.p.poll() is not None:
                break
            if subprocess.run(in_namespace('curl', '-fsS', '-m', '1', '-o', '/dev/null', self.url('/ready')),
                              stderr=subprocess.DEVNULL).returncode == 0:
                return
            time.sleep(0.1)
        log.seek(0)
        give_up('the appliance does not answer: ' + log.read()[-2000:])

    def kill(self):
        """As a crash: what is in the log is all that the next one gets."""
        self.p.kill()
        self.p.wait()

    def said(self, what):
        """The last line of its log that has these words in it."""
        text = os.pread(self.log.fileno(), 1 << 20, 0).decode()  # the process writes where the file's offset is
        return [line for line in text.splitlines() if what in line][-1]

    def url(self, target):
        return 'http://%s:%d%s' % (os.environ['TB_HOST'], PORT, target)

    def request(self, method, target, body=None, headers={}):
        c = http.client.HTTPConnection(ADMIN, PORT, timeout=30)
        c.request(method, target, body, headers)
        r = c.getresponse()
        text = r.read().decode()
        c.close()
        return r.status, text

    def metrics(self):
        """Sums over labels; of pyrowire_loop_poller_busy_seconds_total too."""
        out = collections.Counter()
        for name, value in re.findall(r'^(\w+)(?:\{[^}]*\})? (\S+)$', self.request('GET', '/metrics')[1], re.M):
            out[name] += float(value)
        return out

    def load(self, *args):
        """Generator figures and what the appliance spent meanwhile."""
        before = self.metrics()
        f = generator(*args)
        after = self.metrics()
        return f, {k: after[k] - before[k] for k in after}

    def clean_load(self, *args):
        return undisturbed(self, 'rte-worker', lambda: self.load(*args))

    def rest(self, what):
        """what() on the last CPU while the appliance stands still, so that a yardstick can be read between rounds."""
        self.p.send_signal(signal.SIGSTOP)
        try:
            return what()
        finally:
            self.p.send_signal(signal.SIGCONT)


class Nginx(Process):
    """One worker on the last CPU, keep-alive, an empty 200."""

    CONF = '''daemon off; master_process off; worker_processes 1; pid %s; error_log stderr crit;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 100000000; keepalive_timeout 3600s;
       server { listen %s:%d; location / { return 200; } } }
'''

    def __init__(self, port=4080):
        self.dir = tempfile.TemporaryDirectory(prefix='pyrowire-nginx-')
        conf = os.path.join(self.dir.name, 'nginx.conf')
        with open(conf, 'w') as f:
            f.write(self.CONF % (os.path.join(self.dir.name, 'pid'), os.environ['TB_HOST'], port))
        self.addr = '%s:%d' % (os.environ['TB_HOST'], port)
        Process.__init__(self, ['nginx', '-p', self.dir.name, '-c', conf], tempfile.TemporaryFile('w+'), str(CPU))
        for _ in range(100):
            if subprocess.run(in_namespace('curl', '-fsS', '-m', '1', '-o', '/dev/null', 'http://%s/' % self.addr),
                              stderr=subprocess.DEVNULL).returncode == 0:
                return
            time.sleep(0.05)
        give_up('nginx does not answer')

    def stop(self):
        Process.stop(self)
        self.dir.cleanup()


def cpu_s(kind):
    """What the last CPU spent idle or was denied by the host. Wall time less the growth of idle is what everything
    there took, softirqs too."""
    with open('/proc/stat') as f:
        row = next(line.split() for line in f if line.startswith('cpu%d ' % CPU))
    return (int(row[8]) if kind == 'steal' else int(row[4]) + int(row[5])) / HERTZ

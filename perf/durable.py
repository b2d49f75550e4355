"""Steps of perf/run.sh about what outlives the process: the log, its replay, heads that become blocks."""
import contextlib, hashlib, mmap, os, re, subprocess, tempfile, threading, time

from rig import ENOUGH, PUNCTUAL, SPIN, Appliance, busy_us, give_up, in_namespace, median, undisturbed, unpack_us

DIRECT = getattr(os, 'O_DIRECT', 0)
BLOCK, SEGMENT = 4096, 64 << 20
REPLAY_LEAST = 1.3
FLUSH = '/ingester.v1.IngesterService/Flush'
# The log, the storage thread, and whoever touches head memory ahead. Threads that answer /metrics and queries are not
# the push path's.
BEHIND = ('wal-', 'pw-flush', 'pw-prefault')
# Answers wait for the disk, so more of them wait at once. A disk that stalls leaves some unsent at the end: they count
# in the percentiles, and are no reason to give up.
MANY = (*PUNCTUAL, '-connections', 64, '-allow-errors', *ENOUGH)
# Threads of the kernel that work for whoever writes: flushes, the journal, writing back.
KERNEL = ('kworker/', 'jbd2/')
CUT_PROFILES = {'quick': 20000, 'normal': 100000, 'full': 100000}


def percentile(values, p):
    return sorted(values)[min(len(values) - 1, int(len(values) * p))]


def disk_alone_us(folder, size, seconds):
    """Latencies of what a commit of the log does, with nobody else at work: one write of that size into a file whose
    room was allocated, past the page cache, and an fdatasync."""
    size = max(BLOCK, -(-int(size) // BLOCK) * BLOCK)
    out, until = [], time.time() + seconds
    with tempfile.NamedTemporaryFile(dir=folder) as named, mmap.mmap(-1, size) as buffer:
        buffer.write(os.urandom(size))
        fd, at = os.open(named.name, os.O_RDWR | DIRECT), SEGMENT
        while time.time() < until:
            if at + size > SEGMENT:
                os.ftruncate(fd, 0)
                os.posix_fallocate(fd, 0, SEGMENT)
                os.fsync(fd)
                at = 0
            t0 = time.perf_counter()
            os.pwrite(fd, buffer, at)
            os.fdatasync(fd)
            out.append((time.perf_counter() - t0) * 1e6)
            at += size
        os.close(fd)
    return out


def behind_s(a):
    """CPU of each thread behind the pollers, and of the kernel's that work for them: by number and name."""
    out = {tuple(thread.split()[:2]): cpu for thread, cpu in a.threads_cpu_s().items()
           if thread.split()[1].startswith(BEHIND)}
    out.update(kernel_s())
    return out


def behind_between(before, after):
    """The same by name for what lies between. A kernel thread that ended meanwhile takes its account with it."""
    out = {}
    for (number, name), cpu in after.items():
        out[name] = out.get(name, 0) + cpu - before.get((number, name), 0)
    return out


def kernel_s():
    """CPU of the kernel's threads that work for the disk, all of them: on a quiet machine nobody else gives them work."""
    out = {}
    for pid in filter(str.isdigit, os.listdir('/proc')):
        with contextlib.suppress(OSError), open('/proc/%s/comm' % pid) as name:
            if name.read().startswith(KERNEL):
                with open('/proc/%s/schedstat' % pid) as f:
                    out[pid, 'kernel'] = int(f.read().split()[0]) / 1e9
    return out


@contextlib.contextmanager
def own_work_only():
    """The link's receive work of the kernel, which is the clients', in threads of its own on CPU 0. Else it runs in
    interrupts, and this kernel charges those to whatever thread they meet: the log's writer, the storage thread."""
    ours, peer = ('/sys/class/net/%s/' % os.environ[k] for k in ('TB_IF', 'TB_PEER_IF'))
    name = os.environ['TB_PEER_IF']

    def turn(on):
        with open(ours + 'threaded', 'w') as f:
            f.write('%d' % on)
        # The peer's end has a NAPI of its own only with GRO; without it, it goes by the backlog, which RPS moves.
        steps = ['ethtool -K %s gro %s' % (name, 'on' if on else 'off'), 'echo %d >%sthreaded' % (on, peer)]
        steps = (steps if on else steps[::-1]) + ['echo %d >%squeues/rx-0/rps_cpus' % (not on, peer)]
        subprocess.run(in_namespace('bash', '-ec', '; '.join(steps)), check=True)
    turn(True)
    for pid in filter(str.isdigit, os.listdir('/proc')):
        with contextlib.suppress(OSError), open('/proc/%s/comm' % pid) as f:
            if f.read().startswith('napi/' + os.environ['TB_IF'][:-1]):
                os.sched_setaffinity(int(pid), {0})
    try:
        yield
    finally:
        turn(False)


class Control(threading.Thread):
    """Known work on CPU 0, and what its thread is charged for one piece of it: beside a load the same as alone, or
    somebody else's work is charged to threads there."""

    def __init__(self):
        threading.Thread.__init__(self, daemon=True)
        self.done, self.us = threading.Event(), 0

    def run(self):
        data, cpu, pieces = bytes(1 << 16), 0, 0
        while not self.done.wait(0.003):
            t0 = time.thread_time()
            hashlib.sha256(data).digest()
            cpu += time.thread_time() - t0
            pieces += 1
        self.us = cpu * 1e6 / pieces

    @staticmethod
    def beside(what):
        """What one piece was charged while what() ran, and its result."""
        control = Control()
        control.start()
        result = what()
        control.done.set()
        control.join()
        return control.us, result


def flush(a):
    status, text = a.request('POST', FLUSH, '{}', {'Content-Type': 'application/json'})
    if status != 200:
        give_up('flush: %d %s' % (status, text[:200]))


def restart(a):
    """SIGKILL and a start on what it left: the new appliance and what it said of its replay."""
    a.kill()
    b = Appliance(*SPIN, '-log.level=info', data=a.data)
    said = b.said('"replayed"')
    return b, {k: float(v) for k, v in re.findall(r'(\w+)=([0-9.]+)', said)}


def rounds(run, a, rate, step):
    """Answers at that rate, round by round."""
    return [a.load('-rate', rate, '-duration', run.seconds(step), '-warmup', 0.3, '-seed', i + 1, *MANY)[0]
            for i in range(run.rounds(step))]


def fill(run, a):
    """The first 5,000 and the rate of a closed loop."""
    a.load('-count', 5000, '-connections', 8)
    rates = [a.load('-duration', run.seconds('log'), '-connections', c, '-warmup', 0.2, *ENOUGH)[0]['pushes_per_s']
             for c in (16, 64)]
    return max(rates)


def show_all(run, name, values, digits=0):
    run.show(name, median(values), digits, 'rounds ' + ' '.join('%.*f' % (digits, v) for v in values))


def whole_path(run, a, flushed):
    """CPU of a push from its packets to the disk, its share of block writing included. So many are in blocks already."""
    net, behind, ratio, unpack, charged, commits = [], [], [], [], [], []
    alone, _ = Control.beside(lambda: a.rest(lambda: time.sleep(0.5)))
    for _ in range(run.rounds('log')):
        unpack.append(a.rest(unpack_us))

        def load():
            before = behind_s(a)
            f, d = a.load('-duration', run.seconds('log'), '-connections', 64, '-warmup', 0.2, *ENOUGH)
            spent = behind_between(before, behind_s(a))
            n = d['pyrowire_ingester_records_total']
            commits.append(n / max(1, d['pyrowire_wal_commits_total']))
            return busy_us(d, n)[0], {k: v * 1e6 / n for k, v in spent.items()}, f['pushes_per_s']
        us, (polled, others, rate) = Control.beside(lambda: undisturbed(a, 'rte-worker', load))
        charged.append(us / alone)
        net.append(polled)
        behind.append(others)
    m0, t0 = a.metrics(), behind_s(a)
    flush(a)
    m1, spent = a.metrics(), behind_between(t0, behind_s(a))
    pushes = m1['pyrowire_ingester_records_total'] - flushed
    blocks = (spent['pw-flush'] + spent['kernel']) * 1e6 / pushes
    for i, unpacked in enumerate(unpack):
        ratio.append((net[i] + sum(behind[i].values()) + blocks) / unpacked)
    show_all(run, 'log_poller_us_per_push', net, 1)
    for name in sorted(behind[0]):
        show_all(run, 'log_%s_us_per_push' % name.replace('-', '_'), [b.get(name, 0) for b in behind], 1)
    show_all(run, 'log_records_per_commit', commits, 1)
    show_all(run, 'log_control_ratio', charged, 2)
    run.show('log_blocks_us_per_push', blocks, 1, 'CPU of writing %d pushes as blocks' % pushes)
    show_all(run, 'log_unpack_ratio', ratio, 2)
    return m1['pyrowire_flush_bytes_total'] - m0['pyrowire_flush_bytes_total'], pushes


def step_log(run):
    """What it costs that a 200 survives: CPU, answers, and how fast a start reads it back."""
    a = Appliance(*SPIN)
    highest = fill(run, a)
    rate = highest / 2
    none = rounds(run, a, rate, 'log-answer')
    a, said = restart(a)
    replayed = said['records'] / said['seconds']
    a.stop()
    run.show('log_pushes_per_s', highest, 0, 'closed loop, not synced')
    run.show('replay_per_s', replayed, 0, '%d records, %.0f MB, %.2f s' % (
        said['records'], said['bytes'] / 1e6, said['seconds']))
    run.show('replay_shortfall', highest * REPLAY_LEAST / replayed, 2)

    a = Appliance(*SPIN, '-ingester.wal.sync=group')
    run.show('log_synced_pushes_per_s', fill(run, a), 0, 'closed loop')
    # As a log lives once heads were let go: in segments that are written over (perf/budget.md), all of them, since those
    # before the second are. The head knows the stacks then, as the one beside no synced log did.
    flush(a)
    fill(run, a)
    flush(a)
    flushed = a.metrics()['pyrowire_ingester_records_total']
    a.load('-count', 5000, '-connections', 8)
    time.sleep(1)
    before = a.metrics()
    group = rounds(run, a, rate, 'log-answer')
    d = {k: v - before[k] for k, v in a.metrics().items()}
    run.show('log_reused_segments', d['pyrowire_wal_reused_segments_total'], 0)
    size = d['pyrowire_wal_bytes_total'] / d['pyrowire_wal_commits_total']
    run.show('log_records_per_sync', d['pyrowire_wal_records_total'] / d['pyrowire_wal_commits_total'], 2,
             '%.0f bytes a sync, %d syncs' % (size, d['pyrowire_wal_commits_total']))
    disk = a.rest(lambda: disk_alone_us(a.data.name, size, 2 * run.seconds('log')))
    run.show('disk_p50_us', percentile(disk, 0.5), 0, '%d writes of %.0f bytes, each synced, nobody else' % (
        len(disk), size))
    run.show('disk_p99_us', percentile(disk, 0.99), 0)
    for k in ('p50_us', 'p99_us'):
        show_all(run, 'none_' + k, [f[k] for f in none])
        show_all(run, 'group_' + k, [f[k] for f in group])
    bound = median(f['p99_us'] for f in none) + 2.5 * percentile(disk, 0.99)
    run.show('log_p99_bound', median(f['p99_us'] for f in group) / bound, 2, 'of %.0f us' % bound)
    with own_work_only():
        whole_path(run, a, flushed)
    a.stop()


class Watch(threading.Thread):
    """What the process has beyond its heads, until it is told to stop."""

    def __init__(self, a):
        threading.Thread.__init__(self, daemon=True)
        self.a, self.most, self.done = a, 0, threading.Event()

    def beyond(self):
        """Only while the head is in memory: when its blocks take its place, used bytes fall before memory is given
        back. None then."""
        resident, m = self.a.memory(), self.a.metrics()
        return None if m['pyrowire_flush_waiting_heads'] == 0 else resident - m['pyrowire_head_used_bytes']

    def run(self):
        while not self.done.wait(0.02):
            now = self.beyond()
            self.most = max(self.most, now or 0)


def step_cut(run):
    """One head of 100,000 profiles becomes blocks while pushes go on."""
    want = CUT_PROFILES[run.mode]
    a = Appliance(*SPIN, '-ingester.head.max-bytes=16GiB', '-pyroscopedb.row-group-target-size=8GiB',
                  '-pyroscopedb.max-block-duration=24h')
    first, _ = a.load('-count', 5000, '-connections', 8)
    f, d = a.load('-count', want - 5000, '-connections', 16)
    rate = f['pushes_per_s'] / 2
    quiet = rounds(run, a, rate, 'cut')
    m = a.metrics()
    head, before = m['pyrowire_head_used_bytes'], a.memory() - m['pyrowire_head_used_bytes']
    watch, flusher = Watch(a), threading.Thread(target=flush, args=(a,))
    watch.start()
    t0 = time.time()
    flusher.start()
    during = []
    while flusher.is_alive():
        f = a.load('-rate', rate, '-duration', run.seconds('cut'), '-warmup', 0.1, '-seed', len(during) + 1, *MANY)[0]
        if flusher.is_alive() or not during:
            during.append(f)
    took = time.time() - t0
    watch.done.set()
    watch.join()
    d = a.metrics()
    run.show('cut_profiles', m['pyrowire_ingester_records_total'], 0, 'head of %.0f MiB' % (head / 2**20))
    run.show('cut_s', took, 1, 'beside %.0f pushes a second' % rate)
    show_all(run, 'cut_quiet_p99_us', [f['p99_us'] for f in quiet])
    show_all(run, 'cut_p99_us', [f['p99_us'] for f in during])
    run.show('cut_p99_ratio', median(f['p99_us'] for f in during) / median(f['p99_us'] for f in quiet), 2,
             'slowest answer %.1f ms, before it %.1f' % (max(f['max_us'] for f in during) / 1e3,
                                                         max(f['max_us'] for f in quiet) / 1e3))
    run.show('cut_memory_ratio', 1 + max(0, watch.most - before) / head, 2, 'writing one block took %.0f MiB' % (
        d['pyrowire_flush_memory_peak_bytes'] / 2**20))
    run.show('block_bytes_per_push', d['pyrowire_flush_bytes_total'] / m['pyrowire_ingester_records_total'], 0,
             '%d blocks, %d rows' % (d['pyrowire_flush_blocks_total'], d['pyrowire_flush_rows_total']))
    a.stop()

#!/usr/bin/env python3
"""The steps of perf/run.sh. Prints name=value lines; perf/README.md says what they mean.

run.py quick|normal|full [STEP...]
Ratios are taken within a round, yardstick and load directly after one another, and the median of the rounds counts:
the machine's speed changes by more than the appliance's from one minute to the next.
"""
import json, os, shutil, subprocess, sys, time

from bars import MOST, Report
from durable import step_cut, step_log
from rig import (DISTURBED, ENOUGH, PORT, PUNCTUAL, REPEATED, SPIN, Appliance, Nginx, busy_us, cpu_s, figures,
                 generator, give_up, in_namespace, machine, median, path, undisturbed, unpack_us)

#            quick, normal, full
ROUNDS = {'push': (3, 5, 9), 'get': (3, 5, 9), 'answer': (5, 7, 15), 'log': (3, 5, 9), 'log-answer': (7, 7, 9),
          'cut': (5, 7, 9)}
SECONDS = {'push': (0.7, 1.2, 4), 'get': (0.5, 1, 3), 'answer': (0.6, 2, 3), 'idle': (2, 10, 10),
           'log': (0.8, 1.5, 3), 'log-answer': (0.8, 1.5, 3), 'cut': (0.5, 0.5, 1)}
CONNS = {'quick': (1, 16, 256), 'normal': (1, 4, 16, 64, 256), 'full': (1, 2, 4, 8, 16, 32, 64, 128, 256)}
ATTACKER = '10.213.0.9'  # an address of the peer's interface that the client does not use
ALL = os.sched_getaffinity(0)
CROWD_ROOM, CROWD_BUFFERS = 100000, 256 << 20


class Run:
    def __init__(self, mode):
        self.mode = mode
        self.at = ('quick', 'normal', 'full').index(mode)
        self.report = Report()
        self.show = self.report.show
        self.unpack = []  # readings of the yardstick
        self.rate = 0  # pushes a second, closed loop

    def rounds(self, step):
        return ROUNDS[step][self.at]

    def seconds(self, step):
        return SECONDS[step][self.at]

    def yardstick(self, appliance):
        self.unpack.append(appliance.rest(unpack_us))
        return self.unpack[-1]


def flame_graph(run, a, unpack):
    """CPU of the query threads for the flame graph of what was pushed last hour; the least of some."""
    for name, selector in (('flame_all', '{}'), ('flame_one', '{service_name="service-03"}')):
        now = int(time.time() * 1000)
        ask = json.dumps({'profileTypeID': 'process_cpu:cpu:nanoseconds:cpu:nanoseconds', 'labelSelector': selector,
                          'start': now - 3600000, 'end': now + 3600000})
        best = 1e9
        for _ in range(5):
            t0 = sum(a.threads_cpu_s('pw-query').values())
            status, text = a.request('POST', '/querier.v1.QuerierService/SelectMergeStacktraces', ask,
                                     {'Content-Type': 'application/json'})
            best = min(best, sum(a.threads_cpu_s('pw-query').values()) - t0)
            if status != 200 or len(text) < 1000:
                give_up('flame graph: %d %s' % (status, text[:200]))
        run.show(name + '_ms', best * 1e3, 2)
        run.show(name + '_ratio', best * 1e6 / unpack)


def step_push(run, a):
    """What a push costs, as fast as it goes, by number of connections."""
    f, d = a.load('-count', 5000, '-connections', 8)
    run.show('head_bytes_per_push', d['pyrowire_head_used_bytes'] / f['ok'], 0)
    if run.mode != 'quick':
        flame_graph(run, a, run.yardstick(a))
    conns = CONNS[run.mode]
    cost, driver, ratio, rate = {c: [] for c in conns}, {c: [] for c in conns}, [], []
    for i in range(run.rounds('push')):
        unpack = run.yardstick(a)
        for c in conns if i % 2 == 0 else conns[::-1]:
            f, d = a.clean_load('-duration', run.seconds('push'), '-connections', c, '-warmup', 0.2, *ENOUGH)
            net, drv = busy_us(d, d['pyrowire_ingester_records_total'])
            cost[c].append(net)
            driver[c].append(drv)
            if c == 16:
                ratio.append(net / unpack)
                rate.append(f['pushes_per_s'])
    run.rate = median(rate)
    run.show('unpack_us', median(run.unpack), 2, 'readings %.1f to %.1f' % (min(run.unpack), max(run.unpack)))
    run.show('cpu_us_per_push', median(cost[16]))
    run.show('unpack_ratio', median(ratio), 2, 'rounds ' + ' '.join('%.2f' % r for r in ratio))
    run.show('driver_us_per_push', median(driver[16]))
    run.show('pushes_per_s', run.rate, 0)
    for c in conns:
        run.show('cpu_us_per_push_conns_%d' % c, median(cost[c]), 1, 'driver %.1f' % median(driver[c]))
    each = [median(cost[c]) for c in conns]
    run.show('conns_spread', max(each) / min(each), 3)


def half_rate(run, a):
    if not run.rate:
        run.rate = a.load('-duration', 1, '-connections', 16, '-warmup', 0.2, *ENOUGH)[0]['pushes_per_s']
    return run.rate / 2


def step_answer(run, a):
    """The answer at half of that rate. The median of the rounds, because a hypervisor's pause of 20 ms in one of them
    is enough to be its p99; how many rounds kept the bar is said too. An empty GET at the same rate shows what wire,
    kernels and hypervisor take alone."""
    got = []

    def load(i, *args):
        return a.load('-rate', half_rate(run, a), '-duration', run.seconds('answer'), '-warmup', 0.3, '-seed', i + 1,
                      *PUNCTUAL, *args)[0]
    for i in range(run.rounds('answer')):
        unpack = run.yardstick(a)
        f = load(i, *ENOUGH)
        f.update({k + '_ratio': f[k + '_us'] / unpack for k in ('p50', 'p99', 'p999')})
        got.append(f)
    for k in ('p50_us', 'p99_us', 'p999_us', 'issue_p99_us'):
        run.show(k, median(f[k] for f in got), 0, 'rounds ' + ' '.join('%.0f' % f[k] for f in got))
    for k in ('p50_ratio', 'p99_ratio', 'p999_ratio'):
        run.show(k, median(f[k] for f in got))
    run.show('p99_rounds_within', sum(f['p99_ratio'] <= MOST['p99_ratio'] for f in got), 0, 'of %d' % len(got))
    floor = [load(i, '-get', '/ready') for i in range(len(got) // 2)]
    for k in ('p50_us', 'p99_us'):
        run.show('get_' + k, median(f[k] for f in floor), 0, 'rounds ' + ' '.join('%.0f' % f[k] for f in floor))


def step_stall(run, a):
    """100,000 pushes at half load: how many took more than 50 ms, and what TCP had to send again; as many GETs."""
    for name, what in (('stall', ENOUGH), ('stall_get', ('-get', '/ready'))):
        f, d = a.load('-rate', half_rate(run, a), '-count', 100000, '-warmup', 0.5, *PUNCTUAL, *what)
        run.show(name + '_over_50ms', f['stalls'], 0, 'of %d, the slowest %.1f ms, retransmits %d' % (
            f['ok'], f['max_us'] / 1e3, d['pyrowire_worker_tcp_retransmits_total']))


def step_get(run, a):
    """An empty GET, 16 connections, no pipelining: here, and by nginx on the same CPU and link."""
    seconds = run.seconds('get')
    ours, ours_driver, theirs, theirs_all, ratio = [], [], [], [], []
    nginx = a.rest(Nginx) if shutil.which('nginx') else None
    args = ('-get', '/', '-duration', seconds, '-connections', 16)
    a.load('-get', '/ready', '-duration', 0.3, '-connections', 16)
    for _ in range(run.rounds('get')):
        f, d = a.clean_load('-get', '/ready', *args[2:])
        net, drv = busy_us(d, f['ok'])
        ours.append(net)
        ours_driver.append(drv)

        def of_nginx():
            cpu0, idle0, t0 = nginx.cpu_s(), cpu_s('idle'), time.time()
            gets = generator(*args, addr=nginx.addr)['ok']
            return (nginx.cpu_s() - cpu0) * 1e6 / gets, (time.time() - t0 - (cpu_s('idle') - idle0)) * 1e6 / gets

        if nginx:
            its, all_of_it = a.rest(lambda: undisturbed(nginx, '', of_nginx))
            theirs.append(its)
            theirs_all.append(all_of_it)
            ratio.append(net / theirs[-1])
    run.show('cpu_us_per_get', median(ours), 2)
    run.show('driver_us_per_get', median(ours_driver), 2, 'the kernel\'s half of the link, the peer\'s TCP included')
    run.show('get_per_s', 1e6 / median(ours), 0, 'of one core')
    if not nginx:
        return print('perf: nginx is not installed, so nothing to compare a GET with', file=sys.stderr)
    nginx.stop()
    run.show('nginx_us_per_get', median(theirs), 2, 'user and system')
    run.show('nginx_cpu_us_per_get', median(theirs_all), 2, 'all that its CPU did, softirqs too')
    run.show('get_ratio', median(ratio), 3, 'rounds ' + ' '.join('%.3f' % r for r in ratio))


def step_quiet_conns(run, a):
    """10,000 connections that say nothing."""
    conns = 10000
    before = a.memory()
    p = subprocess.Popen(in_namespace(path('build/perf/pyroload'), '-addr', '%s:%d' % (os.environ['TB_HOST'], PORT),
                                      '-get', '/ready', '-rate', '10', '-duration', '2', '-idle', str(conns),
                                      '-connections', '1', '-cpu', '0'), stdout=subprocess.PIPE, text=True)
    most = open_most = 0
    while p.poll() is None:
        n = a.metrics()['pyrowire_http_connections']
        if n >= open_most:
            open_most, most = n, a.memory()
        time.sleep(0.2)
    if open_most < conns:
        give_up('only %d of %d idle connections were open at once' % (open_most, conns))
    run.show('idle_conn_bytes', (most - before) / open_most, 0)
    run.show('conns_10k_mib', (most - before) / 2**20, 1)


def step_idle(run):
    """Nothing to do, default options: what it takes all the same, and how soon it is there again."""
    a = Appliance()
    a.load('-count', 200, '-connections', 1, '-variants', 200)
    time.sleep(1)
    t0, cpu0, threads0 = time.time(), a.cpu_s(), a.threads_cpu_s()
    time.sleep(run.seconds('idle'))
    wall, cpu, threads = time.time() - t0, a.cpu_s() - cpu0, a.threads_cpu_s()
    each = ', '.join('%s %.2f' % (k.split()[1], (threads[k] - threads0.get(k, 0)) * 100 / wall)
                     for k in threads if threads[k] - threads0.get(k, 0) > wall / 1e4)
    run.show('idle_percent', cpu * 100 / wall, 2, each)
    f, d = a.load('-rate', 10, '-arrivals', 'uniform', '-duration', run.seconds('idle'), '-connections', 1, '-spin',
                  '-variants', 200)
    for name, value in a.rest(lambda: machine(100, 15)).items():
        run.show(name, value, 2, 'after 100 ms; nothing of ours')
    run.show('first_push_us', f['p50_us'], 0, '90th percentile %.0f, the slowest %.0f' % (f['p90_us'], f['max_us']))
    a.stop()


def step_crowd(run):
    """100,000 connections that say nothing, against an appliance started with room for them, and what the larger pools
    take beside those of a default start."""
    a = Appliance()
    default = a.memory()
    a.stop()
    a = Appliance('-dataplane.connections-max=%d' % CROWD_ROOM, '-dataplane.rx-buffer-bytes=%d' % CROWD_BUFFERS)
    start = a.memory()
    with open('/sys/class/net/%s/address' % os.environ['TB_IF']) as f:
        mac = f.read().strip()
    p = subprocess.Popen(in_namespace('taskset', '-c', '0', path('build/perf/crowd'), os.environ['TB_PEER_IF'], mac,
                                      '%s:%d' % (os.environ['TB_HOST'], PORT), '10.213.0.10', '100', '1000'),
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    t0 = time.time()
    established, closed, resets = (int(p.stdout.readline().split('=')[1]) for _ in range(3))
    took = time.time() - t0
    opened = a.metrics()['pyrowire_http_connections']
    most = a.memory()
    rest, _ = p.communicate('go\n')
    alive = dict(line.split('=') for line in rest.split())
    run.show('crowd_established', established, 0, '%.1f s; %d began with a closed window, %d were reset; %d open here' % (
        took, closed, resets, opened))
    run.show('crowd_answered', int(alive['answered']), 0, 'of %s asked afterwards' % alive['asked'])
    if p.returncode or opened < established or established < 100000:
        give_up('the crowd did not stand')
    run.show('crowd_growth_mib', (most - start) / 2**20, 1, 'by the connections, after the start')
    run.show('crowd_pools_mib', (start - default) / 2**20, 1, 'by the larger pools, at the start')
    run.show('crowd_process_mib', most / 2**20, 0, 'everything the process has, hugepages too')
    run.show('conns_100k_mib', (most - default) / 2**20, 1)
    a.stop()


def step_attacks(run):
    """tests/e2e/attacks.py against an appliance with default options: the client's p99 by its bar, attack by attack."""
    a = Appliance('-ingester.max-global-series-per-tenant=0')
    subprocess.run(['ip', '-n', os.environ['TB_NS'], 'addr', 'add', ATTACKER + '/24', 'dev', os.environ['TB_PEER_IF']],
                   check=True)
    rc, f = figures(in_namespace('python3', path('tests/e2e/attacks.py'), '%s:%d' % (os.environ['TB_HOST'], PORT),
                                 os.environ['TB_PEER_IF'], ATTACKER))
    if rc or not f:
        give_up('tests/e2e/attacks.py failed')
    a.stop()
    for name, value in f.items():
        run.show(name, value, 2 if name.endswith('_of_bar') else 0)
    run.show('attacks_of_bar', max(v for k, v in f.items() if k.endswith('_of_bar')), 2, 'the worst of them')


def step_link(run):
    """perf/link.sh: the peer link on a veth pair of its own, both CPUs."""
    rc, f = figures(['bash', path('perf/link.sh'), str((1, 3, 5)[run.at])], preexec_fn=lambda: os.sched_setaffinity(0, ALL))
    if rc or 'replicate_ratio' not in f:
        give_up('perf/link.sh failed')
    for name, value in f.items():
        if name.startswith('median_'):
            run.show('link_' + name[7:], value, 4 if value < 10 else 1)
    for name in ('link_p50_ratio', 'link_p99_ratio', 'link_throughput_ratio', 'replicate_ratio', 'replicate_sender_ratio'):
        run.show(name, f[name], 3)


# Steps that share one spinning appliance, and steps that start their own; some are left out of the shorter runs.
SHARED = {'push': step_push, 'get': step_get, 'answer': step_answer, 'stall': step_stall,
          'quiet-conns': step_quiet_conns}
ALONE = {'idle': step_idle, 'attacks': step_attacks, 'crowd': step_crowd, 'log': step_log, 'cut': step_cut,
         'link': step_link}
ONLY = {'stall': ('full',), 'attacks': ('full',), 'crowd': ('normal', 'full'), 'log': ('full',), 'cut': ('full',), 'link': ('full',)}


def main():
    os.sched_setaffinity(0, {0})
    mode, steps = sys.argv[1], sys.argv[2:]
    unknown = [s for s in steps if s not in SHARED and s not in ALONE]
    if unknown:
        give_up('no step is called ' + unknown[0])
    run = Run(mode)
    wanted = lambda table: [s for s in table if s in steps or not steps and mode in ONLY.get(s, mode)]
    t0 = time.time()
    if wanted(SHARED):
        a = Appliance(*SPIN)
        for s in wanted(SHARED):
            SHARED[s](run, a)
        a.stop()
    for s in wanted(ALONE):
        ALONE[s](run)
    run.show('repeated_rounds', len(REPEATED), 0, 'somebody else had the CPU' if REPEATED else '')
    run.show('disturbed_percent', max(DISTURBED) * 100, 1, 'THE MACHINE WAS NOT QUIET: figures above are partly of '
             'whoever else was running' if max(DISTURBED) > 0.05 else 'of the worst round that counted')
    run.show('run_s', time.time() - t0, 0)
    sys.exit(run.report.verdict())


main()

"""The bars of the design, and the report that holds a run against them."""
import sys

# name of the figure, the most it may be, what the bar is
BARS = [
    ('unpack_ratio', 3.0, 'CPU of a push, packets to head, by the CPU of unpacking it'),
    ('conns_spread', 1.2, 'CPU of a push: the dearest number of connections by the cheapest, 1 to 256'),
    ('head_bytes_per_push', 18 * 1024, 'head memory of a push over 5,000 pushes'),
    ('flame_all_ratio', 600, 'flame graph of all process_cpu over them, by unpack_us'),
    ('flame_one_ratio', 143, 'flame graph of one of 20 services, by unpack_us'),
    ('p50_ratio', 6, 'answer at half load, Poisson, median by unpack_us'),
    ('p99_ratio', 40, 'the same, 99th percentile'),
    ('stall_over_50ms', 0, 'answers above 50 ms in 100,000 pushes without loss'),
    ('get_ratio', 0.2, 'CPU of an empty GET, by nginx\'s user and system time for one'),
    ('idle_percent', 3, 'CPU of an idle appliance, default back-off, /proc/PID/stat'),
    ('first_push_us', 1000, 'first push after 100 ms of nothing, median'),
    ('attacks_of_bar', 1, 'p99 of a client while the appliance is attacked, by twice its quiet p99 and 2 ms; the worst attack'),
    ('conns_10k_mib', 64, 'memory of 10,000 connections that say nothing'),
    ('log_unpack_ratio', 3.5, 'CPU of a push, packets to disk: log synced, log threads and block writing too'),
    ('log_p99_bound', 1, 'answer p99 at half load, synced, by (p99 not synced + 2.5 x p99 of the disk alone)'),
    ('replay_shortfall', 1, 'highest push rate x 1.3, by the rate of replay'),
    ('cut_p99_ratio', 2, 'answer p99 at half load while a head is cut and written, by the p99 before'),
    ('cut_memory_ratio', 1.3, 'memory while a head is written, by the head'),
    ('block_bytes_per_push', 2645 * 0.8, 'block bytes of a push'),
    ('conns_100k_mib', 400, 'memory of 100,000 connections that say nothing, the larger pools included'),
    ('link_p50_ratio', 4, 'acknowledgement of 1 KB by a peer, median by the round trip of a raw frame'),
    ('link_p99_ratio', 10, 'the same, 99th percentiles'),
    ('link_throughput_ratio', -0.8, 'packets a second of a peer link by testpmd\'s frames of their size'),
    ('replicate_ratio', 1.5, 'CPU of replicating one profile to one peer, both ends, by unpacking it'),
    ('replicate_sender_ratio', 0.5, 'the sender\'s part of it'),
]  # below zero: the least it may be
MOST = {name: most for name, most, _ in BARS}


class Report:
    def __init__(self):
        self.value = {}

    def show(self, name, value, digits=1, note=''):
        self.value[name] = value
        print('%s=%.*f%s' % (name, digits, value, '  # ' + note if note else ''), flush=True)

    def verdict(self):
        """Prints every bar that was measured; the exit code."""
        missed = 0
        print('\n%-22s %10s %10s  %s' % ('bar', 'measured', 'at most', ''))
        for name, most, text in BARS:
            if name in self.value:
                ok = self.value[name] <= most if most >= 0 else self.value[name] >= -most
                missed += not ok
                limit = '%.2f' % most if most >= 0 else '>= %.2f' % -most
                print('%-22s %10.2f %10s  %s  %s' % (name, self.value[name], limit, 'PASS' if ok else 'FAIL', text))
        print('%s' % ('FAIL: %d bars are missed' % missed if missed else 'PASS'))
        return 1 if missed else 0

#!/usr/bin/env python3
"""Our profiles.parquet as other engines see it: pyarrow and DuckDB, from PyPI in a venv of the build.

usage: check_parquet.py WRITE_CASE BLOCK_DUMP VENV_DIRECTORY
Writes made-up blocks (compressed and not), and checks with pyarrow: schema, encodings, codecs, statistics,
a column index and an offset index for every column, row groups, every row against block_dump, that other
engines' view of the samples adds up to TotalValue; with DuckDB: the query that README.md shows. The places
of the page indexes are read from the footer by hand (storage.md 1.4.5: all column indexes, then all offset
indexes, nothing between them). Exit 77 when PyPI does not give the packages.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

write_case, block_dump, venv = sys.argv[1:4]


def packages():
    python = os.path.join(venv, 'bin', 'python')
    if os.path.realpath(sys.prefix) == os.path.realpath(venv):
        return
    have = subprocess.run([python, '-c', 'import pyarrow, duckdb'], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) if os.path.exists(python) else None
    if have is None or have.returncode != 0:
        made = subprocess.run([sys.executable, '-m', 'venv', venv], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        pip = subprocess.run([python, '-m', 'pip', 'install', '-q', '--disable-pip-version-check',
                              'pyarrow', 'duckdb'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             timeout=400) if made.returncode == 0 else made
        if pip.returncode != 0:
            print(pip.stdout.decode(errors='replace')[-400:])
            print('no pyarrow and duckdb: PyPI (or venv) is not there')
            sys.exit(77)
    os.execv(python, [python] + sys.argv)


packages()
import duckdb  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

SCHEMA = '''
ID FIXED_LEN_BYTE_ARRAY UUID PLAIN 0 0
SeriesIndex INT32 Int(bitWidth=32,isSigned=false) DELTA_BINARY_PACKED 0 0
StacktracePartition INT64 Int(bitWidth=64,isSigned=false) DELTA_BINARY_PACKED 0 0
TotalValue INT64 Int(bitWidth=64,isSigned=false) DELTA_BINARY_PACKED 0 0
Samples.list.element.StacktraceID INT64 Int(bitWidth=64,isSigned=false) DELTA_BINARY_PACKED 1 1
Samples.list.element.Value INT64 Int(bitWidth=64,isSigned=true) DELTA_BINARY_PACKED 1 1
Samples.list.element.Labels.list.element.Key INT64 Int(bitWidth=64,isSigned=true) DELTA_BINARY_PACKED 2 2
Samples.list.element.Labels.list.element.Str INT64 Int(bitWidth=64,isSigned=true) DELTA_BINARY_PACKED 2 3
Samples.list.element.Labels.list.element.Num INT64 Int(bitWidth=64,isSigned=true) DELTA_BINARY_PACKED 2 3
Samples.list.element.Labels.list.element.NumUnit INT64 Int(bitWidth=64,isSigned=true) DELTA_BINARY_PACKED 2 3
Samples.list.element.SpanID INT64 Int(bitWidth=64,isSigned=false) RLE_DICTIONARY 1 2
Samples.list.element.TraceID FIXED_LEN_BYTE_ARRAY None RLE_DICTIONARY 1 2
DropFrames INT64 Int(bitWidth=64,isSigned=true) DELTA_BINARY_PACKED 0 1
KeepFrames INT64 Int(bitWidth=64,isSigned=true) DELTA_BINARY_PACKED 0 1
TimeNanos INT64 Timestamp(isAdjustedToUTC=true,timeUnit=nanoseconds PLAIN 0 0
DurationNanos INT64 Int(bitWidth=64,isSigned=true) PLAIN 0 1
Period INT64 Int(bitWidth=64,isSigned=true) PLAIN 0 1
Comments.list.element INT64 Int(bitWidth=64,isSigned=true) DELTA_BINARY_PACKED 1 1
DefaultSampleType INT64 Int(bitWidth=64,isSigned=true) PLAIN 0 1
Annotations.list.element.Key BYTE_ARRAY String DELTA_LENGTH_BYTE_ARRAY 1 1
Annotations.list.element.Value BYTE_ARRAY String DELTA_LENGTH_BYTE_ARRAY 1 1
'''
checks = 0


def check(ok, what):
    global checks
    checks += 1
    if not ok:
        print('wrong: ' + what)
        sys.exit(1)


def varint(b, i):
    v = shift = 0
    while True:
        v |= (b[i] & 0x7F) << shift
        shift += 7
        i += 1
        if b[i - 1] < 0x80:
            return v, i


def thrift(b, i):
    """A struct of the compact protocol as {id: value}."""
    out, last = {}, 0
    while b[i] != 0:
        head, i = b[i], i + 1
        if head >> 4:
            last += head >> 4
        else:
            last, i = varint(b, i)
            last = last >> 1 ^ -(last & 1)
        out[last], i = value(b, i, head & 15, False)
    return out, i + 1


def value(b, i, kind, item):
    if kind in (1, 2):
        return (b[i] == 1, i + 1) if item else (kind == 1, i)
    if kind == 3:
        return b[i], i + 1
    if kind in (4, 5, 6):
        v, i = varint(b, i)
        return v >> 1 ^ -(v & 1), i
    if kind == 8:
        n, i = varint(b, i)
        return b[i:i + n], i + n
    if kind == 9:
        head, i = b[i], i + 1
        n = head >> 4
        if n == 15:
            n, i = varint(b, i)
        items = []
        for _ in range(n):
            v, i = value(b, i, head & 15, True)
            items.append(v)
        return items, i
    check(kind == 12, 'thrift type %d' % kind)
    return thrift(b, i)


def check_schema(f):
    rows = [line.split() for line in SCHEMA.strip().splitlines()]
    check(len(f.schema) == len(rows), 'number of columns')
    for i, (path, physical, logical, encoding, rep, deflevel) in enumerate(rows):
        c = f.schema.column(i)
        seen = re.sub(r'\s', '', str(c.logical_type))
        check(c.path == path, f'{c.path} is {path}')
        check(c.physical_type == physical, f'{path}: physical type {c.physical_type}')
        check(seen.startswith(logical), f'{path}: logical type {seen}')
        check(c.max_repetition_level == int(rep) and c.max_definition_level == int(deflevel), f'{path}: levels')
        for g in range(f.metadata.num_row_groups):
            m = f.metadata.row_group(g).column(i)
            check(encoding in m.encodings, f'{path}: encodings {m.encodings}')
            check(m.has_column_index and m.has_offset_index, f'{path}: page index')
            check(m.statistics is not None and m.statistics.has_null_count, f'{path}: statistics')
            check(m.statistics.has_min_max == (m.num_values > m.statistics.null_count), f'{path}: min and max')


def check_indexes(path):
    """Placement, and that the bounds of SeriesIndex and TimeNanos are those of the rows."""
    b = open(path, 'rb').read()
    meta, _ = thrift(b, len(b) - 8 - int.from_bytes(b[-8:-4], 'little'))
    check(meta[6] == b'pyrowire', 'created_by')
    at = None
    for offset, length in ((6, 7), (4, 5)):  # all column indexes, then all offset indexes
        for g in meta[4]:
            for c in g[1]:
                check(at is None or c[offset] == at, 'an index is not where the one before ends')
                at = c[offset] + c[length]
    check(at == len(b) - 8 - int.from_bytes(b[-8:-4], 'little'), 'footer behind the indexes')
    table = pq.read_table(path, columns=['SeriesIndex', 'TimeNanos'])
    values = {1: table['SeriesIndex'].to_pylist(), 14: table['TimeNanos'].cast('int64').to_pylist()}
    first = 0
    for g in meta[4]:
        check(g[3] <= 100000, 'rows of a row group')
        for leaf, column in values.items():
            index, _ = thrift(b, g[1][leaf][6])
            pages, _ = thrift(b, g[1][leaf][4])
            starts = [p[3] for p in pages[1]] + [g[3]]
            for i in range(len(pages[1])):
                here = column[first + starts[i]:first + starts[i + 1]]
                check(int.from_bytes(index[2][i], 'little') == min(here), 'min of a page')
                check(int.from_bytes(index[3][i], 'little') == max(here), 'max of a page')
                check(index[1][i] is False, 'null page')
            check(index[4] in ((1, 2) if len(pages[1]) == 1 else (0, 1, 2)), 'boundary order')
        first += g[3]


def check_rows(block, path):
    dumped = [json.loads(x) for x in
              subprocess.run([block_dump, block], stdout=subprocess.PIPE, check=True).stdout.splitlines()]
    ours = [d for d in dumped if 'row' in d]
    t = pq.read_table(path)
    time = t['TimeNanos'].cast('int64').to_pylist()
    ids = t['ID'].to_pylist()
    series, total = t['SeriesIndex'].to_pylist(), t['TotalValue'].to_pylist()
    samples = t['Samples'].to_pylist()
    check(t.num_rows == len(ours), 'number of rows')
    for i, d in enumerate(ours):
        uid = ids[i].hex if hasattr(ids[i], 'hex') and not callable(ids[i].hex) else bytes(ids[i]).hex()
        ok = (series[i] == d['row'] and time[i] == d['time'] and uid == d['uuid'] and
              total[i] == d['total'] % (1 << 64) and len(samples[i]) == d['samples'] and
              sum(s['Value'] for s in samples[i]) % (1 << 64) == total[i] and
              all(s['Labels'] == [] for s in samples[i]))
        if not ok:
            check(False, f'row {i}: {series[i]} {time[i]} {uid} {total[i]} is not {d}')
    check(True, 'rows')
    return dumped


def check_duckdb(path, dumped):
    """The query of README.md, "Open to other engines"."""
    readme = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'README.md')
    m = re.search(r'```sql\n(.*?)```', open(readme, encoding='utf-8').read(), re.S)
    check(m is not None, 'README.md shows no query')
    got = duckdb.sql(m[1].replace("'profiles.parquet'", f"'{path}'")).fetchall()
    want = {}
    for d in dumped:
        if 'row' in d:
            n, v = want.get(d['row'], (0, 0))
            want[d['row']] = (n + d['samples'], v + d['total'])
    check(len(got) == min(5, len(want)), 'rows of the answer')
    for series, profiles, samples, v in got:
        check((samples, v) == want[series], f'series {series}: {samples} {v} is not {want[series]}')


def dump(block):
    return subprocess.run([block_dump, block], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def check_codecs():
    """The rows of a small block as another writer compresses them, in pages V1 and V2, read by us."""
    with tempfile.TemporaryDirectory() as d:
        out = subprocess.run([write_case, d, '7', '200', 'zstd', 'tiny'], stdout=subprocess.PIPE, check=True).stdout
        block = os.path.join(d, out.split()[0].decode())
        path, meta = os.path.join(block, 'profiles.parquet'), os.path.join(block, 'meta.json')
        want, table, m = dump(block).stdout, pq.read_table(path), json.load(open(meta))
        for codec in ('snappy', 'gzip', 'zstd', 'none', 'lz4'):
            for version in ('1.0', '2.0'):
                pq.write_table(table, path, compression=codec, data_page_version=version, write_page_index=True,
                               row_group_size=70)
                for f in m['files']:
                    if f['relPath'] == 'profiles.parquet':
                        f['sizeBytes'] = os.path.getsize(path)
                json.dump(m, open(meta, 'w'))
                r = dump(block)
                if codec == 'lz4':
                    check(r.returncode != 0 and b'codec 7' in r.stderr, f'lz4 is not refused: {r.stderr[:200]}')
                else:
                    check(r.stdout == want, f'{codec}, pages {version}: {len(r.stdout)} bytes, {len(want)} {r.stderr[:200]}')


check_codecs()
for codec in ('zstd', 'none'):
    with tempfile.TemporaryDirectory() as d:
        out = subprocess.run([write_case, d, '7', '4000', codec], stdout=subprocess.PIPE, check=True).stdout
        block = os.path.join(d, out.split()[0].decode())
        path = os.path.join(block, 'profiles.parquet')
        f = pq.ParquetFile(path, page_checksum_verification=True)
        check(f.metadata.num_row_groups > 1, 'row groups')
        check_schema(f)
        check_indexes(path)
        dumped = check_rows(block, path)
        check_duckdb(path, dumped)
        sizes = {x['relPath']: x['sizeBytes'] for x in json.load(open(os.path.join(block, 'meta.json')))['files']}
        for name, size in sizes.items():
            check(os.path.getsize(os.path.join(block, name)) == size, 'sizeBytes of ' + name)
print(f'{checks} checks')

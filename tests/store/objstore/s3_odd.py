#!/usr/bin/env python3
"""objstore against an S3 server that answers oddly: every answer here is one that a real server, or what stands before
it, can give.

usage: s3_odd.py OBJSTORE_CLI"""
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
import urllib.parse

HOST, BUCKET, TENANT = '127.0.0.31', 'profiles', 'acme'
XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
DONE = '<CompleteMultipartUploadResult><ETag>"e-2"</ETag></CompleteMultipartUploadResult>'
ULIDS = ['01M7Y%dGEPHRX9AZS6AWW3AARP5' % i for i in range(1, 6)]


def meta(ulid):
    return json.dumps({
        'ulid': ulid, 'minTime': 1795227000, 'maxTime': 1795227046.5, 'version': 3, 'labels': {},
        'stats': {'numSamples': 1, 'numSeries': 1, 'numProfiles': 1},
        'files': [{'relPath': 'index.tsdb', 'sizeBytes': 5}], 'compaction': {'level': 1, 'sources': [ulid]}})


class Server:
    """complete: what CompleteMultipartUpload answers, with status 200. pages: token -> (ULIDs, next token)."""

    def __init__(self):
        server = self
        self.complete, self.pages, self.aborted, self.listed = '', {}, 0, 0

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def answer(self, status, text, **headers):
                body = text.encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header('Content-Length', str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def handle_one(self):
                url = urllib.parse.urlsplit(self.path)
                query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
                self.rfile.read(int(self.headers.get('Content-Length', 0)))
                if self.command == 'POST' and 'uploads' in query:
                    self.answer(200, XML + '<InitiateMultipartUploadResult><UploadId>u1</UploadId>'
                                '</InitiateMultipartUploadResult>')
                elif self.command == 'PUT':
                    self.answer(200, '', ETag='"e"')
                elif self.command == 'POST':
                    self.answer(200, server.complete)
                elif self.command == 'DELETE':
                    server.aborted += 'uploadId' in query
                    self.answer(204, '')
                elif 'list-type' in query:
                    self.answer(200, server.list(query))
                elif url.path.endswith('/meta.json'):
                    self.answer(200, meta(url.path.split('/')[-2]))
                else:
                    self.answer(404, '')

            do_GET = do_PUT = do_POST = do_DELETE = handle_one

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer((HOST, 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def list(self, query):
        self.listed += 1
        prefix = query.get('prefix', '')
        if prefix == '':
            names, then = [TENANT], ''
        elif prefix == TENANT + '/phlaredb/':
            names, then = self.pages[query.get('continuation-token', '')]
        else:
            names, then = [], ''
        return XML + '<ListBucketResult><IsTruncated>%s</IsTruncated>%s%s</ListBucketResult>' % (
            'true' if then else 'false', then and '<NextContinuationToken>%s</NextContinuationToken>' % then,
            ''.join('<CommonPrefixes><Prefix>%s%s/</Prefix></CommonPrefixes>' % (prefix, n) for n in names))


def main():
    server = Server()
    env = {'OBJSTORE_ENDPOINT': '%s:%d' % (HOST, server.http.server_address[1]), 'OBJSTORE_BUCKET': BUCKET,
           'OBJSTORE_ACCESS': 'a', 'OBJSTORE_SECRET': 's', 'OBJSTORE_REGION': 'r', 'OBJSTORE_INSECURE': '1',
           'PATH': os.environ['PATH'], **{k: v for k, v in os.environ.items() if k.endswith('SAN_OPTIONS')}}
    passed = 0

    def run(*args):
        got = subprocess.run([sys.argv[1], *args], env=env, capture_output=True, text=True, timeout=20)
        return got.returncode, got.stdout, got.stderr

    def check(what, ok, seen):
        nonlocal passed
        assert ok, '%s: %s' % (what, seen)
        passed += 1
        print('ok', what)

    with tempfile.NamedTemporaryFile() as big:
        big.truncate((16 << 20) + 1) # two parts
        for what, text in (('nothing', ''), ('blanks alone', ' \n' * 20), ('half of it', XML + DONE[:-5]),
                           ('a page of a proxy', '<html><body>all is well<hr></body></html>'),
                           ('another result', XML + '<CopyObjectResult/>'),
                           ('an error', XML + ' \n <Error><Code>InternalError</Code><Message>again</Message></Error>')):
            server.complete, server.aborted = text, 0
            got = run('put', 'k', big.name)
            check('200 and %s is no upload' % what, got[0] == 1 and server.aborted == 1, (got, server.aborted))
        for what, text in (('at once', XML + DONE), ('after a while', ' \r\n  ' + XML + ' \n' + DONE)):
            server.complete, server.aborted = text, 0
            got = run('put', 'k', big.name)
            check('a result %s is one' % what, got[0] == 0 and server.aborted == 0, got)

    server.pages = {'': (ULIDS[:3], 'b'), 'b': (ULIDS[2:], '')}
    got = run('blocks')
    check('a block that two pages name is there once', got[:2] == (0, ''.join('%s %s\n' % (TENANT, u) for u in ULIDS)), got)
    for length in (1, 2, 3, 5):
        server.pages = {'': (ULIDS[:1], 'p0')}
        server.pages.update({'p%d' % i: (ULIDS[:1], 'p%d' % ((i + 1) % length)) for i in range(length)})
        server.listed = 0
        got = run('blocks')
        check('pages in a circle of %d end' % length, got[0] == 1 and "is not S3's" in got[2] and server.listed < 30,
              (got, server.listed))
    print('%d passed, 0 failed, 0 skipped' % passed)


main()

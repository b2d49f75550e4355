"""A Pyroscope-compatible address as small as it gets, for tests of clients.

Answers every POST with 200 and an empty body, keeps connections open, counts. `behave` is called
with the number of the request (from 0) and may return (status, body, delay_s, close).
"""
import asyncio
import threading


class Stub:
    def __init__(self, behave=None, host="127.0.0.1"):
        self.behave = behave or (lambda n: (200, b"", 0, False))
        self.host = host
        self.requests = 0
        self.connections = 0
        self.paths = {}
        self.bodies = []
        self.keep_bodies = False
        self.port = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        self._ready.wait(5)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _run(self):
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, self.host, 0, limit=1 << 20))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _serve(self, reader, writer):
        self.connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _one(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lines = head.split("\r\n")
        length = 0
        for line in lines[1:]:
            name, _, value = line.partition(":")
            if name.lower() == "content-length":
                length = int(value)
        body = await reader.readexactly(length)
        path = lines[0].split(" ")[1]
        self.paths[path] = self.paths.get(path, 0) + 1
        if self.keep_bodies:
            self.bodies.append((lines, body))
        number = self.requests
        self.requests += 1
        status, answer, delay, close = self.behave(number)
        if delay:
            await asyncio.sleep(delay)
        if status == 0:
            return False
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n%s\r\n%s" % (
            status, len(answer), b"Connection: close\r\n" if close else b"", answer))
        await writer.drain()
        return not close

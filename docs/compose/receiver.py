"""Takes any POST on port 8000, and prints what comes: one line for each event."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        print(self.path, self.rfile.read(int(self.headers["content-length"])).decode(), flush=True)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format, *args):
        pass


ThreadingHTTPServer(("", 8000), Receiver).serve_forever()

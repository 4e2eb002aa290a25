"""What the HTTP receiver tells and answers: `python -m unittest` in this folder."""

import http.client
import queue
import threading
import unittest

from http_receiver import Service, command


class HttpReceiver(unittest.TestCase):
    def setUp(self):
        self.arrivals = queue.Queue()
        self.service = Service(lambda message: self.arrivals.put(message[1]))
        self.addCleanup(self.service.down)
        self.connection = self.connect()

    def connect(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.service.port, timeout=20)
        self.addCleanup(connection.close)
        return connection

    def tell(self, *words):
        return command(self.service, list(words))

    def post(self, path="/", body=b"", connection=None, **headers):
        connection = connection or self.connection
        connection.request("POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        response.read()
        return response

    def arrival(self):
        return self.arrivals.get(timeout=20)

    def test_a_request_is_told_with_its_headers_in_order_and_its_body(self):
        self.assertEqual(200, self.post("/a%20b?c=d&e", b"\x00body", X_Two="2", X_One="\xe9").status)
        arrival = self.arrival()
        self.assertEqual(("POST", "/a%20b?c=d&e", b"\x00body"), tuple(arrival[k] for k in ("method", "path", "body")))
        self.assertEqual([("x-two", b"2"), ("x-one", b"\xe9")], arrival["headers"][-2:])

    def test_a_connection_serves_many_requests(self):
        self.post()
        address = self.connection.sock.getsockname()
        self.tell("script", "404")
        self.assertEqual([404, 200], [self.post().status, self.post().status])
        self.assertEqual(address, self.connection.sock.getsockname())
        self.assertEqual(3, self.tell("count"))

    def test_answers_are_those_of_the_path_then_of_the_script_then_the_standing_one(self):
        self.tell("answer", "503", "7")
        self.tell("script", "500", "429")
        self.tell("answer_path", "/a", "404")
        self.tell("answer_path", "/a/b", "204")
        answers = [self.post(path) for path in ("/a/x", "/", "/a/b/c", "/", "/")]
        self.assertEqual([404, 500, 204, 429, 503], [answer.status for answer in answers])
        self.assertEqual([None, None, None, None, "7"], [answer.headers["Retry-After"] for answer in answers])
        self.tell("reset")
        self.assertEqual((200, 1), (self.post("/a/x").status, self.tell("count")))

    def test_a_request_that_is_held_is_told_and_answered_after_the_release(self):
        self.tell("hold", "/slow")
        statuses = queue.Queue()
        threads = [
            threading.Thread(target=lambda: statuses.put(self.post("/slow", connection=self.connect()).status))
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
            self.arrival()
        self.assertEqual(200, self.post("/fast").status)
        self.assertEqual((4, True), (self.tell("max_in_flight"), statuses.empty()))
        self.tell("release")
        self.assertEqual([200] * 3, [statuses.get(timeout=20) for _ in threads])

    def test_a_receiver_that_is_down_cuts_connections_and_refuses_new_ones(self):
        idle = self.connect()
        self.post(connection=idle)
        self.arrival()
        self.tell("hold", "/")
        self.connection.request("POST", "/", b"")
        self.arrival()
        self.tell("down")
        self.assertRaises(ConnectionError, self.connection.getresponse)
        self.assertRaises(ConnectionError, self.post, connection=idle)
        self.assertRaises(ConnectionRefusedError, self.post, connection=self.connect())
        self.tell("up")
        self.tell("release")
        self.assertEqual(200, self.post(connection=self.connect()).status)

    def test_a_wrong_command_is_an_error_and_nothing_else(self):
        for words in ["unknown"], ["answer"], ["answer", "x"], ["answer", "1", "2", "3"], ["script", "x"], ["hold"]:
            self.assertRaises(ValueError, self.tell, *words)
        self.assertEqual(200, self.post().status)


if __name__ == "__main__":
    unittest.main()

"""What the databases hold and how they come and go: `python -m unittest` in this folder."""

import shutil
import subprocess
import sys
import time
import unittest
from pathlib import Path

from database_server import DATABASE, TABLE, MariaDB, PostgreSQL
from database_service import Service, command

ROW = f"INSERT INTO {TABLE} VALUES ('alice@localhost', 'ż😀', 'push.localhost', '{{\"a\": \"b\"}}', 1764100000123456)"


class DatabaseService:
    """The same for both."""

    @classmethod
    def setUpClass(cls):
        server = cls.server_type()
        cls.addClassCleanup(server.remove)
        cls.service = Service(server)

    def setUp(self):
        self.tell("reset")

    def tell(self, *words):
        return command(self.service, list(words))

    def test_the_table_takes_a_registration_once(self):
        self.assertEqual(1, self.tell("sql", ROW))
        with self.assertRaises(self.server_type.errors):
            self.tell("sql", ROW)
        stored = ("alice@localhost", "ż😀", "push.localhost", '{"a": "b"}', 1764100000123456)
        self.assertEqual([stored], self.tell("sql", f"SELECT * FROM {TABLE}"))
        self.assertEqual([(1,)], self.tell("sql", f"SELECT COUNT(*) FROM {TABLE} WHERE node LIKE '%😀'"))
        self.assertEqual(1, self.tell("sql", f"DELETE FROM {TABLE}"))

    def test_what_is_stored_survives_a_restart_but_no_reset(self):
        self.tell("sql", ROW)
        self.tell("restart")
        self.assertEqual([(1,)], self.tell("sql", f"SELECT COUNT(*) FROM {TABLE}"))
        self.tell("sql", f"DROP TABLE {TABLE}")
        self.tell("reset")
        self.assertEqual([(0,)], self.tell("sql", f"SELECT COUNT(*) FROM {TABLE}"))

    def test_a_database_that_is_down_answers_nobody(self):
        self.tell("down")
        self.tell("down")
        self.assertRaises(RuntimeError, self.tell, "sql", "SELECT 1")
        self.assertRaises(self.server_type.errors, self.service.server._ask, DATABASE, "SELECT 1")
        self.tell("up")
        self.tell("up")
        self.assertEqual([(1,)], self.tell("sql", "SELECT 1"))

    def test_a_wrong_command_is_an_error_and_nothing_else(self):
        for words in ["unknown"], ["sql"], ["sql", "SELECT FROM"], ["sql", "SELECT * FROM nowhere"], ["down", "now"]:
            self.assertRaises(Exception, self.tell, *words)
        self.assertEqual([(1,)], self.tell("sql", "SELECT 1"))

    def test_a_killed_program_leaves_no_server(self):
        program = [sys.executable, "-B", "database_service.py", "--engine", self.server_type.engine]
        here = Path(__file__).resolve().parent
        with subprocess.Popen(program, cwd=here, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as service:
            ready = service.stdout.readline()
            folder = Path(ready.partition('folder => <<"')[2].partition('"')[0])
            self.addCleanup(shutil.rmtree, folder)
            self.assertTrue(processes_in(folder))
            service.kill()
        deadline = time.monotonic() + 20
        while processes_in(folder) and time.monotonic() < deadline:
            time.sleep(0.05)  # nobody tells of the end of a process but to its parent
        self.assertEqual([], processes_in(folder))


class PostgreSQLService(DatabaseService, unittest.TestCase):
    server_type = PostgreSQL


class MariaDBService(DatabaseService, unittest.TestCase):
    server_type = MariaDB


def processes_in(folder):
    """A server's programs work in its folder, which may be gone already."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(folder):
                found.append(process.name)
        except OSError:
            continue
    return found


if __name__ == "__main__":
    unittest.main()

"""A PostgreSQL or a MariaDB of its own: Debian's programs with a folder and a port apart, on loopback alone.

Nothing of the system's installation is used but its programs. They refuse to run as root, or would rather not: then
they run as nobody, who gets the folder. The server is a child of this process, and the kernel ends it with this
process, however that ends. What is stored need not survive the machine, so nothing is synchronised with the disk.
"""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pg8000.native
import pymysql

from loopback import free_port

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "TZ": "UTC"}
NOBODY = 65534
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
ADMINISTRATOR = "administrator"
DATABASE = USERNAME = "mongooseim"
POLL_SECONDS = 0.05
STARTS_WITHIN, STOPS_WITHIN = 60, 30
JSON_OID = 114

COLUMNS = """
    owner_jid VARCHAR(250), node VARCHAR(250), pubsub_jid VARCHAR(250), form JSON NOT NULL, created_at BIGINT NOT NULL,
    PRIMARY KEY (owner_jid, node, pubsub_jid)
"""
TABLE = "event_pusher_push_subscription"


class Server:
    """Folder, port and passwords stay the same whenever the server comes and goes."""

    def __init__(self):
        # Not in the build folder: the way there may be closed to nobody.
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.engine}-"))
        self.port, self.process = free_port(), None
        self.password, self.administrators_password = secrets.token_hex(16), secrets.token_hex(16)
        if os.geteuid() == 0:
            os.chown(self.folder, NOBODY, NOBODY)

    def create(self):
        """Makes the files, starts the server and makes the user, the database and the table."""
        self._run(*self._creation())
        self._start("")
        self._sql_each("", self._database())
        self.reset()

    def start(self):
        """Returns when clients can connect."""
        self._start(DATABASE)

    def _start(self, database):
        if self.process:
            return
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                self._unprivileged(["setpriv", "--pdeathsig", self.ends_by.name[3:], *self._command()]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=ENVIRONMENT,
                cwd=self.folder,
            )
        deadline = time.monotonic() + STARTS_WITHIN
        while not self._accepts(database):
            try:
                self.process.wait(POLL_SECONDS)
            except subprocess.TimeoutExpired:
                if time.monotonic() < deadline:
                    continue
            self.stop()
            raise RuntimeError(f"the database does not start: {self._last_words()}")

    def _accepts(self, database):
        try:
            self._ask(database, "SELECT 1")
            return True
        except self.errors:
            return False

    def _run(self, command, text):
        """A program that ends by itself."""
        done = subprocess.run(
            self._unprivileged(command),
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=ENVIRONMENT,
            cwd=self.folder,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]} fails: {done.stdout.decode(errors='replace')[-2000:]}")

    def _unprivileged(self, command):
        return [*AS_NOBODY, *command] if os.geteuid() == 0 else command

    def _last_words(self):
        return (self.folder / "server.log").read_text(errors="replace")[-2000:]

    def sql(self, statement):
        """As the administrator: the rows of what has rows, else the number of those that it touched."""
        if not self.process:
            raise RuntimeError("the database is down")
        return self._ask(DATABASE, statement)

    def _sql_each(self, database, statements):
        for statement in statements:
            self._ask(database, statement)

    def reset(self):
        """Up, with the table as new."""
        self.start()
        self._sql_each(DATABASE, [f"DROP TABLE IF EXISTS {TABLE}", *self._table()])

    def stop(self):
        """As an operator stops it who does not wait for clients."""
        if not self.process:
            return
        self.process.send_signal(self.ends_by)
        try:
            self.process.wait(STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def remove(self):
        """Leaves nothing behind."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class PostgreSQL(Server):
    engine = "pgsql"
    errors = (pg8000.native.InterfaceError, pg8000.native.DatabaseError, OSError)
    # Clients are cut off, and its shared memory is given back.
    ends_by = signal.SIGINT

    def _program(self, name):
        newest = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
        return str(newest / name)

    def _creation(self):
        (self.folder / "password").write_text(self.administrators_password)
        user = ["--username", ADMINISTRATOR, "--pwfile=password", "--auth=scram-sha-256"]
        files = ["--pgdata=data", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        return [self._program("initdb"), *user, *files], b""

    def _command(self):
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "dynamic_shared_memory_type": "mmap",  # which is in the folder
            "shared_buffers": "16MB",
            "fsync": "off",
            "full_page_writes": "off",
            "synchronous_commit": "off",
        }
        return [self._program("postgres"), "-D", "data", *(f"--{key}={value}" for key, value in settings.items())]

    def _database(self):
        return [
            f"CREATE ROLE {USERNAME} LOGIN PASSWORD '{self.password}'",
            f"CREATE DATABASE {DATABASE} OWNER {USERNAME}",
        ]

    def _table(self):
        return [
            f"CREATE TABLE {TABLE} ({COLUMNS})",
            f"CREATE INDEX i_{TABLE} ON {TABLE} USING BTREE (owner_jid)",
            f"ALTER TABLE {TABLE} OWNER TO {USERNAME}",
        ]

    def _ask(self, database, statement):
        connection = pg8000.native.Connection(
            ADMINISTRATOR,
            host="127.0.0.1",
            port=self.port,
            password=self.administrators_password,
            database=database or "postgres",
        )
        try:
            connection.register_in_adapter(JSON_OID, str)
            rows = connection.run(statement)
            return connection.row_count if rows is None else [tuple(row) for row in rows]
        finally:
            connection.close()


class MariaDB(Server):
    engine = "mysql"
    errors = (pymysql.MySQLError, OSError)
    ends_by = signal.SIGTERM

    def _creation(self):
        """The tables of the server itself, without help texts, time zones and the like."""
        tables = Path("/usr/share/mysql/mysql_system_tables.sql").read_bytes()
        (self.folder / "data").mkdir()
        if os.geteuid() == 0:
            os.chown(self.folder / "data", NOBODY, NOBODY)
        (self.folder / "users.sql").write_text(
            f"CREATE OR REPLACE USER {ADMINISTRATOR}@'127.0.0.1' IDENTIFIED BY '{self.administrators_password}';\n"
            f"GRANT ALL ON *.* TO {ADMINISTRATOR}@'127.0.0.1' WITH GRANT OPTION;\n"
        )
        return [*self._command(), "--bootstrap"], b"CREATE DATABASE mysql;\nUSE mysql;\n" + tables

    def _command(self):
        settings = {
            "datadir": self.folder / "data",
            "tmpdir": self.folder,
            "socket": self.folder / "socket",
            "pid-file": self.folder / "pid",
            "init-file": self.folder / "users.sql",
            "bind-address": "127.0.0.1",
            "port": self.port,
            "character-set-server": "utf8mb4",  # as Debian configures it
            "innodb-buffer-pool-size": "16M",
            "innodb-log-file-size": "8M",
            "innodb-flush-method": "nosync",
            "innodb-flush-log-at-trx-commit": "0",
            "innodb-doublewrite": "OFF",
        }
        options = [f"--{key}={value}" for key, value in settings.items()]
        return ["mariadbd", "--no-defaults", "--skip-name-resolve", *options]

    def _database(self):
        return [
            f"CREATE USER {USERNAME}@'127.0.0.1' IDENTIFIED BY '{self.password}'",
            f"CREATE DATABASE {DATABASE}",
            f"GRANT ALL ON {DATABASE}.* TO {USERNAME}@'127.0.0.1'",
        ]

    def _table(self):
        return [
            f"CREATE TABLE {TABLE} ({COLUMNS}) CHARACTER SET utf8mb4 ROW_FORMAT=DYNAMIC",
            f"CREATE INDEX i_{TABLE} ON {TABLE} (owner_jid)",
        ]

    def _ask(self, database, statement):
        connection = pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user=ADMINISTRATOR,
            password=self.administrators_password,
            database=database or None,
            autocommit=True,
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.rowcount if cursor.description is None else list(cursor.fetchall())


SERVERS = {server.engine: server for server in (PostgreSQL, MariaDB)}

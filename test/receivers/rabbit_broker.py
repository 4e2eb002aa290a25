"""A RabbitMQ node of its own: Debian's rabbitmq-server with a folder, ports, a port mapper and a cookie apart.

Nothing of the system's installation is used but its programs, and nothing listens on other interfaces than loopback.
Broker and port mapper are children of this process, and the kernel kills them when it ends, however it ends.

The node is asked through a pipe: `rabbit_control.erl` evaluates what it reads there. rabbitmqctl would start a VM for
each question.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from loopback import free_port

HERE = Path(__file__).resolve().parent
SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
# Debian's Erlang for Debian's RabbitMQ, whatever runs this program.
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
STOPS_WITHIN = 30
ORPHANS_DIE = ["setpriv", "--pdeathsig", "KILL"]


class Broker:
    """Folder, ports and settings stay the same whenever the node comes and goes."""

    def __init__(self, tls=None, client_authority=None, name="receiver", beside=None):
        """tls: the names of a certificate file and a key file; client_authority: of who has to sign clients'.

        beside: another one that runs when this one starts first, so that they are a cluster from then on. They have the
        port mapper, the cookie and the user together.
        """
        (HERE.parents[1] / "_build").mkdir(exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="rabbit-", dir=HERE.parents[1] / "_build"))
        self.port, self.distribution_port = free_port(), free_port()
        self.tls_port = free_port() if tls else None
        self.name, self.node, self.control, self.epmd = f"{name}@localhost", None, None, None
        if beside:
            self.epmd_port, self.cookie = beside.epmd_port, beside.cookie
            self.username, self.password = beside.username, beside.password
        else:
            self.epmd_port, self.cookie = free_port(), secrets.token_hex(16)
            self.username, self.password = "receiver", secrets.token_hex(16)
        self._configure(tls, client_authority, beside)
        if not beside:
            self._map_ports()

    def _map_ports(self):
        self.epmd = subprocess.Popen(
            [*ORPHANS_DIE, "epmd", "-port", str(self.epmd_port), "-address", "127.0.0.1"],
            stdin=subprocess.DEVNULL,
            env=ENVIRONMENT,
            cwd=self.folder,
        )

    def _configure(self, tls, client_authority, beside):
        settings = {
            "listeners.tcp.1": f"127.0.0.1:{self.port}",
            "default_user": self.username,
            "default_pass": self.password,
            "log.file.level": "info",
            # Less than this is left only where nothing else works either.
            "disk_free_limit.absolute": "1MB",
        }
        if beside:
            settings |= {
                "cluster_formation.peer_discovery_backend": "classic_config",
                "cluster_formation.classic_config.nodes.1": beside.name,
                "cluster_formation.classic_config.nodes.2": self.name,
            }
        if tls:
            settings |= {
                "listeners.ssl.1": f"127.0.0.1:{self.tls_port}",
                "ssl_options.certfile": os.path.abspath(tls[0]),
                "ssl_options.keyfile": os.path.abspath(tls[1]),
            }
        if client_authority:
            settings |= {
                "ssl_options.cacertfile": os.path.abspath(client_authority),
                "ssl_options.verify": "verify_peer",
                "ssl_options.fail_if_no_peer_cert": "true",
            }
        (self.folder / "rabbitmq.conf").write_text("".join(f"{key} = {value}\n" for key, value in settings.items()))
        (self.folder / "enabled_plugins").write_text("[].\n")
        cookie = self.folder / ".erlang.cookie"
        cookie.write_text(self.cookie)
        cookie.chmod(0o400)

    def _environment(self, control):
        folder = str(self.folder)
        return ENVIRONMENT | {
            "HOME": folder,
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_DIST_PORT": str(self.distribution_port),
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{folder}/advanced.config",
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/none",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            # The script then becomes the node, so that its process is ours to end.
            "RABBITMQ_ALLOW_INPUT": "true",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-noinput -kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_SERVER_START_ARGS": f"-pa {folder} -run rabbit_control start {control}",
        }

    def start(self):
        """Returns when clients can connect."""
        if self.node:
            return
        if not (self.folder / "rabbit_control.beam").exists():
            subprocess.run(["erlc", "-o", self.folder, HERE / "rabbit_control.erl"], env=ENVIRONMENT, check=True)
        ours, theirs = socket.socketpair()
        with theirs, open(self.folder / "startup.log", "ab") as log:
            self.node = subprocess.Popen(
                [*ORPHANS_DIE, SERVER],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment(theirs.fileno()),
                cwd=self.folder,
                pass_fds=[theirs.fileno()],
            )
        self.control = ours.makefile("rwb")
        ours.close()
        self.ask("rabbit:await_startup()")

    def ask(self, expression):
        """The text of what an Erlang expression has as value in the node."""
        if not self.node:
            raise RuntimeError("the broker is down")
        try:
            self.control.write(expression.encode() + b"\n")
            self.control.flush()
            outcome, _, text = self.control.readline().decode().rstrip("\n").partition(" ")
        except ConnectionError:
            outcome = text = ""
        if outcome != "ok":
            raise RuntimeError(text or f"the broker has ended: {self._last_words()}")
        return text

    def _last_words(self):
        return (self.folder / "startup.log").read_text(errors="replace")[-2000:]

    def stop(self):
        """As an operator stops it: clients are told, and what is durable is stored."""
        self._end(signal.SIGTERM)

    def kill(self):
        self._end(signal.SIGKILL)

    def _end(self, how):
        if not self.node:
            return
        self.node.send_signal(how)
        try:
            self.node.wait(STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            self.node.kill()
            self.node.wait()
        self.control.close()
        self.node = self.control = None

    def remove(self):
        """Leaves nothing behind."""
        self.kill()
        if self.epmd:
            self.epmd.kill()
            self.epmd.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

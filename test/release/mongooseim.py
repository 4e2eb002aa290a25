"""A copy of a MongooseIM release that can be configured, booted on free ports of loopback, asked and stopped."""

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path

BOOT_SECONDS, STOP_SECONDS = 90, 60
# What a node writes while it runs.
RUNTIME = re.compile(r"(log|var|Mnesia\.[^/]*)(/|$)|.*erl_crash\.dump$")


class Failed(Exception):
    """What was expected and what came."""


class Release:
    def __init__(self, original, folder, epmd_port, cookie=None):
        self.root = Path(folder) / "release"
        script = (Path(original) / "bin" / "mongooseim").read_text()
        if not re.search(r'^RUNNER_ETC_DIR="?\$RUNNER_BASE_DIR/etc"?$', script, re.M):
            raise Failed(f"{original} keeps its configuration elsewhere, so that a copy would not be independent of it")
        ignore = lambda folder, names: [
            name for name in names if RUNTIME.match(os.path.relpath(f"{folder}/{name}", original))
        ]
        shutil.copytree(original, self.root, symlinks=True, ignore=ignore)
        for name in ("log", "var"):
            (self.root / name).mkdir()
        self.version = (self.root / "releases" / "start_erl.data").read_text().split()[1]
        self.erts = (self.root / "releases" / "start_erl.data").read_text().split()[0]
        self.node, self.cookie = f"mim{secrets.token_hex(4)}@localhost", cookie or secrets.token_hex(16)
        self.env = os.environ | {"ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_EPMD_PORT": str(epmd_port), "LC_ALL": "C.UTF-8"}
        self.process = None
        self._name_node()

    def _name_node(self):
        """Nobody else's node is met, and nothing listens beyond loopback."""
        path = self.root / "etc" / "vm.args"
        text = re.sub(r"^-s?name .*$", f"-sname {self.node}", path.read_text(), flags=re.M)
        text = re.sub(r"^-setcookie .*$", f"-setcookie {self.cookie}", text, flags=re.M)
        path.write_text(text + "\n-kernel inet_dist_use_interface {127,0,0,1}\n")

    def configure(self, toml):
        (self.root / "etc" / "mongooseim.toml").write_text(toml)

    def digest(self):
        """Of names, modes and content of all that a node does not write itself."""
        digest = hashlib.sha256()
        for path in sorted(self.root.rglob("*")):
            name = str(path.relative_to(self.root))
            if not RUNTIME.match(name):
                content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
                digest.update(repr((name, path.lstat().st_mode, content)).encode())
        return digest.hexdigest()

    def boot(self):
        log = open(self.root / "log" / "boot.out", "wb")
        self.process = subprocess.Popen(
            [self.root / "bin" / "mongooseim", "foreground"],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            env=self.env,
        )
        status = self.root / "var" / "status"
        self._await(lambda: status.is_file() and "started" in status.read_text(), BOOT_SECONDS, "the node did not boot")

    def _await(self, reached, seconds, complaint):
        deadline = time.monotonic() + seconds
        while not reached():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"{complaint}:\n{self.last_lines()}")
            time.sleep(0.1)

    def last_lines(self):
        logs = [self.root / "log" / "boot.out", *(self.root / "log").glob("mongooseim.log*")]
        return "\n".join(
            line for log in logs if log.is_file() for line in log.read_text(errors="replace").splitlines()[-40:]
        )

    def stop(self):
        """Ends the node and the port mapper that came with it."""
        if self.process:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                os.kill(int((self.root / "var" / "pid").read_text()), signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
            self.process = None
            (self.root / "var" / "status").unlink(missing_ok=True)
        epmd = self.root / f"erts-{self.erts}" / "bin" / "epmd"
        subprocess.run([epmd, "-kill"], env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self):
        """As a crash ends the node: it has no time for anything."""
        os.kill(int((self.root / "var" / "pid").read_text()), signal.SIGKILL)
        self.process.wait(STOP_SECONDS)
        self.process = None
        (self.root / "var" / "status").unlink()

    def register(self, user, password):
        self.ctl("account", "registerUser", "--domain", "localhost", "--username", user, "--password", password)

    def ctl(self, *words):
        return self._run([self.root / "bin" / "mongooseimctl", *words])

    def ask(self, expression):
        """What the node makes of an Erlang expression, as text."""
        binary = self.root / f"erts-{self.erts}" / "bin"
        code = (
            f'{{ok, Tokens, _}} = erl_scan:string("{_quoted(expression)}."), '
            "{ok, Exprs} = erl_parse:parse_exprs(Tokens), "
            f"{{value, Value, _}} = rpc:call('{self.node}', erl_eval, exprs, [Exprs, []], 60000), "
            'io:format("~0tp", [Value]), halt().'
        )
        name = ["-sname", f"ask{secrets.token_hex(4)}@localhost", "-hidden", "-setcookie", self.cookie]
        boot = ["-boot", self.root / "releases" / self.version / "start_clean", "-noinput", "-noshell"]
        environment = {"ROOTDIR": str(self.root), "BINDIR": str(binary), "EMU": "beam", "PROGNAME": "erl"}
        return self._run([binary / "erlexec", *boot, *name, "-eval", code], environment)

    def _run(self, command, environment={}):
        done = subprocess.run(command, env=self.env | environment, capture_output=True, text=True, timeout=90)
        if done.returncode:
            raise Failed(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout


def _quoted(text):
    return text.replace("\\", "\\\\").replace('"', '\\"')

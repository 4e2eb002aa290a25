"""What the script event-pusher does to a release: `python -m unittest` in this folder."""

import fcntl
import os
import pathlib
import platform
import resource
import shutil
import signal
import subprocess
import tempfile
import termios
import unittest

from releases import AARCH64, LINE, START_SCRIPT, VM_ARGS, Place, elf, tree, write

NOBODY = 65534
COMMANDS = ["install", "uninstall", "check", "status", "probe", "pause", "resume", "retry-now", "drain", "drop"]


class Script(unittest.TestCase):
    """Each case runs in the shells below: another one with no other commands than its own."""

    shell = ["dash"]
    commands = os.environ["PATH"]

    def setUp(self):
        self.place = Place()
        self.addCleanup(self.place.remove)
        self.release = self.place.release()
        self.vm_args = self.release / "etc" / "vm.args"
        self.script = self.place.package()

    def run_script(self, command, *options, script=None, release=None, path="", as_nobody=False, **options_of_run):
        words = [*self.shell, script or self.script, command, "--release", release or self.release, *options]
        if as_nobody and os.geteuid() == 0:
            setpriv = [shutil.which("setpriv"), f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
            words = [*setpriv, *([shutil.which("dash")] if words[0] == "dash" else words[:1]), *words[1:]]
        environment = {"PATH": f"{path}:{self.commands}" if path else self.commands, "LANG": "C.UTF-8"}
        environment.update(options_of_run.pop("env", {}))
        return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, **options_of_run)

    def done(self, *arguments, **options):
        result = self.run_script(*arguments, **options)
        self.assertEqual((0, ""), (result.returncode, result.stderr), result.stdout)
        return result.stdout

    def refused(self, *texts, arguments=("install",), **options):
        """It says these things, with status 1; nothing changes, and a dry run says the same."""
        release = options.get("release", self.release)
        before = tree(release) if release.is_dir() else None
        for more in [(), ("--dry-run",)] if arguments[0] != "check" else [()]:
            result = self.run_script(*arguments, *more, **options)
            self.assertEqual((1, ""), (result.returncode, result.stdout), result.stderr)
            self.assertTrue(result.stderr.startswith("event-pusher: "), result.stderr)
            for text in texts:
                self.assertIn(str(text), result.stderr)
        self.assertEqual(before, tree(release) if release.is_dir() else None)

    def installed(self, version="0.1.0", script=None):
        """The folder is whole, and vm.args has one line for it before what it had."""
        payload = (script or self.script).parent / "lib" / f"event_pusher-{version}"
        folder = self.release / "lib" / payload.name
        files = [path.relative_to(payload) for path in payload.rglob("*") if path.is_file()]
        there = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
        self.assertEqual({*files, pathlib.Path("installed-by-event-pusher")}, set(there))
        self.assertEqual([(payload / file).read_bytes() for file in files], [(folder / file).read_bytes() for file in files])
        self.assertEqual((LINE % version).encode() + VM_ARGS, self.vm_args.read_bytes())

    def node(self, *arguments, name=None, executable="/bin/sh"):
        """A process that looks like a VM of this release."""
        words = [name or str(self.release / "erts-15.2.7" / "bin" / "beam.smp"), "-c", "echo; read line", *arguments]
        process = subprocess.Popen(words, executable=executable, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(self.end, process)
        process.stdout.readline()
        return process

    def end(self, process):
        process.kill()
        process.communicate()

    # Installing and uninstalling

    def test_install_adds_a_folder_and_one_line_and_uninstall_takes_them_away(self):
        before = tree(self.release)
        inode = self.vm_args.stat().st_ino
        out = self.done("install")
        self.assertIn("event_pusher 0.1.0 is installed in MongooseIM 6.8.0", out)
        self.installed()
        self.assertEqual((inode, 0o640), (self.vm_args.stat().st_ino, self.vm_args.stat().st_mode & 0o777))
        self.assertEqual({"event_pusher-0.1.0", "mongooseim-6.8.0"}, set(os.listdir(self.release / "lib")))
        self.assertIn("no longer installed", self.done("uninstall"))
        self.assertEqual(before, tree(self.release))

    def test_everyone_may_read_what_is_installed_and_nobody_else_write_it(self):
        self.done("install")
        folder = self.release / "lib" / "event_pusher-0.1.0"
        for path in [folder, *folder.rglob("*")]:
            self.assertEqual(0o755 if path.is_dir() else 0o644, path.stat().st_mode & 0o777, path)

    @unittest.skipIf(os.geteuid() != 0, "only root can give files away")
    def test_root_installs_for_the_owner_of_the_release(self):
        for path in [self.release, *self.release.rglob("*")]:
            os.chown(path, NOBODY, NOBODY)
        self.done("install")
        self.assertEqual({NOBODY}, {path.stat().st_uid for path in self.release.rglob("*")})
        self.assertEqual({NOBODY}, {path.stat().st_gid for path in self.release.rglob("*")})

    def test_a_second_run_changes_nothing_and_says_so(self):
        for command in ["install", "uninstall"]:
            self.done(command)
            before = tree(self.release)
            self.assertIn("nothing to do", self.done(command))
            self.assertEqual(before, tree(self.release))

    def test_what_others_write_into_vm_args_stays(self):
        self.done("install")
        self.vm_args.write_bytes(b"-heart\n" + self.vm_args.read_bytes() + b" # more\n\n\n")
        self.assertIn("nothing to do", self.done("install"))
        self.done("uninstall")
        self.assertEqual(b"-heart\n" + VM_ARGS + b" # more\n\n\n", self.vm_args.read_bytes())

    def test_an_empty_vm_args_is_empty_again(self):
        self.vm_args.write_bytes(b"")
        self.done("install")
        self.assertEqual((LINE % "0.1.0").encode(), self.vm_args.read_bytes())
        self.done("uninstall")
        self.assertEqual(b"", self.vm_args.read_bytes())

    def test_another_version_replaces_the_installed_one(self):
        before = tree(self.release)
        newer = self.place.package("0.10.0")
        self.done("install")
        self.assertIn("upgrade from event_pusher 0.1.0 to 0.10.0", self.done("install", script=newer))
        self.installed("0.10.0", newer)
        self.assertFalse((self.release / "lib" / "event_pusher-0.1.0").exists())
        self.assertIn("downgrade from event_pusher 0.10.0 to 0.1.0", self.done("install"))
        self.installed()
        self.assertFalse((self.release / "lib" / "event_pusher-0.10.0").exists())
        # Any version takes any other away, also without its files beside it.
        alone = write(self.place.path / "alone" / "event-pusher", newer.read_bytes())
        self.done("uninstall", script=alone)
        self.assertEqual(before, tree(self.release))

    def test_a_folder_that_somebody_else_put_there_stays(self):
        mine = write(self.release / "lib" / "event_pusher-0.0.9" / "ebin" / "event_pusher.app", "")
        before = tree(self.release)
        self.done("install")
        self.done("uninstall")
        self.assertEqual(before, tree(self.release))
        mine.parent.parent.rename(self.release / "lib" / "event_pusher-0.1.0")
        self.refused("event_pusher-0.1.0", "not put there by this script", "Move it away")

    def test_a_folder_of_the_same_version_with_other_content_is_not_replaced_under_a_node(self):
        self.done("install")
        beam = self.release / "lib" / "event_pusher-0.1.0" / "ebin" / "event_pusher.beam"
        beam.write_bytes(b"other")
        self.refused("differs from this package", "uninstall")
        # Nothing refers to it without the line, so there it may be replaced.
        self.vm_args.write_bytes(VM_ARGS)
        self.done("install")
        self.installed()

    def test_a_lost_folder_is_put_back(self):
        self.done("install")
        shutil.rmtree(self.release / "lib" / "event_pusher-0.1.0")
        self.done("install")
        self.installed()

    def test_a_dry_run_says_what_would_be_done_and_changes_nothing(self):
        before = tree(self.release)
        out = self.done("install", "--dry-run")
        self.assertIn("would copy lib/event_pusher-0.1.0", out)
        self.assertIn(f"would add as first line of {self.vm_args.resolve()}", out)
        self.assertEqual(before, tree(self.release))
        self.done("install")
        before = tree(self.release)
        out = self.done("uninstall", "--dry-run")
        self.assertEqual(2, out.count("would remove"))
        self.assertEqual(before, tree(self.release))

    # Where things are

    def test_paths_may_have_blanks_and_links(self):
        release = self.place.release("my releases/mongoose im")
        real = release / "etc" / "vm.args"
        real.rename(self.place.path / "vm args")
        real.symlink_to(self.place.path / "vm args")
        link = self.place.path / "current"
        link.symlink_to(release)
        before = tree(release)
        script = self.place.path / "event-pusher"
        script.symlink_to(self.script)
        self.done("install", release=link, script=script)
        self.assertEqual((LINE % "0.1.0").encode() + VM_ARGS, real.read_bytes())
        self.assertTrue(real.is_symlink())
        self.done("uninstall", release=f"{link}/", script=script)
        self.assertEqual((before, VM_ARGS), (tree(release), real.read_bytes()))

    def test_paths_may_be_relative_to_where_one_is(self):
        self.done("install", release="mongooseim", cwd=self.place.path)
        self.installed()

    def test_vm_args_is_where_the_start_script_says(self):
        etc = self.place.path / "etc" / "mongooseim"
        etc.mkdir(parents=True)
        self.vm_args.rename(etc / "vm.args")
        self.refused("there is no", self.vm_args, "--etc")
        write(self.release / "bin" / "mongooseim", START_SCRIPT % etc)
        self.done("install")
        self.vm_args = etc / "vm.args"
        self.installed()

    def test_the_folder_of_vm_args_may_be_given(self):
        other = write(self.place.path / "other etc" / "vm.args", "-sname other\n")
        before = tree(self.release / "etc")
        self.done("install", f"--etc={other.parent}")
        self.assertEqual(LINE % "0.1.0" + "-sname other\n", other.read_text())
        self.assertEqual(before, tree(self.release / "etc"))

    # Refusals

    def test_what_is_no_release_is_refused(self):
        self.refused("is not a folder", release=self.place.path / "nowhere")
        for missing in ["releases/start_erl.data", "lib/mongooseim-6.8.0", "erts-15.2.7/bin/beam.smp"]:
            release = self.place.release("no " + missing.replace("/", " "))
            path = release / missing
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            for command in ["install", "uninstall", "check"]:
                self.refused("not a release of MongooseIM", missing, arguments=(command,), release=release)

    def test_versions_of_the_server_are_those_of_their_tags(self):
        for version in ["6.5.0", "6.8.12", "6.8.0-12-gabcdef", "6.6.0-rc1", "6.7.0+build5"]:
            self.done("install", "--dry-run", release=self.place.release(version, version))
        for version in ["6.4.0", "6.9.0", "7.0.0", "6.10.0", "6.4.9-3-gabc", "cabaa45", "16.5.0", "6.8"]:
            self.refused(f"MongooseIM {version}", "6.5.0 to 6.8", release=self.place.release(version, version))

    def test_the_version_is_that_of_the_application_where_the_release_has_another(self):
        release = self.place.release()
        write(release / "releases" / "start_erl.data", "15.2.7 production-7\n")
        self.assertIn("MongooseIM 6.8.0", self.done("install", release=release))

    def test_an_old_otp_is_refused(self):
        for erts, otp in [("14.2.5.12", 26), ("13.1", 25)]:
            self.refused(f"OTP {otp} (erts-{erts})", "needs OTP 27", release=self.place.release(erts, erts=erts))
        self.refused("unknown version x", release=self.place.release("x", erts="x"))
        for erts in ["15.0", "16.1.2"]:
            self.done("install", release=self.place.release(erts, erts=erts))

    def test_another_processor_is_refused(self):
        release = self.place.release("arm", beam=elf(AARCH64, str(self.place.linker)))
        self.refused("is for aarch64, this package for x86_64", release=release)
        self.refused("no ELF file", release=self.place.release("script", beam=b"#!/bin/sh\n"))

    def test_another_c_library_is_refused(self):
        release = self.place.release("alpine", beam=elf(interpreter="/lib/ld-musl-x86_64.so.1"))
        self.refused("musl (/lib/ld-musl-x86_64.so.1)", "glibc", release=release)

    def test_an_older_glibc_is_refused_where_it_is_known(self):
        newer = self.place.package("0.2.0", glibc="2.37")
        self.refused("has glibc 2.36", "needs 2.37", script=newer)
        self.done("install", script=self.place.package("0.3.0", glibc="2.36"))
        elsewhere = self.place.release("elsewhere", beam=elf(interpreter="/no/such/ld-linux-x86-64.so.2"))
        self.done("install", script=newer, release=elsewhere)

    def test_a_vm_args_that_is_no_regular_file_is_refused(self):
        self.vm_args.unlink()
        self.refused("there is no", self.vm_args)
        self.vm_args.mkdir()
        self.refused(self.vm_args, "not a regular file")
        self.vm_args.rmdir()
        os.mkfifo(self.vm_args)
        self.refused(self.vm_args, "not a regular file")

    def test_a_damaged_line_is_refused_and_shown(self):
        line = (LINE % "0.1.0").encode()
        for damaged in [line.replace(b"ebin", b"ebni"), line.replace(b"-pa", b"#-pa"), line + line, line.replace(b"0.1.0", b""),
                        line.replace(b"\n", b"\r\n"), b"-pa /opt/event_pusher-0.1.0/ebin\n", line.replace(b"lib/", b"lib/../")]:
            self.vm_args.write_bytes(damaged + VM_ARGS)
            for command in ["install", "uninstall"]:
                self.refused(self.vm_args, "1:" + damaged.decode().split("\n")[0].rstrip("\r"), "Delete", arguments=(command,))
        self.vm_args.write_bytes(b"# see lib/event_pusher-0.1.0/ebin\n" + VM_ARGS)
        self.done("install")

    def test_what_is_not_writable_is_refused(self):
        if os.geteuid() == 0:
            os.chown(self.vm_args, NOBODY, NOBODY)
        self.vm_args.chmod(0o444)
        lib = self.release / "lib"
        lib.chmod(0o777)
        self.addCleanup(lib.chmod, 0o777)
        for path in self.script.parent.rglob("*.*"):
            path.chmod(0o755)
        self.refused(f"{self.vm_args} is not writable", as_nobody=True)
        self.vm_args.chmod(0o644)
        lib.chmod(0o555)
        self.refused(f"{lib} is not writable", as_nobody=True)
        self.vm_args.chmod(0o000)
        self.refused(f"{self.vm_args} cannot be read", as_nobody=True)
        lib.chmod(0o777)
        self.vm_args.chmod(0o600)
        self.done("install", as_nobody=True)
        self.installed()

    def test_an_incomplete_package_is_refused(self):
        library = self.script.parent / "lib" / "event_pusher-0.1.0" / "priv" / "libevent_pusher_nif.so"
        library.unlink()
        self.refused("Unpack the whole package")
        self.place.package("0.2.0", folder="event_pusher 0.1.0")
        self.refused("several lib/event_pusher-*")

    # A running node

    def test_a_running_node_is_refused_unless_told_otherwise(self):
        process = self.node()
        self.refused("is running", process.pid, "--live-ok")
        self.assertIn("restarted", self.done("install", "--live-ok"))
        self.installed()
        self.refused("is running", arguments=("uninstall",))
        self.done("uninstall", "--live-ok")
        self.assertEqual(VM_ARGS, self.vm_args.read_bytes())
        self.end(process)
        self.done("install")

    def test_a_node_is_known_by_its_program_also_under_another_name(self):
        script = self.place.package("0.5.0", machine={"x86_64": 62, "aarch64": 183}[platform.machine()], glibc="2.2")
        release = self.place.release("real", beam=pathlib.Path("/bin/sh").read_bytes())
        other = self.place.path / "elsewhere" / "beam.smp"
        other.parent.mkdir()
        os.link(release / "erts-15.2.7" / "bin" / "beam.smp", other)
        process = self.node(name="/in/a/container/beam.smp", executable=other)
        self.refused("is running", process.pid, release=release, script=script)

    def test_other_nodes_and_checks_are_no_hindrance(self):
        other = self.place.release("other")
        self.node(name=str(other / "erts-15.2.7" / "bin" / "beam.smp"))
        self.node("event_pusher_check")
        self.node("event_pusher_command")
        self.done("install")

    def test_the_folder_that_a_running_node_uses_stays_until_it_has_been_restarted(self):
        before = tree(self.release)
        self.done("install")
        process = self.node("-pa", "lib/event_pusher-0.1.0/ebin")
        newer = self.place.package("0.2.0")
        self.assertIn("event_pusher-0.1.0 stays", self.done("install", "--live-ok", script=newer))
        self.installed("0.2.0", newer)
        self.assertTrue((self.release / "lib" / "event_pusher-0.1.0" / "ebin").is_dir())
        self.assertIn("event_pusher-0.1.0 stays", self.done("uninstall", "--live-ok"))
        self.assertEqual({"event_pusher-0.1.0", "mongooseim-6.8.0"}, set(os.listdir(self.release / "lib")))
        self.end(process)
        self.done("uninstall")
        self.assertEqual(before, tree(self.release))

    # Interrupted in the middle

    def commands_with(self, names, body):
        """A folder of commands that do something before the real ones do their work."""
        if self.shell != ["dash"]:
            self.skipTest("this shell has its commands in itself")
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.place.path))
        for name in names:
            real = shutil.which(name, path=self.commands)
            write(folder / name, f"#!/bin/sh\nreal='{real}'\n{body}\nexec \"$real\" \"$@\"\n", 0o755)
        return folder

    def killed_before_step(self, step, command, **options):
        left = write(self.place.path / "left", str(step))
        kill = f'read -r left <"{left}" || :\n[ "$left" != 0 ] || kill -KILL 0\necho $((left - 1)) >"{left}"'
        folder = self.commands_with(["mkdir", "cp", "mv", "chmod", "chown", "dd", "rm"], kill)
        return self.run_script(command, path=folder, start_new_session=True, **options).returncode != 0

    def test_a_run_that_is_killed_anywhere_leaves_the_old_or_the_new_state(self):
        newer = self.place.package("0.20.0")
        stock, old, new = VM_ARGS, (LINE % "0.1.0").encode() + VM_ARGS, (LINE % "0.20.0").encode() + VM_ARGS
        clean = {stock: tree(self.release)}
        for content, script in [(old, self.script), (new, newer)]:
            self.done("install", script=script)
            clean[content] = tree(self.release)
        self.done("uninstall")
        ways = [(stock, "install", self.script, old), (old, "install", newer, new), (new, "install", self.script, old),
                (new, "uninstall", newer, stock)]
        for before, command, script, after in ways:
            step, killed = 0, True
            while killed:
                if before != stock:
                    self.done("install", script=self.script if before == old else newer)
                killed = self.killed_before_step(step, command, script=script)
                found = self.vm_args.read_bytes()
                self.assertIn(found.rstrip(b"\n"), [before, after], (command, step))
                for version in ["0.1.0", "0.20.0"]:
                    if found.startswith((LINE % version).encode()):
                        payload = self.place.path / f"event_pusher {version}" / "lib" / f"event_pusher-{version}"
                        for file in payload.rglob("*.*"):
                            there = self.release / "lib" / payload.name / file.relative_to(payload)
                            self.assertEqual(file.read_bytes(), there.read_bytes())
                self.done(command, script=script)
                self.assertEqual(clean[after], tree(self.release), (command, step))
                self.done("uninstall")
                self.assertEqual(clean[stock], tree(self.release), (command, step))
                step += 1
            self.assertGreater(step, 7)

    def test_a_run_that_is_told_to_end_takes_back_what_it_has_done(self):
        before = tree(self.release)
        # The signal comes when the folder is in place, and the line is not.
        folder = self.commands_with(["mv"], '"$real" "$@" && kill -TERM $PPID; exit')
        result = self.run_script("install", path=folder)
        self.assertEqual(1, result.returncode)
        self.assertIn("is as it was", result.stderr)
        self.assertEqual(before, tree(self.release))

    def test_a_full_disk_leaves_the_release_as_it_was(self):
        library = self.script.parent / "lib" / "event_pusher-0.1.0" / "priv" / "libevent_pusher_nif.so"
        library.write_bytes(library.read_bytes() + bytes(100000))

        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))

        before = tree(self.release)
        result = self.run_script("install", preexec_fn=limit, restore_signals=False)
        self.assertEqual(1, result.returncode)
        self.assertIn("Is the disk full?", result.stderr)
        self.assertIn("is as it was", result.stderr)
        self.assertEqual(before, tree(self.release))

    def test_a_vm_args_that_is_written_in_part_is_written_back(self):
        for command in ["install", "uninstall"]:
            before = tree(self.release)
            first = self.place.path / f"first {command}"
            broken = f'[ -e "{first}" ] || {{ : >"{first}"; "$real" "$@" bs=1 count=20; exit 1; }}'
            result = self.run_script(command, path=self.commands_with(["dd"], broken))
            self.assertEqual(1, result.returncode)
            self.assertIn("cannot be written", result.stderr)
            self.assertEqual(before, tree(self.release))
            self.done("install")

    def test_two_runs_do_not_meet(self):
        work = self.release / "lib" / ".event_pusher-work"
        other = self.node(name="event-pusher")
        write(work / "pid", f"{other.pid}\n")
        result = self.run_script("install")
        self.assertEqual(1, result.returncode)
        self.assertIn(f"another event-pusher is at work in {self.release} (process {other.pid})", result.stderr)
        self.assertTrue(work.is_dir())

    # Check

    def fake_vm(self, status=0):
        told = self.place.path / "told"
        tell = ('{ pwd; echo "$ROOTDIR $BINDIR ${ERL_AFLAGS-} ${ERL_FLAGS-} ${ERL_ZFLAGS-}"; '
                f'for word in "$@"; do echo "$word"; done; }} >"{told}"; exit {status}')
        write(self.release / "erts-15.2.7" / "bin" / "erlexec", f"#!/bin/sh\n{tell}\n", 0o755)
        return lambda: told.read_text().split("\n")

    def test_check_runs_the_releases_own_vm_without_its_node(self):
        told = self.fake_vm()
        before = tree(self.release)
        self.done("check", env={"ERL_FLAGS": "-sname foo -setcookie x"})
        where, variables, *words, _ = told()
        self.assertEqual((str(self.release), f"{self.release} {self.release}/erts-15.2.7/bin"), (where, variables.strip()))
        package = self.script.parent / "lib" / "event_pusher-0.1.0" / "ebin"
        self.assertEqual(["-boot", f"{self.release}/releases/6.8.0/start_clean"], words[:2])
        self.assertEqual(["-pa", str(package), "-s", "event_pusher_check", "main"], words[-9:-4])
        etc = self.release / "etc"
        self.assertEqual(["-extra", "package", f"{etc}/mongooseim.toml", f"{etc}/app.config"], words[-4:])
        self.assertFalse({"-sname", "-name", "-setcookie", "-args_file", "+P"} & set(words))
        self.assertEqual(before, tree(self.release))
        self.done("check", "--connect")
        self.assertEqual([f"{etc}/app.config", "connect", ""], told()[-3:])

    def test_check_has_the_code_path_of_the_node(self):
        told = self.fake_vm()
        self.vm_args.write_bytes(VM_ARGS + b"\n-pa plugins more/plugins # -pa not\n-pz last\n")
        write(self.release / "etc" / "vm.dist.args", "#-pa not\n-kernel x y\n-pa dist")
        self.done("install")
        self.done("check", env={"ERL_AFLAGS": "-pa early", "ERL_ZFLAGS": "-pa late +S 1"})
        words = told()[2:-1]
        paths = [pair for pair in zip(words, words[1:]) if pair[0] in ["-pa", "-pz"]]
        self.assertEqual([("-pa", "early"), ("-pa", "lib/event_pusher-0.1.0/ebin"), ("-pa", "plugins"), ("-pa", "more/plugins"),
                          ("-pz", "last"), ("-pa", "dist"), ("-pa", "late")], paths)
        self.assertEqual("installed", words[-3])

    def test_check_knows_an_installation_by_environment(self):
        told = self.fake_vm()
        self.done("check", env={"ERL_ZFLAGS": "-pa /opt/event_pusher/ebin"})
        self.assertEqual(1, told().count("-pa"))
        self.assertIn("installed", told())

    def test_check_takes_a_configuration_from_where_one_is(self):
        told = self.fake_vm()
        write(self.place.path / "my conf.toml", "")
        self.done("check", "--config", "my conf.toml", cwd=self.place.path)
        self.assertEqual(f"{self.place.path}/my conf.toml", told()[-3])
        self.refused("there is no", "other.toml", arguments=("check", "--config=other.toml"))

    def test_the_status_of_check_is_that_of_the_vm_unless_it_did_not_run(self):
        for status, wanted in [(0, 0), (3, 1)]:
            self.fake_vm(status)
            result = self.run_script("check")
            self.assertEqual((wanted, ""), (result.returncode, result.stderr))
        for status in [1, 139]:
            self.fake_vm(status)
            self.refused(f"did not run this command (status {status})", arguments=("check",))

    # The running node

    def test_what_is_asked_of_the_node_is_asked_in_a_vm_without_its_cookie(self):
        told = self.fake_vm()
        dist = '-proto_dist inet6_tcp\n-kernel x y\n-ssl_dist_optfile "/etc/dist" # -epmd_module not\n'
        write(self.release / "etc" / "vm.dist.args", dist)
        before = tree(self.release)
        etc = str(self.release / "etc")
        for words, wanted in [
            (("status",), ["status", "once", "table"]),
            (("status", "--json"), ["status", "once", "json"]),
            (("status", "--watch", "--json"), ["status", "watch", "2", "json", "none"]),
            (("status", "--watch", "5"), ["status", "watch", "5", "table", "none"]),
            (("status", "--watch=10"), ["status", "watch", "10", "table", "none"]),
            (("probe", "push:localhost"), ["probe", "push:localhost"]),
            (("pause", "sns:localhost"), ["pause", "sns:localhost"]),
            (("resume", "http:a b:2"), ["resume", "http:a b:2"]),
            (("retry-now", "sns:localhost"), ["retry-now", "sns:localhost"]),
            (("drain", "sns:localhost"), ["drain", "sns:localhost", "60"]),
            (("drain", "--timeout", "0", "sns:localhost"), ["drain", "sns:localhost", "0"]),
            (("drop", "sns:localhost", "--all"), ["drop", "sns:localhost", "all"]),
            (("drop", "sns:localhost", "--older-than=3600"), ["drop", "sns:localhost", "3600"]),
        ]:
            self.done(*words, env={"ERL_FLAGS": "-sname foo", "TERM": "xterm"})
            where, variables, *seen, _ = told()
            self.assertEqual((str(self.release), f"{self.release} {self.release}/erts-15.2.7/bin"), (where, variables.strip()))
            self.assertEqual(["-s", "event_pusher_command", "main", "-extra", etc, *wanted], seen[seen.index("-s") :])
            package = self.script.parent / "lib" / "event_pusher-0.1.0" / "ebin"
            self.assertEqual(
                ["-setcookie", "none", "-pa", str(package), "-proto_dist", "inet6_tcp", "-ssl_dist_optfile", '"/etc/dist"'],
                seen[seen.index("-setcookie") : seen.index("-s")],
            )
            self.assertFalse({"-sname", "-name", "secret", "-args_file", "+P"} & set(seen))
            self.assertEqual(before, tree(self.release))

    def test_the_status_of_a_command_is_that_of_the_vm_unless_it_did_not_run(self):
        for words in [("status",), ("status", "--watch"), ("pause", "sns:localhost")]:
            self.fake_vm(3)
            result = self.run_script(*words)
            self.assertEqual((1, ""), (result.returncode, result.stderr))
            self.fake_vm(139)
            result = self.run_script(*words)
            self.assertEqual(1, result.returncode)
            self.assertIn("did not run this command (status 139)", result.stderr)

    def test_the_cookie_has_to_be_readable(self):
        self.vm_args.chmod(0o600)
        result = self.run_script("status", as_nobody=True)
        if os.geteuid() == 0:
            self.assertEqual(1, result.returncode)
            self.assertIn("cannot be read by", result.stderr)
        self.vm_args.unlink()
        result = self.run_script("status")
        self.assertIn(f"there is no {self.vm_args}", result.stderr)

    def on_a_terminal(self, view, end, environment=()):
        """Watches on a terminal of 80 by 30, with a VM that writes this; gives status and output."""
        write(self.release / "erts-15.2.7" / "bin" / "erlexec", f"#!/bin/sh\n{view}\n", 0o755)
        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        termios.tcsetwinsize(slave, (30, 80))
        before = termios.tcgetattr(slave)
        words = [*self.shell, self.script, "status", "--watch", "--release", self.release]
        variables = {"PATH": self.commands, "TERM": "xterm", "TMPDIR": str(self.place.path), **dict(environment)}

        def own_terminal():
            # Whoever runs these tests in the background ignores it.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

        process = subprocess.Popen(
            words, stdin=slave, stdout=slave, stderr=slave, env=variables, start_new_session=True, preexec_fn=own_terminal
        )
        self.addCleanup(self.end, process)
        seen = b""
        while b"the view" not in seen:
            seen += os.read(master, 4096)
        end(process, master)
        status = process.wait(20)
        os.set_blocking(master, False)
        try:
            while more := os.read(master, 4096):
                seen += more
        except OSError:
            pass
        self.assertEqual(before, termios.tcgetattr(slave))
        os.close(slave)
        self.assertEqual([], list(self.place.path.glob("tmp*")))
        return status, seen.decode()

    def test_a_watch_leaves_the_terminal_as_it_was(self):
        pid = self.place.path / "pid"
        # As a VM, it does not end with the first signal that its group gets.
        view = f'echo $$ >"{pid}"; for last in "$@"; do :; done; echo "the view, $last"; exec sleep 60'
        ctrl_c = lambda process, master: os.write(master, b"\x03")
        terminate = lambda process, master: process.terminate()
        for end, wanted in [(ctrl_c, 0), (terminate, 1)]:
            status, seen = self.on_a_terminal(view, end)
            self.assertEqual(wanted, status, seen)
            self.assertTrue(seen.startswith("\x1b[?1049h\x1b[?25lthe view, 30,80,colours"), repr(seen))
            self.assertTrue(seen.endswith("\x1b[m\x1b[?25h\x1b[?1049l"), repr(seen))
            self.assertNotIn("Terminated", seen)
            with self.assertRaises(ProcessLookupError):
                os.kill(int(pid.read_text()), 0)
        _, seen = self.on_a_terminal(view, ctrl_c, {"NO_COLOR": "1"}.items())
        self.assertIn("the view, 30,80,plain", seen)
        _, seen = self.on_a_terminal(view, ctrl_c, {"TERM": "dumb"}.items())
        self.assertNotIn("\x1b", seen)

    def test_an_error_of_a_watch_is_told_when_its_screen_is_gone(self):
        go = self.place.path / "go"
        os.mkfifo(go)
        view = f'echo "the view"; echo "event-pusher: gone" >&2; read line <"{go}"; exit 3'
        status, seen = self.on_a_terminal(view, lambda process, master: go.write_text("on\n"))
        self.assertEqual(1, status)
        self.assertTrue(seen.endswith("\x1b[m\x1b[?25h\x1b[?1049levent-pusher: gone\r\n"), repr(seen))

    # Usage

    def test_help_and_version_need_nothing_else(self):
        def says(*words):
            return subprocess.run([*self.shell, self.script, *words], capture_output=True, text=True, timeout=60)

        self.assertEqual("event_pusher 0.1.0\n", says("--version").stdout)
        self.assertIn("Usage: event-pusher install", says("--help").stdout)
        for command in COMMANDS:
            for words in [(command, "--help"), ("help", command)]:
                result = says(*words)
                self.assertEqual((0, ""), (result.returncode, result.stderr))
                self.assertIn(f"Usage: event-pusher {command}", result.stdout)

        for words in [(), ("remove",), ("install",), ("install", "--release"), ("install", "--release", ""), ("install", "x"),
                      ("install", "--config", "x", "--release", "y"), ("check", "--dry-run", "--release", "y"), ("help", "x"),
                      ("status", "x", "--release", "y"), ("status", "--watch", "0", "--release", "y"),
                      ("status", "--watch=3601", "--release", "y"), ("status", "--watch=1.5", "--release", "y"),
                      ("probe", "--release", "y"), ("pause", "--release", "y"), ("pause", "a", "b", "--release", "y"), ("pause", "a", "--all", "--release", "y"),
                      ("drain", "a", "--timeout", "x", "--release", "y"), ("drain", "a", "--timeout=99999999999999999999", "--release", "y"),
                      ("drop", "a", "--release", "y"), ("drop", "a", "--all", "--older-than", "1", "--release", "y")]:
            result = says(*words)
            self.assertEqual((2, ""), (result.returncode, result.stdout), words)
            self.assertIn("event-pusher", result.stderr)


@unittest.skipIf(shutil.which("busybox") is None, "busybox is not installed")
class ScriptUnderBusybox(Script):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        os.chmod(folder.name, 0o755)
        busybox = shutil.which("busybox")
        for applet in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
            os.symlink(busybox, f"{folder.name}/{applet}")
        cls.shell = [busybox, "sh"]
        cls.commands = folder.name


if __name__ == "__main__":
    unittest.main()

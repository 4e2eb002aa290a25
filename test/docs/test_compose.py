"""Whether docs/compose fits together: `python -m unittest` in this folder."""

import re
import unittest
from pathlib import Path

import yaml  # comes with moto

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs/compose"
# Unpacked by who follows the page.
PACKAGE = "./event_pusher"


def version():
    return re.search(r'{vsn, "(.*)"}', (ROOT / "erlang/bridge/event_pusher.app.src").read_text())[1]


class Compose(unittest.TestCase):
    def setUp(self):
        self.services = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
        self.page = (FOLDER / "README.md").read_text()

    def test_what_is_mounted_is_here_or_is_unpacked_by_the_page(self):
        sources = [mount.split(":")[0] for service in self.services.values() for mount in service["volumes"]]
        files = [source for source in sources if source.startswith("./") and source != PACKAGE]
        self.assertEqual(["mongooseim.toml", "receiver.py"], sorted(Path(file).name for file in files))
        for file in files:
            self.assertTrue((FOLDER / file).is_file(), file)
        self.assertIn(PACKAGE, sources)
        self.assertIn("-C event_pusher --strip-components 1", self.page)

    def test_the_variable_names_the_folder_of_this_version_where_it_is_mounted(self):
        server = self.services["mongooseim"]
        mounted = next(mount.split(":")[1] for mount in server["volumes"] if mount.startswith(PACKAGE + ":"))
        self.assertEqual(f"-pa {mounted}/lib/event_pusher-{version()}/ebin", server["environment"]["ERL_ZFLAGS"])
        self.assertIn(f"{mounted}/event-pusher check", self.page)
        self.assertIn(f"event_pusher-{version()}-linux-x86_64.tar.gz", self.page)

    def test_the_server_posts_to_the_other_service(self):
        self.assertIn('host = "http://receiver:8000"', (FOLDER / "mongooseim.toml").read_text())
        self.assertIn("receiver", self.services)
        self.assertIn('("", 8000)', (FOLDER / "receiver.py").read_text())

    def test_nothing_is_published_but_on_loopback(self):
        published = [port for service in self.services.values() for port in service.get("ports", [])]
        self.assertEqual(["127.0.0.1:5222:5222"], published)


if __name__ == "__main__":
    unittest.main()

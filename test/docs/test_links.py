"""What tools/links finds: `python -m unittest` in this folder."""

import importlib.util
import tempfile
import unittest
from importlib.machinery import SourceFileLoader
from pathlib import Path

ROOT = Path(__file__).parents[2]


def load():
    loader = SourceFileLoader("links", str(ROOT / "tools/links"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("links", loader))
    loader.exec_module(module)
    return module


LINKS = load()

OTHER = """# One `heading`, with_words!
### `modules.a.queue.max_age_ms`
## Twice
```
# no heading
```
## Twice
"""


class Links(unittest.TestCase):
    def dead(self, text):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "docs").mkdir()
            (Path(folder) / "docs/other.md").write_text(OTHER)
            (Path(folder) / "page.md").write_text(text)
            return LINKS.dead(Path(folder))

    def test_links_to_files_and_headings_are_alive(self):
        text = """# Here
        [a](docs/other.md) and [b
        c](docs/other.md#one-heading-with_words), [d](#here) [`e`](docs/other.md#modulesaqueuemax_age_ms)
        [f](docs/other.md#twice-1) [g](https://example.com/nothing#there) ![h](docs) [i][j]

[j]: docs/other.md#twice
"""
        self.assertEqual([], self.dead(text))

    def test_dead_links_are_named_with_their_line(self):
        dead = {
            "[a](docs/another.md)": "docs/another.md is not there",
            "[a](docs/other.md#no-heading)": "docs/other.md#no-heading has no heading for #no-heading",
            "[a](docs/other.md#twice-2)": "docs/other.md#twice-2 has no heading for #twice-2",
            "[a\nb](#here)": "#here has no heading for #here",
            "[a](../x.md)": "../x.md is outside of the repository",
            "[a]: nothing.md": "nothing.md is not there",
        }
        for text, complaint in dead.items():
            line = 3 + text.count("\n")
            self.assertEqual([f"page.md:{line}: {complaint}"], self.dead(f"# There\n\n{text}\n"), text)

    def test_code_is_not_looked_at(self):
        self.assertEqual([], self.dead("`[a](b.md)`\n\n```toml\n[c](d.md)\n```\n"))

    def test_of_links_to_missing_files_the_text_stays(self):
        text = """[a](docs/other.md) [`b`](native/b.rs) [c
        [1]](../c.md#there) ![d](d.svg) `[e](e.md)` [f](https://example.com/f) [g](#no-heading)
"""
        left = """[a](docs/other.md) `b` c
        [1] !d `[e](e.md)` [f](https://example.com/f) [g](#no-heading)
"""
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder).resolve()
            (root / "docs").mkdir()
            (root / "docs/other.md").write_text(OTHER)
            (root / "page.md").write_text(text)
            LINKS.cut_all(Path(folder))
            self.assertEqual((left, OTHER), ((root / "page.md").read_text(), (root / "docs/other.md").read_text()))
            self.assertEqual(1, len(LINKS.dead(root)), "a missing heading is dead still")

    def test_pages_that_were_built_are_not_looked_at(self):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "_build").mkdir()
            (Path(folder) / "_build/page.md").write_text("[a](b.md)")
            self.assertEqual([], LINKS.dead(Path(folder)))


if __name__ == "__main__":
    unittest.main()

"""The pages as people read them: a site without dead links, a short README, short sentences, paths that exist."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import CHECKOUT
from tests.docs.pages import FENCE, PAGES, prose_of

README_LINES = 200
SENTENCE_WORDS = 40
SUBJECTS = (
    *("own-data", "labels", "configuration", "datasets", "dicom", "encoders", "heads", "searches", "compare"),
    *("predict", "explain", "detection", "exchange", "store", "library", "cluster", "extending", "command-line"),
    *("results", "architecture", "troubleshooting", "index"),
)
MOST_BYTES = 400_000  # of a picture


def build(docs: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """The strict build of the site from the pages in `docs`."""
    config = docs.parent / "mkdocs.yml"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(config), "-d", str(site)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_the_site_builds_strictly_with_a_page_for_each_subject(tmp_path: Path) -> None:
    done = build(CHECKOUT / "docs", tmp_path / "site")
    assert done.returncode == 0, done.stderr
    assert {path.stem for path in (tmp_path / "site").glob("*.html")} >= set(SUBJECTS)


def test_a_dead_link_fails_the_build(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for name in ("index.md", "own-data.md"):
        (docs / name).write_text("# A page\n\n[nowhere](store.md#no-such-part)\n")
    (tmp_path / "mkdocs.yml").write_text((CHECKOUT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert build(docs, tmp_path / "site").returncode != 0


@pytest.mark.parametrize("page", [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_links_of_pages_outside_the_site_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert "://" in target or (page.parent / target).is_file(), f"{page.name} links to {target}"


def test_readme_is_short() -> None:
    assert len((CHECKOUT / "README.md").read_text(encoding="utf-8").splitlines()) <= README_LINES


@pytest.mark.parametrize("page", [*PAGES, CHECKOUT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_sentences_are_short(page: Path) -> None:
    long = [sentence for sentence in prose_of(page) if len(sentence.split()) > SENTENCE_WORDS]
    assert not long, long


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    named = re.findall(r"`((?:conf|docs|infra|jobs|platform|tests)/[\w./-]+\.\w+)`", text)
    made = re.compile("NAME|mystudy|softmax_pool|hillside")  # by `tilebank init`, or by following a recipe
    missing = [name for name in named if not made.search(name) and not (CHECKOUT / name).is_file()]
    assert not missing


def test_pictures_are_small() -> None:
    for picture in (CHECKOUT / "docs").glob("*.[pj][np]g"):
        assert picture.stat().st_size <= MOST_BYTES, picture.name

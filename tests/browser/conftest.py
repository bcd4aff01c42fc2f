"""The browser and the sites that the tests share, and why these tests do not run with the others."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import trustme

from tests.browser.elsewhere import Elsewhere, elsewhere
from tests.browser.site import Site, site
from tests.browser.visitor import ARGUMENTS, INSTALLED, Visitor, visiting

HERE = Path(__file__).parent
APP = "app.example.test"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """These need a browser: only when asked for."""
    if "browser" in config.getoption("markexpr"):
        return
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="needs a browser: make test-browser"))


def _playwright() -> Any:
    """Playwright's asyncio interface, from where tests/browser/install has put it."""
    if not (INSTALLED / "python").exists() or shutil.which("chromium") is None:
        pytest.skip("there is no browser; tests/browser/install says why, or installs it")
    if str(INSTALLED / "python") not in sys.path:
        sys.path.append(str(INSTALLED / "python"))
    return importlib.import_module("playwright.async_api").async_playwright()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Any]:
    """Chromium, without a window."""
    async with _playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        yield started
        await started.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def plain_site(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """On http and a loopback address, as one tries it out."""
    async with site(tmp_path_factory.mktemp("plain")) as made:
        yield made


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def tls_site(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """On https, as it is in earnest."""
    async with site(tmp_path_factory.mktemp("tls"), APP, trustme.CA()) as made:
        yield made


@pytest.fixture
def here(plain_site: Site) -> Site:
    """The plain site, as new."""
    plain_site.reset()
    return plain_site


@pytest.fixture
def secure(tls_site: Site) -> Site:
    """The site with TLS, as new."""
    tls_site.reset()
    return tls_site


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(browser: Any, here: Site, tmp_path: Path) -> AsyncIterator[Visitor]:
    """Somebody who visits the plain site; in the end nothing is found that a browser may not hold."""
    async with visiting(browser, tmp_path) as made:
        yield made
        await made.leave(here.front.to_browser, here.secrets())


@pytest_asyncio.fixture(loop_scope="session")
async def guest(browser: Any, secure: Site, tmp_path: Path) -> AsyncIterator[Visitor]:
    """The same at the site with TLS."""
    async with visiting(browser, tmp_path, tls=True) as made:
        yield made
        await made.leave(secure.front.to_browser, secure.secrets())


@pytest_asyncio.fixture(loop_scope="session")
async def other() -> AsyncIterator[Elsewhere]:
    """Somebody else's site."""
    async with elsewhere() as made:
        yield made

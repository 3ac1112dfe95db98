"""A simulated cloud of its own for every suite, and a way to tell how each step went."""

import json
import os
import re
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any
from urllib.parse import unquote_plus, urlsplit

Json = Any

POLL = re.compile("(operationStatuses|OperationsStatus)/{}$|/operations$")


class Sim:
    """`keyless sim --tls` in a process of its own, from `with` to its end."""

    def __init__(self, *, workspaces: int = 8, seed: int = 7, speed: float = 600) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="keyless-clients-")
        self.home = self._scratch.name
        numbers = {"--workspaces": workspaces, "--seed": seed, "--speed": speed}
        arguments = [text for name, value in numbers.items() for text in (name, str(value))]
        self._process = subprocess.Popen(
            [os.environ["KEYLESS"], "sim", "--tls", *arguments],
            stdout=subprocess.PIPE,
            # So that the file of its certificate authority goes away with the folder.
            env=os.environ | {"TMPDIR": self.home},
        )
        line = self._process.stdout.readline() if self._process.stdout else b""
        self.ready: dict[str, Json] = json.loads(line)
        self._tls = ssl.create_default_context(cafile=self.ready["caFile"])

    def __enter__(self) -> "Sim":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=30)
        self._scratch.cleanup()

    @property
    def base(self) -> str:
        """Scheme, host and port: the resource manager's, and the authority's too."""
        return self.ready["resourceManager"]

    def environment(self, metadata_version: str = "2022-09-01") -> dict[str, str]:
        """What leads an unchanged client here, and keeps its files out of the user's home."""
        return {
            "AZURE_AUTHORITY_HOST": self.base,
            "AZURE_TENANT_ID": "adfs",
            "AZURE_CLIENT_ID": self.ready["clientId"],
            "AZURE_CLIENT_SECRET": self.ready["clientSecret"],
            "AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential",
            "AZURE_CORE_INSTANCE_DISCOVERY": "false",
            "AZURE_CONFIG_DIR": os.path.join(self.home, "azure"),
            "ARM_CLOUD_METADATA_URL": f"{self.base}/metadata/endpoints?api-version={metadata_version}",
            "REQUESTS_CA_BUNDLE": self.ready["caFile"],
            "SSL_CERT_FILE": self.ready["caFile"],
            "HOME": self.home,
            "NO_PROXY": "127.0.0.1,localhost",
        }

    def control(self, path: str, body: Json = None) -> Json:
        """`/sim/{path}`: a GET, or a POST where there is a body."""
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"{self.base}/sim/{path}", data=data, context=self._tls, timeout=30) as answer:
            return json.load(answer)

    def cloud_name(self) -> str:
        """What the metadata document calls this cloud, for clients that must be told."""
        url = f"{self.base}/metadata/endpoints?api-version=2022-09-01"
        with urllib.request.urlopen(url, context=self._tls, timeout=30) as answer:
            return json.load(answer)["name"]

    def world(self) -> list[Json]:
        """Everything that truly exists."""
        return self.control("world")

    def truth(self, resource_id: str) -> Json:
        """The one resource as it truly is, or None."""
        wanted = resource_id.lower()
        return next((entry for entry in self.world() if entry["id"].lower() == wanted), None)

    def resources(self, kind: str) -> list[Json]:
        """Everything of one type, such as `Microsoft.Storage/storageAccounts`."""
        return [entry for entry in self.world() if entry.get("type", "").lower() == kind.lower()]

    def denied(self) -> int:
        """How many accesses were denied to those entitled to them, until now."""
        return self.control("oracle")["denied"]["entitled"]

    def recording(self) -> "Recording":
        """Notes the requests that arrive from here on."""
        return Recording(self)


class Recording:
    """The requests to the resource manager since its making, in order, as `METHOD path-template status`."""

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self._last = self._recent()[-1:]

    def _recent(self) -> list[Json]:
        return self._sim.control("requests?recent=1000")["recent"]

    def entries(self) -> list[Json]:
        """Each as `--record` writes it, and its `query` decoded; those that carry no token are left out."""
        found = self._recent()
        if self._last:
            assert self._last[0] in found, "more requests than are remembered"
            found = found[found.index(self._last[0]) + 1 :]
        carried = [entry for entry in found if "authorization" in entry["requestHeaders"]]
        return [entry | {"query": unquote_plus(urlsplit(entry["url"]).query)} for entry in carried]

    def lines(self) -> list[str]:
        """One line for each request; how often one asks what became of an operation is left to chance, and told once."""
        lines: list[str] = []
        for entry in self.entries():
            line = "{method} {operation} {status}".format(**entry)
            repeated = lines and lines[-1] == line and POLL.search(entry["operation"])
            if not repeated:
                lines.append(line)
        return lines


@contextmanager
def variables(changes: dict[str, str]) -> Iterator[None]:
    """The process's environment with these on top, until the end; an empty one is taken out."""
    before = dict(os.environ)
    os.environ.update(changes)
    for name in [name for name, value in changes.items() if not value]:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class Steps:
    """The steps of one client, run in the order in which they are written."""

    def __init__(self, client: str) -> None:
        self.client = client
        self._steps: list[tuple[str, Callable[[], None]]] = []

    def __call__(self, name: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
        def register(step: Callable[[], None]) -> Callable[[], None]:
            self._steps.append((name, step))
            return step

        return register

    def run(self) -> bool:
        """Runs all of them, whatever becomes of each; true if all passed."""
        print(f"{self.client} {version(self.client)}", flush=True)
        passed = True
        for name, step in self._steps:
            began = time.monotonic()
            try:
                step()
                outcome = "PASS"
            except Exception:
                traceback.print_exc(file=sys.stdout)
                outcome, passed = "FAIL", False
            print(f"{outcome} {self.client} {name} ({time.monotonic() - began:.1f} s)", flush=True)
        return passed


def eventually(look: Callable[[], Json]) -> Json:
    """What is found once anything is, looked for as long as ten seconds."""
    end = time.monotonic() + 10
    while not (found := look()):
        assert time.monotonic() < end, "nothing was found in ten seconds"
        time.sleep(0.05)
    return found


def same(got: Json, wanted: Json) -> None:
    """Fails with both sides printed unless they are equal."""
    assert got == wanted, f"\n   got: {got!r}\nwanted: {wanted!r}"

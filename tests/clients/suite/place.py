"""An account and a workspace of a simulated fleet to try things on."""

import functools
from collections.abc import Callable

from common import Json, Sim

ACCOUNTS = "Microsoft.Storage/storageAccounts"
WORKSPACES = "Microsoft.MachineLearningServices/workspaces"
BLOB_READER = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"
BLOB_READER_NAME = "Storage Blob Data Reader"


class Place:
    """An account and a workspace of the simulated fleet to try things on, and how clients are made for it."""

    def __init__(self, sim: Sim) -> None:
        self.sim = sim
        used = {
            (entry["properties"].get("storageAccount") or "").lower(): entry
            for entry in sim.resources(WORKSPACES)
            if entry["kind"].lower() == "default" and mode(entry) == "accesskey"
        }
        self.account: Json = next(
            entry
            for entry in sim.resources(ACCOUNTS)
            if entry["id"].lower() in used and entry["properties"].get("allowSharedKeyAccess") is not False
        )
        self.workspace: Json = used[self.account["id"].lower()]
        self.subscription = self.account["id"].split("/")[2]
        self.group = self.account["id"].split("/")[4]
        self.user: Json = sim.resources("Microsoft.Graph/users")[0]

    def own(self, kind: str) -> list[Json]:
        """What of a type is in the subscription."""
        return [entry for entry in self.sim.resources(kind) if entry["id"].split("/")[2] == self.subscription]

    @functools.cached_property
    def credential(self) -> Json:
        """The usual one, which reads the environment."""
        from azure.identity import DefaultAzureCredential

        return DefaultAzureCredential()

    def client(self, of: Callable[..., Json], subscription: str | None = None, **more: Json) -> Json:
        """A client of a subscription, led here by nothing but its arguments."""
        base = self.sim.base
        return of(
            self.credential,
            subscription or self.subscription,
            base_url=base,
            credential_scopes=[f"{base}/.default"],
            **more,
        )

    def truth(self, of: Json) -> Json:
        """A resource as it truly is by now."""
        return self.sim.truth(of["id"])


def mode(workspace: Json) -> str:
    return (workspace["properties"].get("systemDatastoresAuthMode") or "accesskey").lower()


def names(of: Json) -> list[str]:
    return sorted(entry.name for entry in of)


def fails(kind: type[Exception], call: Callable[[], Json]) -> Json:
    """The error that the call must end with."""
    try:
        got = call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was expected, and the answer was {got!r}")


def names_of(of: Json) -> list[str]:
    """The names of resources in JSON, sorted."""
    return sorted(entry["name"] for entry in of)

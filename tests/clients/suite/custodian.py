"""Cloud Custodian, started through a few lines that lead it here."""

import json
import os
import subprocess
import sys

from common import Json, Sim, Steps, same
from place import ACCOUNTS, BLOB_READER, BLOB_READER_NAME, WORKSPACES, Place, names_of

ACCOUNT_LOCKS = (
    "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Storage/storageAccounts/{}"
    "/providers/Microsoft.Authorization/locks"
)


class Custodian:
    """Runs one policy at a time, and tells what it matched."""

    def __init__(self, place: Place) -> None:
        sim, nowhere = place.sim, "http://127.0.0.1:9"
        self._home = sim.home
        self._environment = os.environ | sim.environment() | {
            "AZURE_SUBSCRIPTION_ID": place.subscription,
            "AZURE_TENANT_ID": sim.ready["tenantId"],
            "HTTPS_PROXY": nowhere,
            "HTTP_PROXY": nowhere,
        }

    def __call__(self, resource: str, **policy: Json) -> list[Json]:
        """The resources that a policy matched (and acted on), as Custodian wrote them down."""
        path, out = os.path.join(self._home, "policy.json"), os.path.join(self._home, "out")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"policies": [{"name": "try", "resource": resource} | policy]}, file)
        start = os.path.join(os.path.dirname(os.path.abspath(__file__)), "custodian_start.py")
        command = [sys.executable, start, "run", "--cache-period", "0", "-s", out, path]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=300, check=False)
        said = done.stdout + done.stderr
        assert done.returncode == 0 and "Traceback" not in said and ":ERROR" not in said, f"{done.returncode}\n{said}"
        with open(os.path.join(out, "try", "resources.json"), encoding="utf-8") as file:
            return json.load(file)


def storage(steps: Steps, custodian: Custodian, place: Place) -> None:
    account = place.account
    only = {"type": "value", "key": "name", "value": account["name"]}
    own = place.own(ACCOUNTS)

    @steps("a value filter finds the accounts whose key is not off, absence included")
    def _() -> None:
        not_off = {"type": "value", "key": "properties.allowSharedKeyAccess", "op": "ne", "value": False}
        found = custodian("azure.storage", filters=[not_off])
        wanted = [entry for entry in own if entry["properties"].get("allowSharedKeyAccess") is not False]
        same(names_of(found), names_of(wanted))
        place.sim.control("drift", {"change": "sharedKey", "target": account["id"], "value": False})
        left = [entry for entry in wanted if entry["name"] != account["name"]]
        same(names_of(custodian("azure.storage", filters=[not_off])), names_of(left))
        place.sim.control("drift", {"change": "sharedKey", "target": account["id"], "value": True})

    @steps("the action require-secure-transfer takes effect")
    def _() -> None:
        insecure = place.truth(account)
        insecure["properties"] |= {"supportsHttpsTrafficOnly": False, "minimumTlsVersion": "TLS1_0"}
        place.sim.control("drift", {"change": "resourcePut", "target": account["id"], "value": insecure})
        action = {"type": "require-secure-transfer", "value": True, "minimum_tls_version": "TLS1_2"}
        same(names_of(custodian("azure.storage", filters=[only], actions=[action])), [account["name"]])
        true = place.truth(account)["properties"]
        same((true["supportsHttpsTrafficOnly"], true["minimumTlsVersion"]), (True, "TLS1_2"))
        same(true["allowSharedKeyAccess"], True)

    @steps("the action tag keeps the tags that are there")
    def _() -> None:
        tagged = place.truth(account) | {"tags": {"team": "churn"}}
        place.sim.control("drift", {"change": "resourcePut", "target": account["id"], "value": tagged})
        custodian("azure.storage", filters=[only], actions=[{"type": "tag", "tag": "checked", "value": "yes"}])
        same(place.truth(account)["tags"], {"team": "churn", "checked": "yes"})

    @steps("the metric filter tells used keys from unused ones")
    def _() -> None:
        used = {
            "type": "metric", "metric": "Transactions", "aggregation": "total", "op": "gt", "threshold": 0,
            "timeframe": 24, "interval": "P1D", "filter": "Authentication eq 'AccountKey'",
        }
        same(names_of(custodian("azure.storage", filters=[only, used])), [account["name"]])
        same(custodian("azure.storage", filters=[only, used | {"threshold": 10**15}]), [])

    @steps("the action lock locks, and the filter resource-lock finds it")
    def _() -> None:
        filters = [only, {"type": "resource-lock", "lock-type": "ReadOnly"}]
        same(custodian("azure.storage", filters=filters), [])
        recording = place.sim.recording()
        custodian("azure.storage", filters=[only], actions=[{"type": "lock", "lock-type": "ReadOnly"}])
        assert f"PUT {ACCOUNT_LOCKS}/{{}} 201" in recording.lines(), recording.lines()
        [lock] = place.sim.resources("Microsoft.Authorization/locks")
        same(lock["properties"]["level"], "ReadOnly")
        assert lock["id"].lower().startswith(account["id"].lower()), lock
        same(names_of(custodian("azure.storage", filters=filters)), [account["name"]])
        same(custodian("azure.storage", filters=[only, {"type": "resource-lock", "lock-type": "Absent"}]), [])
        place.sim.control("drift", {"change": "lockRemoved", "target": account["id"]})

    @steps("Resource Graph gives the same accounts")
    def _() -> None:
        found = custodian("azure.storage", source="resource-graph")
        same(names_of(found), names_of(own))
        everything = [entry["id"] for entry in custodian("azure.armresource", source="resource-graph")]
        assert {entry["id"] for entry in own} < set(everything), everything


def others(steps: Steps, custodian: Custodian, place: Place) -> None:
    scope, user = place.account["id"], place.user["id"]

    @steps("workspaces are listed, in a version that is older than the mode")
    def _() -> None:
        own = place.own(WORKSPACES)
        found = custodian("azure.machine-learning-workspace")
        same(names_of(found), names_of(own))
        assert all("systemDatastoresAuthMode" not in entry["properties"] for entry in found)

    @steps("role assignments are named from the directory, filtered by role, and deleted")
    def _() -> None:
        name = "0f6c7b8a-2d1e-4c3f-9a4b-6d7e8f901299"
        grant = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"
        value = {"principalId": user, "roleDefinitionId": BLOB_READER, "principalType": "User"}
        place.sim.control("drift", {"change": "grantAdded", "target": grant, "value": value})
        readers = {"type": "role", "key": "properties.roleName", "op": "eq", "value": BLOB_READER_NAME}
        mine = {"type": "value", "key": "properties.principalId", "value": user}
        at = {"type": "value", "key": "properties.scope", "value": scope}
        [found] = custodian("azure.roleassignment", filters=[mine, at, readers])
        same((found["name"], found["displayName"], found["aadType"]), (name, place.user["displayName"], "User"))
        assert "principalType" not in found["properties"], "2015-07-01 does not know it"
        custodian("azure.roleassignment", filters=[mine, at, readers], actions=["delete"])
        same(place.sim.truth(grant), None)

    @steps("resources of every type are listed with their groups")
    def _() -> None:
        found = {entry["id"].lower() for entry in custodian("azure.armresource")}
        for kind in (ACCOUNTS, WORKSPACES):
            own = {entry["id"] for entry in place.own(kind)}
            assert {resource.lower() for resource in own} <= found, kind


def main() -> int:
    with Sim() as sim:
        place = Place(sim)
        custodian = Custodian(place)
        steps = Steps("c7n-azure")
        storage(steps, custodian, place)
        others(steps, custodian, place)
        return 0 if steps.run() else 1


if __name__ == "__main__":
    sys.exit(main())

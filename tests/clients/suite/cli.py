"""The Azure CLI, pointed here by `az cloud register` and by nothing else."""

import json
import os
import subprocess
import sys
import uuid

from common import Json, Sim, Steps, same
from place import ACCOUNTS, BLOB_READER, BLOB_READER_NAME, WORKSPACES, Place, mode, names_of

ACCOUNT_PATH = "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Storage/storageAccounts/{}"
GRANTS = f"{ACCOUNT_PATH}/providers/Microsoft.Authorization/roleAssignments"


class Az:
    """`az` with a configuration folder of its own and no way to any other host."""

    def __init__(self, sim: Sim) -> None:
        nowhere = "http://127.0.0.1:9"
        self._environment = os.environ | sim.environment() | {
            "AZURE_CORE_COLLECT_TELEMETRY": "no",
            "AZURE_CORE_NO_COLOR": "true",
            "HTTPS_PROXY": nowhere,
            "HTTP_PROXY": nowhere,
        }
        # The registered cloud is to lead here, not this.
        del self._environment["ARM_CLOUD_METADATA_URL"]

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "azure.cli", *words]
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=300, check=False)

    def __call__(self, *words: str) -> Json:
        """What a command that must succeed prints."""
        done = self._run(*words, "--output", "json")
        assert done.returncode == 0, f"az {' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    def fails(self, *words: str) -> str:
        """What a command that must fail says."""
        done = self._run(*words)
        assert done.returncode != 0, f"az {' '.join(words)} succeeded:\n{done.stdout}"
        return done.stderr


def sign_in(steps: Steps, az: Az, place: Place) -> None:
    sim = place.sim

    @steps("cloud register and cloud set find everything in the metadata")
    def _() -> None:
        az("cloud", "register", "-n", "Simulated", "--endpoint-resource-manager", sim.base)
        az("cloud", "set", "-n", "Simulated")
        endpoints = az("cloud", "show")["endpoints"]
        same((endpoints["resourceManager"], endpoints["activeDirectory"]), (sim.base, sim.base))

    @steps("login with a wrong secret is refused")
    def _() -> None:
        wrong = ["-u", sim.ready["clientId"], "-p", "wrong", "--tenant", sim.ready["tenantId"]]
        assert "AADSTS7000215" in az.fails("login", "--service-principal", *wrong)

    @steps("login --service-principal lists the subscriptions, and account shows one")
    def _() -> None:
        ready = sim.ready
        secret = ["-u", ready["clientId"], "-p", ready["clientSecret"], "--tenant", ready["tenantId"]]
        listed = az("login", "--service-principal", *secret)
        everywhere = {entry["id"].split("/")[2] for entry in sim.resources(ACCOUNTS)}
        assert everywhere <= {one["id"] for one in listed}, listed
        az("account", "set", "--subscription", place.subscription)
        shown = az("account", "show")
        same((shown["id"], shown["user"]["name"]), (place.subscription, ready["clientId"]))


def accounts(steps: Steps, az: Az, place: Place) -> None:
    account, group = place.account, place.group
    by_name = ["-n", account["name"], "-g", group]

    @steps("group show, and a group that is not there")
    def _() -> None:
        same(az("group", "show", "-n", group)["name"].lower(), group.lower())
        assert "ResourceGroupNotFound" in az.fails("group", "show", "-n", "rg-nobody")

    @steps("storage account show finds an account with its group and without")
    def _() -> None:
        for words in (by_name, by_name[:2]):
            same(az("storage", "account", "show", *words)["id"], account["id"])

    @steps("storage account list, of a subscription and of a group")
    def _() -> None:
        own = place.own(ACCOUNTS)
        same(names_of(az("storage", "account", "list")), names_of(own))
        in_group = [entry for entry in own if entry["id"].split("/")[4].lower() == group.lower()]
        same(names_of(az("storage", "account", "list", "-g", group)), names_of(in_group))

    @steps("storage account update --allow-shared-key-access turns the key off and on")
    def _() -> None:
        for word, allowed in (("false", False), ("true", True)):
            recording = place.sim.recording()
            updated = az("storage", "account", "update", *by_name, "--allow-shared-key-access", word)
            same(updated["allowSharedKeyAccess"], allowed)
            same(place.truth(account)["properties"]["allowSharedKeyAccess"], allowed)
            same(recording.lines(), [f"GET {ACCOUNT_PATH} 200", f"PATCH {ACCOUNT_PATH} 200"])
        kept = place.truth(account)["properties"]
        for name in ("creationTime", "primaryEndpoints", "networkAcls"):
            same(kept.get(name), account["properties"].get(name))

    @steps("storage account keys list")
    def _() -> None:
        keys = az("storage", "account", "keys", "list", *by_name)
        same([key["keyName"] for key in keys], ["key1", "key2"])


def grants(steps: Steps, az: Az, place: Place) -> None:
    scope, user = place.account["id"], place.user["id"]
    whom = ["--assignee-object-id", user, "--assignee-principal-type", "User"]
    create = ["role", "assignment", "create", "--scope", scope]
    contributor = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"

    def held(principal: str, role: str) -> bool:
        return any(
            entry["properties"]["principalId"] == principal
            and entry["properties"]["roleDefinitionId"].endswith(role)
            and entry["properties"]["scope"].lower() == scope.lower()
            for entry in place.sim.resources("Microsoft.Authorization/roleAssignments")
        )

    @steps("role definition list --name")
    def _() -> None:
        [role] = az("role", "definition", "list", "--name", BLOB_READER_NAME)
        same((role["name"], role["roleName"]), (BLOB_READER, BLOB_READER_NAME))

    @steps("role assignment create, by the role's name, and again with the same outcome")
    def _() -> None:
        assert not held(user, BLOB_READER)
        made = az(*create, "--role", BLOB_READER_NAME, *whom)
        assert held(user, BLOB_READER)
        recording = place.sim.recording()
        again = az(*create, "--role", BLOB_READER_NAME, *whom)
        same(again["name"], made["name"])
        assert f"PUT {GRANTS}/{{}} 409" in recording.lines(), recording.lines()

    @steps("role assignment create, by the role's GUID, is one PUT")
    def _() -> None:
        recording = place.sim.recording()
        az(*create, "--role", contributor, *whom)
        assert held(user, contributor)
        same(recording.lines(), [f"PUT {GRANTS}/{{}} 201"])

    @steps("role assignment create --assignee finds an application in the directory")
    def _() -> None:
        made = az(*create, "--role", BLOB_READER, "--assignee", place.sim.ready["clientId"])
        same(made["principalType"], "ServicePrincipal")
        assert held(made["principalId"], BLOB_READER)
        assert "Cannot find user or service principal" in az.fails(
            *create, "--role", BLOB_READER, "--assignee", str(uuid.uuid4())
        )

    @steps("role assignment list names principals and roles")
    def _() -> None:
        listed = az("role", "assignment", "list", "--scope", scope)
        [own] = [one for one in listed if one["principalId"] == user and one["roleDefinitionName"] == BLOB_READER_NAME]
        assert own["principalName"], own
        plain = ["--fill-principal-name", "false", "--fill-role-definition-name", "false"]
        recording = place.sim.recording()
        assert len(az("role", "assignment", "list", "--scope", scope, *plain)) == len(listed)
        same(recording.lines(), [f"GET {GRANTS} 200"])
        narrowed = az("role", "assignment", "list", "--scope", scope, "--assignee", place.sim.ready["clientId"])
        same([one["roleDefinitionName"] for one in narrowed], [BLOB_READER_NAME])

    @steps("role assignment delete, and deleting what is not there is an error")
    def _() -> None:
        delete = ["role", "assignment", "delete", "--assignee-object-id", user, "--scope", scope]
        az(*delete, "--role", BLOB_READER_NAME)
        assert not held(user, BLOB_READER) and held(user, contributor)
        az(*delete)
        assert not held(user, contributor)
        az.fails(*delete)


def anything(steps: Steps, az: Az, place: Place) -> None:
    workspace, account = place.workspace["id"], place.account["id"]
    body = '{"properties":{"systemDatastoresAuthMode":"identity"}}'

    @steps("rest sends just the request")
    def _() -> None:
        recording = place.sim.recording()
        read = az("rest", "--method", "get", "--url", f"{account}?api-version=2023-05-01")
        same(read["id"], account)
        az("rest", "--method", "patch", "--url", f"{account}?api-version=2023-05-01", "--body", '{"tags":{"a":"b"}}')
        same(place.truth(place.account)["tags"], {"a": "b"})
        same(recording.lines(), [f"GET {ACCOUNT_PATH} 200", f"PATCH {ACCOUNT_PATH} 200"])

    @steps("resource show, patch and update switch the mode of a workspace")
    def _() -> None:
        shown = az("resource", "show", "--ids", workspace)
        same(shown["properties"]["systemDatastoresAuthMode"].lower(), "accesskey")
        az("resource", "patch", "--ids", workspace, "--properties", json.dumps(json.loads(body)["properties"]))
        same(mode(place.truth(place.workspace)), "identity")
        before = place.truth(place.workspace)
        az("resource", "update", "--ids", workspace, "--set", "properties.systemDatastoresAuthMode=accesskey")
        after = place.truth(place.workspace)
        same(mode(after), "accesskey")
        for name in ("workspaceId", "storageAccount"):
            same(after["properties"][name], before["properties"][name])
        same((after["kind"], after.get("tags")), (before["kind"], before.get("tags")))

    @steps("resource list and tag")
    def _() -> None:
        own = place.own(WORKSPACES)
        same(names_of(az("resource", "list", "--resource-type", WORKSPACES)), names_of(own))
        az("tag", "update", "--resource-id", account, "--operation", "Merge", "--tags", "ring=1")
        same(place.truth(place.account)["tags"], {"a": "b", "ring": "1"})

    @steps("lock create, list and delete, of a resource and of a group")
    def _() -> None:
        on = ["--resource", place.account["name"], "-g", place.group, "--resource-type", ACCOUNTS]
        made = az("lock", "create", "-n", "keep", "--lock-type", "ReadOnly", *on)
        same(made["level"], "ReadOnly")
        same(names_of(az("lock", "list", *on)), ["keep"])
        refused = az.fails("storage", "account", "update", "--ids", account, "--allow-shared-key-access", "false")
        assert "ScopeLocked" in refused, refused
        same(names_of(az("lock", "list", "-g", place.group)), ["keep"])
        az("lock", "delete", "-n", "keep", *on)
        same(place.sim.resources("Microsoft.Authorization/locks"), [])

    @steps("monitor metrics list, whole and by dimension")
    def _() -> None:
        usual = ["monitor", "metrics", "list", "--resource", account, "--metric", "Transactions", "--interval", "PT1H"]
        usual += ["--aggregation", "Total", "--offset", "1d"]
        keys = az(*usual, "--filter", "Authentication eq 'AccountKey'")["value"][0]["timeseries"]
        assert sum(point.get("total") or 0 for series in keys for point in series["data"]) > 0, keys
        split = az(*usual, "--dimension", "Authentication")["value"][0]["timeseries"]
        assert "AccountKey" in [series["metadatavalues"][0]["value"] for series in split], split

    @steps("policy assignment list -g")
    def _() -> None:
        scope = f"/subscriptions/{place.subscription}/resourceGroups/{place.group}"
        policy = f"{scope}/providers/Microsoft.Authorization/policyAssignments/no-keys"
        definition = "/providers/Microsoft.Authorization/policyDefinitions/8c6a50c6-9ffd-4ae7-986f-5fa6111f9a54"
        value = {"id": policy, "name": "no-keys", "properties": {"policyDefinitionId": definition, "scope": scope}}
        place.sim.control("drift", {"change": "resourcePut", "target": policy, "value": value})
        same(names_of(az("policy", "assignment", "list", "-g", place.group)), ["no-keys"])


def sign_out(steps: Steps, az: Az, place: Place) -> None:
    @steps("logout forgets everything")
    def _() -> None:
        az("logout")
        assert "az login" in az.fails("group", "show", "-n", place.group)


def main() -> int:
    with Sim() as sim:
        az, place = Az(sim), Place(sim)
        steps = Steps("azure-cli")
        for part in (sign_in, accounts, grants, anything, sign_out):
            part(steps, az, place)
        return 0 if steps.run() else 1


if __name__ == "__main__":
    sys.exit(main())

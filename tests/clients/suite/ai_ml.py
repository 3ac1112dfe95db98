"""azure-ai-ml as its users call it, led to the simulator by nothing but the environment."""

import os
import sys
from collections.abc import Callable
from typing import Any

from common import Json, Sim, Steps, eventually, same, variables

from azure.ai.ml import MLClient
from azure.ai.ml.entities import (
    AzureBlobDatastore,
    AzureDataLakeGen1Datastore,
    AzureDataLakeGen2Datastore,
    AzureFileDatastore,
    Hub,
    Project,
    Workspace,
)
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import DefaultAzureCredential

steps = Steps("azure-ai-ml")

GROUP = "/subscriptions/{}/resourceGroups/{}"
WORKSPACES = f"{GROUP}/providers/Microsoft.MachineLearningServices/workspaces"
WORKSPACE = f"{WORKSPACES}/{{}}"
STORES = f"{WORKSPACE}/datastores"
DEPLOYMENT = f"{GROUP}/providers/Microsoft.Resources/deployments/{{}}"
OPERATIONS = f"{GROUP}/deployments/{{}}/operations"
WORKSPACE_POLL = (
    "GET /subscriptions/{}/providers/Microsoft.MachineLearningServices/locations/{}/workspaceOperationsStatus/{} 200"
)
READ = f"GET {WORKSPACE} 200"
UPDATE = [READ, f"PATCH {WORKSPACE} 202", WORKSPACE_POLL, READ]
DEPLOY = [
    f"PUT {DEPLOYMENT} 201",
    f"GET {DEPLOYMENT}/operationStatuses/{{}} 200",
    f"GET {DEPLOYMENT} 200",
    f"GET {OPERATIONS} 200",
    READ,
]


class Estate:
    """One resource group of the simulated cloud, and a client of it."""

    def __init__(self, sim: Sim) -> None:
        self.sim = sim
        found = sim.resources("Microsoft.MachineLearningServices/workspaces")
        self.hub = next(entry for entry in found if entry["kind"] == "Hub")
        _, _, self.subscription, _, self.group, *_ = self.hub["id"].split("/")
        self.plain = next(
            entry
            for entry in found
            if entry["kind"] == "Default" and entry["id"].startswith(self.scope + "/") and mode(entry) == "accesskey"
        )
        self.account = self.hub["properties"]["storageAccount"]
        self.client = MLClient(DefaultAzureCredential(), self.subscription, self.group)

    def inside(self, workspace: str) -> MLClient:
        """A client of one workspace."""
        return MLClient(DefaultAzureCredential(), self.subscription, self.group, workspace)

    @property
    def scope(self) -> str:
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"

    def id(self, name: str) -> str:
        return f"{self.scope}/providers/Microsoft.MachineLearningServices/workspaces/{name}"

    def truth(self, name: str) -> Json:
        """The workspace as it truly is, or None."""
        return self.sim.truth(self.id(name))

    def scopes_granted_to(self, principal: str) -> set[str]:
        """Where a principal holds a role, in lower case."""
        grants = [grant["properties"] for grant in self.sim.resources("Microsoft.Authorization/roleAssignments")]
        return {grant["scope"].lower() for grant in grants if grant["principalId"] == principal}


def mode(workspace: Json) -> str:
    """The true mode in lower case; none at all is the documented default."""
    return workspace["properties"].get("systemDatastoresAuthMode", "accesskey").lower()


def refused(call: Callable[[], Any], code: str, kind: type[HttpResponseError] = HttpResponseError) -> None:
    """Fails unless the call raises an error that names the code."""
    try:
        call()
    except kind as error:
        assert code in str(error), f"not {code}: {error}"
    else:
        raise AssertionError(f"nothing was refused with {code}")


def reading(estate: Estate) -> None:
    client, sim, plain = estate.client, estate.sim, estate.plain

    @steps("get a workspace")
    def _() -> None:
        recording = sim.recording()
        workspace = client.workspaces.get(plain["name"])
        same(type(workspace), Workspace)
        same((workspace.id, workspace.storage_account), (plain["id"], plain["properties"]["storageAccount"]))
        same((workspace.system_datastores_auth_mode or "accesskey").lower(), "accesskey")
        same(recording.lines(), [READ])
        same(recording.entries()[0]["query"], "api-version=2024-10-01-preview")

    @steps("a workspace that is not there is told as such")
    def _() -> None:
        refused(lambda: client.workspaces.get("nowhere"), "ResourceNotFound", ResourceNotFoundError)

    @steps("list the workspaces of the group")
    def _() -> None:
        recording = sim.recording()
        names = sorted(workspace.name for workspace in client.workspaces.list())
        true = sim.resources("Microsoft.MachineLearningServices/workspaces")
        same(names, sorted(entry["name"] for entry in true if entry["id"].lower().startswith(estate.scope.lower() + "/")))
        same(recording.lines(), [f"GET {WORKSPACES} 200"])


def switching(estate: Estate) -> None:
    client, sim, plain = estate.client, estate.sim, estate.plain
    inside = estate.inside(plain["name"])

    for wanted in ("identity", "accesskey", "accesskey"):

        @steps(f"switch a workspace to {wanted}")
        def _(wanted: str = wanted) -> None:
            before = estate.truth(plain["name"])
            recording = sim.recording()
            workspace = client.workspaces.get(plain["name"])
            workspace.system_datastores_auth_mode = wanted
            answer = client.workspaces.begin_update(workspace).result()
            same(answer.system_datastores_auth_mode, wanted)
            same(recording.lines(), [READ, *UPDATE])
            after = estate.truth(plain["name"])
            same(mode(after), wanted)
            for name in ("storageAccount", "keyVault", "workspaceId", "provisioningState"):
                same(after["properties"].get(name), before["properties"].get(name))
            same((after["identity"], after["kind"]), (before["identity"], before["kind"]))
            system = inside.datastores.get("workspaceblobstore").credentials.type
            same(system, "None" if wanted == "identity" else "account_key")

    @steps("the mode of a hub is shown by begin_update alone")
    def _() -> None:
        hub = client.workspaces.get(estate.hub["name"])
        same((type(hub), hub.system_datastores_auth_mode), (Hub, None))
        hub.system_datastores_auth_mode = "identity"
        answer = client.workspaces.begin_update(hub).result()
        same((type(answer), answer.system_datastores_auth_mode), (Workspace, "identity"))
        same(mode(estate.truth(hub.name)), "identity")
        same(client.workspaces.get(hub.name).system_datastores_auth_mode, None)
        hub.system_datastores_auth_mode = "accesskey"
        client.workspaces.begin_update(hub).result()
        same(mode(estate.truth(hub.name)), "accesskey")

    @steps("an operation that fails is raised with its code")
    def _() -> None:
        workspace = client.workspaces.get(plain["name"])
        workspace.system_datastores_auth_mode = "UserDelegationSAS"
        refused(lambda: client.workspaces.begin_update(workspace).result(), "InternalServerError")
        same(mode(estate.truth(plain["name"])), "accesskey")


def creating(estate: Estate) -> None:
    client, sim = estate.client, estate.sim

    @steps("create a hub on an account that is there")
    def _() -> None:
        recording = sim.recording()
        hub = Hub(
            name="client-hub",
            location="westeurope",
            display_name="A hub",
            storage_account=estate.account,
            system_datastores_auth_mode="identity",
        )
        made = client.workspaces.begin_create(hub).result()
        same((type(made), made.storage_account.lower()), (Hub, estate.account.lower()))
        same(recording.lines(), [f"GET {WORKSPACE} 404", *DEPLOY])
        true = estate.truth("client-hub")
        same((true["kind"].lower(), mode(true), true["properties"]["friendlyName"]), ("hub", "identity", "A hub"))
        assert true["tags"]["createdByToolkit"].startswith("sdk-v2-"), true["tags"]
        assert sim.truth(true["properties"]["keyVault"]), "its key vault was not made"
        assert "applicationInsights" not in true["properties"], "a hub was given Application Insights"
        wanted = {estate.account.lower(), estate.scope.lower()}
        eventually(lambda: estate.scopes_granted_to(true["identity"]["principalId"]) == wanted)

    @steps("create a project in that hub")
    def _() -> None:
        hub = estate.id("client-hub")
        project = Project(name="client-project", hub_id=hub, location="westeurope")
        made = client.workspaces.begin_create(project).result()
        same((type(made), made.hub_id), (Project, hub))
        true = estate.truth("client-project")
        same((true["kind"].lower(), mode(true)), ("project", "accesskey"))
        same(true["properties"]["storageAccount"].lower(), estate.account.lower())
        same(estate.truth("client-hub")["properties"]["associatedWorkspaces"], [true["id"]])

    @steps("create a workspace with all that it stands on")
    def _() -> None:
        recording = sim.recording()
        made = client.workspaces.begin_create(Workspace(name="client-plain", tags={"team": "churn"})).result()
        same(type(made), Workspace)
        same(recording.lines(), [f"GET {WORKSPACE} 404", f"GET {GROUP} 200", *DEPLOY])
        true = estate.truth("client-plain")
        same((true["kind"].lower(), mode(true), true["tags"]["team"]), ("default", "accesskey", "churn"))
        account = sim.truth(true["properties"]["storageAccount"])
        same((made.storage_account, account["kind"]), (account["id"], "StorageV2"))
        assert "allowSharedKeyAccess" not in account["properties"], account
        for name in ("keyVault", "applicationInsights"):
            assert sim.truth(true["properties"][name]), f"{name} was not made"
        assert len(sim.resources("Microsoft.OperationalInsights/workspaces")) == 1

    @steps("creating what is there updates it")
    def _() -> None:
        recording = sim.recording()
        workspace = Workspace(name="client-plain", display_name="Renamed", system_datastores_auth_mode="identity")
        made = client.workspaces.begin_create(workspace).result()
        same((made.display_name, made.system_datastores_auth_mode), ("Renamed", "identity"))
        same(recording.lines(), [READ, *UPDATE])
        same(mode(estate.truth("client-plain")), "identity")

    @steps("a deployment tells what its resource was refused for")
    def _() -> None:
        lock = f"{estate.scope}/providers/Microsoft.Authorization/locks/client-lock"
        sim.control("drift", {"change": "lockAdded", "target": lock, "value": {"properties": {"level": "ReadOnly"}}})
        try:
            workspace = Workspace(name="client-locked", location="westeurope")
            refused(lambda: client.workspaces.begin_create(workspace).result(), "ScopeLocked")
            same(estate.truth("client-locked"), None)
        finally:
            sim.control("drift", {"change": "lockRemoved", "target": lock})


def storing(estate: Estate) -> None:
    sim = estate.sim
    name = estate.plain["name"]
    client = estate.inside(name)
    account = estate.account.split("/")[-1]

    @steps("list the datastores")
    def _() -> None:
        recording = sim.recording()
        stores = {store.name: store for store in client.datastores.list()}
        assert {"workspaceblobstore", "workspacefilestore"} <= stores.keys(), stores.keys()
        same(recording.lines(), [f"GET {STORES} 200"])
        query = set(recording.entries()[0]["query"].split("&"))
        same(query - {"api-version=2024-10-01-preview"}, {"count=30", "orderByAsc=false"})

    @steps("get the default datastore")
    def _() -> None:
        recording = sim.recording()
        same(client.datastores.get_default().name, "workspaceblobstore")
        assert "isDefault=true" in recording.entries()[0]["query"], recording.entries()

    stores = [
        AzureBlobDatastore(name="client_blob", account_name=account, container_name="raw"),
        AzureFileDatastore(name="client_file", account_name=account, file_share_name="share"),
        AzureDataLakeGen2Datastore(name="client_lake2", account_name=account, filesystem="lake"),
        AzureDataLakeGen1Datastore(name="client_lake1", store_name="lake"),
    ]
    for store in stores:

        @steps(f"create, read and delete an {type(store).__name__} without credentials")
        def _(store: Any = store) -> None:
            recording = sim.recording()
            made = client.datastores.create_or_update(store)
            read = client.datastores.get(store.name)
            same((made.name, type(read), read.credentials.type), (store.name, type(store), "None"))
            true = sim.truth(f"{estate.id(name)}/datastores/{store.name}")
            same(true["properties"]["credentials"]["credentialsType"], "None")
            client.datastores.delete(store.name)
            same(sim.truth(true["id"]), None)
            same(recording.lines(), [f"PUT {STORES}/{{}} 201", f"GET {STORES}/{{}} 200", f"DELETE {STORES}/{{}} 200"])
            same("skipValidation=true" in recording.entries()[0]["query"], True)

    @steps("secrets are asked for once for each datastore that has some")
    def _() -> None:
        recording = sim.recording()
        stores = list(client.datastores.list(include_secrets=True))
        secret = [store for store in stores if store.credentials.type != "None"]
        same(recording.lines(), [f"GET {STORES} 200"] + [f"POST {STORES}/{{}}/listSecrets 200"] * len(secret))
        same({store.credentials.account_key for store in secret}, {"AAAA"})


def ending(estate: Estate) -> None:
    client, sim = estate.client, estate.sim

    @steps("get and resync the keys of a workspace")
    def _() -> None:
        recording = sim.recording()
        same(client.workspaces.get_keys(estate.plain["name"]).user_storage_key, "AAAA")
        client.workspaces.begin_sync_keys(estate.plain["name"]).result()
        # Taking the keys anew runs as an operation of its own.
        same(
            recording.lines(),
            [f"POST {WORKSPACE}/listKeys 200", f"POST {WORKSPACE}/resyncKeys 202", WORKSPACE_POLL],
        )

    @steps("delete a workspace")
    def _() -> None:
        recording = sim.recording()
        client.workspaces.begin_delete("client-plain", delete_dependent_resources=False).result()
        same(estate.truth("client-plain"), None)
        same(recording.lines()[:2], [READ, f"DELETE {WORKSPACE} 202"])
        same("forceToPurge=false" in recording.entries()[1]["query"], True)


def other_ways_in(estate: Estate) -> None:
    sim, name = estate.sim, estate.plain["name"]

    @steps("the cloud may be told by keyword instead")
    def _() -> None:
        metadata = {
            "azure_portal": sim.base,
            "resource_manager": sim.base,
            "active_directory": sim.base,
            "aml_resource_id": sim.base,
            "storage_endpoint": "core.windows.net",
            "registry_discovery_endpoint": sim.base,
        }
        with variables({"ARM_CLOUD_METADATA_URL": ""}):
            client = MLClient(
                DefaultAzureCredential(),
                estate.subscription,
                estate.group,
                cloud="ByKeyword",
                cloud_metadata=metadata,
            )
            same(client.workspaces.get(name).name, name)

    token = os.path.join(sim.home, "federated-token")
    with open(token, "w", encoding="ascii") as file:
        file.write("eyJhbGciOiJub25lIn0.e30.none")
    identities = {
        ("ManagedIdentityCredential", "App Service"): {
            "IDENTITY_ENDPOINT": sim.ready["identityEndpoint"] + "/msi/token",
            "IDENTITY_HEADER": sim.ready["identityHeader"],
            "AZURE_CLIENT_ID": "",
        },
        ("ManagedIdentityCredential", "a virtual machine"): {
            "AZURE_POD_IDENTITY_AUTHORITY_HOST": sim.ready["identityEndpoint"],
            "AZURE_CLIENT_ID": "",
        },
        ("WorkloadIdentityCredential", "a cluster"): {"AZURE_FEDERATED_TOKEN_FILE": token, "AZURE_CLIENT_SECRET": ""},
    }
    for (kind, place), environment in identities.items():

        @steps(f"sign in by {kind} of {place}")
        def _(kind: str = kind, environment: dict[str, str] = environment) -> None:
            recording = sim.recording()
            estate.client.workspaces.get(name)
            with variables(environment | {"AZURE_TOKEN_CREDENTIALS": kind}):
                client = MLClient(DefaultAzureCredential(), estate.subscription, estate.group)
                same(client.workspaces.get(name).name, name)
            by_secret, now = (entry["caller"] for entry in recording.entries())
            same(now == by_secret, kind == "WorkloadIdentityCredential")


def main() -> int:
    with Sim(workspaces=40) as sim:
        os.environ.update(sim.environment())
        estate = Estate(sim)
        for chapter in (reading, switching, creating, storing, ending, other_ways_in):
            chapter(estate)
        return 0 if steps.run() else 1


if __name__ == "__main__":
    sys.exit(main())

"""azureml-core, the older SDK: datastores without credentials."""

import os
import sys
from collections.abc import Callable
from typing import Any

from common import Sim, Steps, same

steps = Steps("azureml-core")

WORKSPACE = "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.MachineLearningServices/workspaces/{}"
STORES = f"/datastore/{{}}{WORKSPACE}/datastores"


def main() -> int:
    with Sim() as sim:
        os.environ.update(sim.environment(metadata_version="2019-05-01"))
        cloud = sim.cloud_name()
        os.environ["AZUREML_CURRENT_CLOUD"] = cloud
        # It keeps what it found out of services below the home folder it sees when it is loaded.
        from azureml.core import Datastore, Workspace
        from azureml.core.authentication import ServicePrincipalAuthentication

        found = sim.resources("Microsoft.MachineLearningServices/workspaces")
        declared = next(entry for entry in found if entry["kind"] == "Default")
        _, _, subscription, _, group, *_ = declared["id"].split("/")
        account = declared["properties"]["storageAccount"].split("/")[-1]
        auth = ServicePrincipalAuthentication(
            tenant_id="adfs",
            service_principal_id=sim.ready["clientId"],
            service_principal_password=sim.ready["clientSecret"],
            cloud=cloud,
        )
        opened: list[Workspace] = []

        @steps("get a workspace")
        def _() -> None:
            recording = sim.recording()
            workspace = Workspace.get(declared["name"], auth=auth, subscription_id=subscription, resource_group=group)
            same((workspace.name, workspace.location), (declared["name"], declared["location"]))
            same(recording.lines(), ["GET /subscriptions 200", f"GET {WORKSPACE} 200"])
            opened.append(workspace)

        kinds: dict[str, tuple[Callable[..., Any], dict[str, str], dict[str, str]]] = {
            "AzureBlob": (
                Datastore.register_azure_blob_container,
                {"container_name": "raw", "account_name": account},
                {"accountName": account, "containerName": "raw"},
            ),
            "AzureDataLakeGen1": (
                Datastore.register_azure_data_lake,
                {"store_name": "lake"},
                {"storeName": "lake"},
            ),
            "AzureDataLakeGen2": (
                Datastore.register_azure_data_lake_gen2,
                {"filesystem": "files", "account_name": account},
                {"accountName": account, "filesystem": "files"},
            ),
            "AzureSqlDatabase": (
                Datastore.register_azure_sql_database,
                {"server_name": "sql", "database_name": "db"},
                {"serverName": "sql", "databaseName": "db"},
            ),
        }
        for kind, (register, arguments, expected) in kinds.items():

            @steps(f"register an {kind} datastore without credentials")
            def _(
                kind: str = kind,
                register: Callable[..., Any] = register,
                arguments: dict[str, str] = arguments,
                expected: dict[str, str] = expected,
            ) -> None:
                name = f"v1_{kind.lower()}"
                recording = sim.recording()
                made = register(opened[0], name, **arguments)
                same(made.name, name)
                same(recording.lines(), [f"POST {STORES} 200", f"GET {STORES}/{{}} 200"])
                same(recording.entries()[0]["query"], "createIfNotExists=false&skipValidation=false")
                true = sim.truth(f"{declared['id']}/datastores/{name}")["properties"]
                same({field: true[field] for field in expected}, expected)
                same((true["datastoreType"], true["credentials"]), (kind, {"credentialsType": "None"}))

        @steps("list the datastores and take one away")
        def _() -> None:
            stores = opened[0].datastores
            assert {"workspaceblobstore", "workspacefilestore", "v1_azureblob"} <= stores.keys(), stores.keys()
            stores["v1_azureblob"].unregister()
            same(sim.truth(f"{declared['id']}/datastores/v1_azureblob"), None)

        @steps("the default datastore is the workspace's own")
        def _() -> None:
            same(opened[0].get_default_datastore().name, "workspaceblobstore")

        return 0 if steps.run() else 1


if __name__ == "__main__":
    sys.exit(main())

"""The azure-mgmt packages: storage, authorization, machine learning, resources, locks, Resource Graph, monitor."""

import os
import sys
import uuid

from common import Json, Sim, Steps, same
from mgmt_query import monitor, resource_graph
from place import ACCOUNTS, BLOB_READER, BLOB_READER_NAME, WORKSPACES, Place, fails, mode, names

NEW_SUBSCRIPTION = "5d0c7b1e-3c55-4f0e-8a86-0d7a4d3b9a10"


def storage(place: Place) -> Steps:
    from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
    from azure.mgmt.storage import StorageManagementClient

    steps = Steps("azure-mgmt-storage")
    client = place.client(StorageManagementClient)
    accounts, account = client.storage_accounts, place.account
    path = "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Storage/storageAccounts/{}"

    @steps("get_properties, list and list_by_resource_group tell what is there")
    def _() -> None:
        read = accounts.get_properties(place.group, account["name"])
        same(read.id, account["id"])
        same(read.allow_shared_key_access, account["properties"].get("allowSharedKeyAccess"))
        own = place.own(ACCOUNTS)
        same(names(accounts.list()), sorted(entry["name"] for entry in own))
        group = [entry["name"] for entry in own if entry["id"].split("/")[4].lower() == place.group.lower()]
        same(names(accounts.list_by_resource_group(place.group)), sorted(group))

    @steps("update(allow_shared_key_access) is one PATCH that takes effect")
    def _() -> None:
        from azure.mgmt.storage.models import StorageAccountUpdateParameters

        for allowed in (False, True):
            recording = place.sim.recording()
            update = StorageAccountUpdateParameters(allow_shared_key_access=allowed)
            same(accounts.update(place.group, account["name"], update).allow_shared_key_access, allowed)
            same(place.truth(account)["properties"]["allowSharedKeyAccess"], allowed)
            same(recording.lines(), [f"PATCH {path} 200"])

    @steps("list_keys gives two keys")
    def _() -> None:
        keys = accounts.list_keys(place.group, account["name"]).keys_property
        same([key.key_name for key in keys], ["key1", "key2"])

    @steps("what is not there, and a group that is not, are ResourceNotFoundError")
    def _() -> None:
        for group, name, code in (
            (place.group, "stnobody", "ResourceNotFound"),
            ("rg-nobody", account["name"], "ResourceGroupNotFound"),
        ):
            error = fails(ResourceNotFoundError, lambda: accounts.get_properties(group, name))
            same(error.error.code, code)
        other = place.client(StorageManagementClient, str(uuid.uuid4()))
        error = fails(ResourceNotFoundError, lambda: list(other.storage_accounts.list()))
        same(error.error.code, "SubscriptionNotFound")

    @steps("a token that is none is ClientAuthenticationError, and a wrong name HttpResponseError")
    def _() -> None:
        from azure.core.credentials import AccessToken

        class Forger:
            def get_token(self, *_: str, **__: Json) -> AccessToken:
                return AccessToken("a.b.c", 4_000_000_000)

        base = place.sim.base
        forged = StorageManagementClient(
            Forger(), place.subscription, base_url=base, credential_scopes=[f"{base}/.default"]
        )
        error = fails(ClientAuthenticationError, lambda: list(forged.storage_accounts.list()))
        same(error.status_code, 401)
        wrong = {"location": account["location"], "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}
        error = fails(HttpResponseError, lambda: accounts.begin_create(place.group, "Not-A-Name", wrong))
        same((error.status_code, error.error.code), (400, "StorageAccountNameNotValid"))

    @steps("what a subscription is not registered for is ResourceExistsError, until it is registered")
    def _() -> None:
        from azure.core.exceptions import ResourceExistsError
        from azure.mgmt.resource.resources import ResourceManagementClient

        scope = f"/subscriptions/{NEW_SUBSCRIPTION}"
        for value in (
            {"id": scope, "displayName": "new"},
            {"id": f"{scope}/resourceGroups/rg-new", "name": "rg-new", "location": "westeurope", "tags": {}},
        ):
            place.sim.control("drift", {"change": "resourcePut", "target": value["id"], "value": value})
        providers = place.client(ResourceManagementClient, NEW_SUBSCRIPTION).providers
        same(providers.unregister("Microsoft.Storage").registration_state, "Unregistered")
        fresh = place.client(StorageManagementClient, NEW_SUBSCRIPTION).storage_accounts
        wanted = {"location": "westeurope", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}
        # azure-mgmt-core would register it, and does not where it finds the body of the answer unread, as it does after
        # every `begin_` of these packages.
        error = fails(ResourceExistsError, lambda: fresh.begin_create("rg-new", "stnew", wanted))
        same(error.error.code, "MissingSubscriptionRegistration")
        same(providers.register("Microsoft.Storage").registration_state, "Registered")
        made = fresh.begin_create("rg-new", "stnew", wanted).result()
        same((made.name, made.allow_shared_key_access), ("stnew", None))

    return steps


def authorization(place: Place) -> Steps:
    from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
    from azure.mgmt.authorization import AuthorizationManagementClient

    steps = Steps("azure-mgmt-authorization")
    client = place.client(AuthorizationManagementClient, api_version="2022-04-01")
    grants, definitions = client.role_assignments, client.role_definitions
    scope, user = place.account["id"], place.user["id"]
    role = f"/subscriptions/{place.subscription}/providers/Microsoft.Authorization/roleDefinitions/{BLOB_READER}"
    name = str(uuid.uuid4())
    grant = {"role_definition_id": role, "principal_id": user, "principal_type": "User"}

    def found(assignments: Json) -> bool:
        return name in [one.name for one in assignments]

    @steps("role_definitions.list finds by name and get_by_id by id")
    def _() -> None:
        [listed] = definitions.list(scope, filter=f"roleName eq '{BLOB_READER_NAME}'")
        same((listed.name, listed.role_type), (BLOB_READER, "BuiltInRole"))
        read = definitions.get_by_id(role)
        same((read.role_name, read.permissions[0].data_actions), (BLOB_READER_NAME, listed.permissions[0].data_actions))

    @steps("role_assignments.create makes a grant, and the same once more is ResourceExistsError")
    def _() -> None:
        made = grants.create(scope, name, grant)
        same((made.name, made.scope, made.principal_id), (name, scope, user))
        true = place.sim.truth(f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}")
        same(true["properties"]["principalId"], user)
        error = fails(ResourceExistsError, lambda: grants.create(scope, str(uuid.uuid4()), grant))
        same(error.error.code, "RoleAssignmentExists")
        assert name.replace("-", "") in error.error.message

    @steps("role_assignments are listed at every level, with the filters as they are written")
    def _() -> None:
        everywhere = f"principalId eq '{user}'"
        at_scope = f"atScope() and assignedTo('{user}')"
        assert found(grants.list_for_scope(scope, filter=everywhere))
        assert found(grants.list_for_scope(scope, filter=at_scope))
        assert found(grants.list_for_subscription(filter=everywhere))
        assert not found(grants.list_for_subscription(filter="atScope()"))
        assert found(grants.list_for_resource_group(place.group, filter=everywhere))
        own = ("Microsoft.Storage", "storageAccounts", place.account["name"])
        assert found(grants.list_for_resource(place.group, *own, filter="atScope()"))
        other = place.sim.resources("Microsoft.Graph/users")[1]["id"]
        assert not found(grants.list_for_scope(scope, filter=f"principalId eq '{other}'"))
        error = fails(HttpResponseError, lambda: list(grants.list_for_scope(scope, filter="colour eq 'red'")))
        same(error.status_code, 400)

    @steps("a lock holds a grant up with ResourceExistsError, and lets go")
    def _() -> None:
        place.sim.control("drift", {"change": "lockAdded", "target": scope, "value": "CanNotDelete"})
        error = fails(ResourceExistsError, lambda: grants.delete(scope, name))
        same(error.error.code, "ScopeLocked")
        place.sim.control("drift", {"change": "lockRemoved", "target": scope})

    @steps("role_assignments.delete gives what was deleted, and then nothing")
    def _() -> None:
        same(grants.delete(scope, name).name, name)
        same(place.sim.truth(f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"), None)
        same(grants.delete(scope, name), None)
        fails(ResourceNotFoundError, lambda: grants.get(scope, name))

    return steps


def machine_learning(place: Place) -> Steps:
    from azure.mgmt.machinelearningservices import MachineLearningServicesMgmtClient

    steps = Steps("azure-mgmt-machinelearningservices")
    client = place.client(MachineLearningServicesMgmtClient)

    @steps("workspaces.get and list tell what is there, in a version that is older than the mode")
    def _() -> None:
        recording = place.sim.recording()
        read = client.workspaces.get(place.workspace["id"].split("/")[4], place.workspace["name"])
        same(read.storage_account, place.workspace["properties"]["storageAccount"])
        same(recording.entries()[0]["query"], "api-version=2020-08-01")
        assert "system_datastores_auth_mode" not in read.as_dict()
        own = [entry["name"] for entry in place.own(WORKSPACES)]
        same(names(client.workspaces.list_by_subscription()), sorted(own))

    return steps


def resources(place: Place) -> Steps:
    from azure.core.exceptions import ResourceNotFoundError
    from azure.mgmt.resource.resources import ResourceManagementClient

    steps = Steps("azure-mgmt-resource")
    client = place.client(ResourceManagementClient)
    workspace = place.workspace["id"]

    @steps("resources.begin_update_by_id switches the mode, and get_by_id shows it")
    def _() -> None:
        for wanted in ("identity", "accesskey"):
            patch = {"properties": {"systemDatastoresAuthMode": wanted}}
            switched = client.resources.begin_update_by_id(workspace, patch, api_version="2024-10-01-preview").result()
            same(switched.properties["systemDatastoresAuthMode"].lower(), wanted)
            same(mode(place.truth(place.workspace)), wanted)
        read = client.resources.get_by_id(workspace, api_version="2025-09-01")
        same(read.properties["systemDatastoresAuthMode"].lower(), "accesskey")
        hidden = client.resources.get_by_id(workspace, api_version="2024-04-01")
        assert "systemDatastoresAuthMode" not in hidden.properties

    @steps("resources.begin_create_or_update_by_id puts the whole document")
    def _() -> None:
        account = place.account["id"]
        whole = client.resources.get_by_id(account, api_version="2023-05-01")
        whole.tags = {"keep": "this"}
        client.resources.begin_create_or_update_by_id(account, whole, api_version="2023-05-01").result()
        true = place.truth(place.account)
        same((true["tags"], true["kind"]), ({"keep": "this"}, place.account["kind"]))
        same(true["properties"].get("creationTime"), place.account["properties"].get("creationTime"))

    @steps("resources.list takes filters, and existence is a HEAD")
    def _() -> None:
        own = [entry["name"] for entry in place.own(ACCOUNTS)]
        same(names(client.resources.list(filter=f"resourceType eq '{ACCOUNTS}'")), sorted(own))
        [only] = client.resources.list(filter="tagName eq 'keep' and tagValue eq 'this'")
        same(only.id, place.account["id"])
        same(client.resources.check_existence_by_id(place.account["id"], api_version="2023-05-01"), True)
        same(client.resources.check_existence_by_id(f"{place.account['id']}x", api_version="2023-05-01"), False)

    @steps("resource_groups.get and check_existence, and providers.get")
    def _() -> None:
        same(client.resource_groups.get(place.group).name.lower(), place.group.lower())
        same(client.resource_groups.check_existence(place.group), True)
        same(client.resource_groups.check_existence("rg-nobody"), False)
        fails(ResourceNotFoundError, lambda: client.resource_groups.get("rg-nobody"))
        provider = client.providers.get("Microsoft.Storage")
        same((provider.namespace, provider.registration_state), ("Microsoft.Storage", "Registered"))
        assert "storageAccounts" in [kind.resource_type for kind in provider.resource_types]

    @steps("tags are merged by themselves")
    def _() -> None:
        patch = {"operation": "Merge", "properties": {"tags": {"ring": "1"}}}
        client.tags.begin_update_at_scope(place.account["id"], patch).result()
        same(place.truth(place.account)["tags"], {"keep": "this", "ring": "1"})

    return steps


def locks(place: Place) -> Steps:
    from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
    from azure.mgmt.resource.locks import ManagementLockClient
    from azure.mgmt.storage import StorageManagementClient

    steps = Steps("azure-mgmt-resource-locks")
    client = place.client(ManagementLockClient).management_locks
    accounts = place.client(StorageManagementClient).storage_accounts
    scope = place.account["id"]

    @steps("a lock is made, listed, holds, and is deleted")
    def _() -> None:
        made = client.create_or_update_by_scope(scope, "keep", {"level": "ReadOnly", "notes": "mine"})
        same((made.name, made.level), ("keep", "ReadOnly"))
        same(names(client.list_by_scope(scope)), ["keep"])
        same(names(client.list_at_subscription_level()), ["keep"])
        same(names(client.list_at_resource_group_level(place.group)), ["keep"])
        update = {"properties": {"allowSharedKeyAccess": False}}
        error = fails(ResourceExistsError, lambda: accounts.update(place.group, place.account["name"], update))
        same(error.error.code, "ScopeLocked")
        assert place.truth(place.account)["properties"].get("allowSharedKeyAccess") is not False
        client.delete_by_scope(scope, "keep")
        same(place.sim.resources("Microsoft.Authorization/locks"), [])
        fails(ResourceNotFoundError, lambda: client.get_by_scope(scope, "keep"))

    return steps


def main() -> int:
    with Sim() as sim:
        os.environ.update(sim.environment())
        place = Place(sim)
        suites = (storage, authorization, machine_learning, resources, locks, resource_graph, monitor)
        passed = [suite(place).run() for suite in suites]
        return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())

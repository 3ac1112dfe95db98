"""`custodian`, with the public cloud replaced by the simulated one: it knows four clouds and lets none be added."""

import functools
import os

import azure.identity
from azure.mgmt import resourcegraph
from msrestazure.azure_cloud import AZURE_PUBLIC_CLOUD

BASE = os.environ["AZURE_AUTHORITY_HOST"]


def main() -> None:
    endpoints = AZURE_PUBLIC_CLOUD.endpoints
    for name in (
        "resource_manager",
        "management",
        "active_directory_resource_id",
        "active_directory_graph_resource_id",
        "microsoft_graph_resource_id",
    ):
        setattr(endpoints, name, f"{BASE}/")
    endpoints.active_directory = BASE
    # The authority is none that is known, and is not to be looked up at one that is.
    azure.identity.ClientSecretCredential = functools.partial(
        azure.identity.ClientSecretCredential, disable_instance_discovery=True
    )
    # This client gets the public address whatever the cloud is.
    resourcegraph.ResourceGraphClient = functools.partial(resourcegraph.ResourceGraphClient, base_url=BASE)
    from c7n.cli import main as custodian

    custodian()


if __name__ == "__main__":
    main()

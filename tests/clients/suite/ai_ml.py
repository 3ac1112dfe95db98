"""azure-ai-ml, with no more than the environment to lead it here."""

import os
import sys

from common import Sim, Steps, same

steps = Steps("azure-ai-ml")


def main() -> int:
    with Sim() as sim:
        os.environ.update(sim.environment())
        from azure.ai.ml import MLClient
        from azure.identity import DefaultAzureCredential

        declared = next(
            entry
            for entry in sim.resources("Microsoft.MachineLearningServices/workspaces")
            if entry["kind"].lower() == "default"
        )
        _, _, subscription, _, group, *_ = declared["id"].split("/")
        client = MLClient(DefaultAzureCredential(), subscription, group)

        @steps("workspaces.get tells what is there")
        def _() -> None:
            recording = sim.recording()
            workspace = client.workspaces.get(declared["name"])
            same(workspace.storage_account, declared["properties"]["storageAccount"])
            same(recording.lines(), ["GET /subscriptions/{}/resourceGroups/{}/providers/Microsoft.MachineLearningServices/workspaces/{} 200"])

        return 0 if steps.run() else 1


if __name__ == "__main__":
    sys.exit(main())

"""The azure-mgmt packages that answer questions: Resource Graph and monitor."""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

from common import Json, Sim, Steps, same
from place import ACCOUNTS, WORKSPACES, Place, fails


def resource_graph(place: Place) -> Steps:
    from azure.core.exceptions import HttpResponseError
    from azure.mgmt.resourcegraph import ResourceGraphClient

    steps = Steps("azure-mgmt-resourcegraph")
    base = place.sim.base
    client = ResourceGraphClient(place.credential, base_url=base, credential_scopes=[f"{base}/.default"])
    own = sorted(entry["id"] for entry in place.own(WORKSPACES))
    workspaces = f"resources | where type =~ '{WORKSPACES}'"

    def ask(query: str, keep: Callable[..., None] | None = None, **options: Json) -> Json:
        body = {"subscriptions": [place.subscription], "query": query, "options": options}
        return client.resources(body, raw_response_hook=keep)

    @steps("rows come as objects or as a table")
    def _() -> None:
        objects = ask(f"{workspaces} | order by id asc | project id, kind", resultFormat="objectArray")
        same([row["id"] for row in objects.data], own)
        same((objects.count, objects.total_records, objects.result_truncated), (len(own), len(own), "false"))
        table = ask(f"{workspaces} | summarize count() by type", resultFormat="table")
        same([column["name"] for column in table.data["columns"]], ["type", "count_"])
        same(table.data["rows"], [[WORKSPACES.lower(), len(own)]])

    @steps("workspaces are joined with their accounts")
    def _() -> None:
        query = f"""{workspaces}
            | project id, storageId = tolower(tostring(properties.storageAccount))
            | join kind=leftouter (
                resources | where type =~ '{ACCOUNTS}'
                | project storageId = tolower(id), account = name) on storageId
            | where id =~ '{place.workspace["id"]}' | project account"""
        same(ask(query).data, [{"account": place.account["name"]}])

    @steps("pages follow each other by skip token")
    def _() -> None:
        found: list[str] = []
        token = None
        for _ in range(len(own)):
            page = ask(f"{workspaces} | order by id asc | project id", **{"$top": 2, "$skipToken": token})
            found += [row["id"] for row in page.data]
            token = page.skip_token
            if token is None:
                break
        same(found, own)

    @steps("a query that is none is a 400 with its place, and one that is not supported a 400 too")
    def _() -> None:
        error = fails(HttpResponseError, lambda: ask("where where"))
        same((error.status_code, error.error.code), (400, "BadRequest"))
        same([detail.code for detail in error.error.details], ["InvalidQuery", "ParserFailure"])
        same(fails(HttpResponseError, lambda: ask("resources | mv-expand tags")).status_code, 400)

    @steps("the quota is told in headers, is a 429 when it is over, and is waited for")
    def _() -> None:
        from azure.identity import ClientSecretCredential

        query = {"query": "resources | count"}
        left: list[str] = []

        def keep(response: Json) -> None:
            left.append(response.http_response.headers["x-ms-user-quota-remaining"])

        # In a cloud of its own, whose seconds are as long as ours.
        with Sim(workspaces=1, speed=1) as slow:
            ready = slow.ready
            credential = ClientSecretCredential(
                "adfs", ready["clientId"], ready["clientSecret"], authority=slow.base, connection_verify=ready["caFile"]
            )
            there = {
                "base_url": slow.base,
                "credential_scopes": [f"{slow.base}/.default"],
                "connection_verify": ready["caFile"],
            }
            impatient = ResourceGraphClient(credential, retry_total=0, **there)
            for _ in range(15):
                impatient.resources(query, raw_response_hook=keep)
            same(left, [str(number) for number in reversed(range(15))])
            error = fails(HttpResponseError, lambda: impatient.resources(query))
            same((error.status_code, error.error.code), (429, "RateLimiting"))
            same(error.response.headers["x-ms-user-quota-remaining"], "0")
            wait = error.response.headers["x-ms-user-quota-resets-after"]
            same(f"00:00:0{error.response.headers['Retry-After']}", wait)
            ResourceGraphClient(credential, **there).resources(query, raw_response_hook=keep)
            same(left[-1], "14")

    return steps


def monitor(place: Place) -> Steps:
    from azure.core.exceptions import HttpResponseError
    from azure.mgmt.monitor import MonitorManagementClient

    steps = Steps("azure-mgmt-monitor")
    # What is younger is still on its way into the metrics.
    now = datetime.now(timezone.utc) - timedelta(hours=1)
    span = f"{(now - timedelta(days=1)).strftime('%Y-%m-%dT%H:%M:%SZ')}/{now.strftime('%Y-%m-%dT%H:%M:%SZ')}"
    blank = span.replace("T", " ").replace("Z", "")
    metrics = place.client(MonitorManagementClient).metrics
    scope = place.account["id"]

    def total(answer: Json) -> float:
        return sum(point.total or 0 for series in answer.value[0].timeseries for point in series.data)

    def ask(timespan: str, **more: Json) -> Json:
        usual = {"metricnames": "Transactions", "aggregation": "Total", "interval": "PT1H"} | more
        return metrics.list(scope, timespan=timespan, **usual)

    @steps("metrics.list splits by dimension, and its parts make up the whole")
    def _() -> None:
        whole = total(ask(span))
        split = ask(span, filter="Authentication eq '*'")
        kinds = [series.metadatavalues[0].value for series in split.value[0].timeseries]
        assert whole > 0 and "AccountKey" in kinds, (whole, kinds)
        same(total(split), whole)
        keys = ask(span, filter="Authentication eq 'AccountKey' and ResponseType eq '*'", top=100)
        [name, response] = [value.name.value for value in keys.value[0].timeseries[0].metadatavalues]
        same((name.lower(), response.lower(), keys.value[0].error_code), ("authentication", "responsetype", "Success"))

    @steps("timespans are read with blanks and encoded twice, in either version, and grains differ")
    def _() -> None:
        keys = "Authentication eq 'AccountKey'"
        usual = total(ask(span, filter=keys))
        for timespan in (blank, span.replace(":", "%3A")):
            same(total(ask(timespan, filter=keys)), usual)
        old = ask(span, filter=keys, api_version="2018-01-01", interval="P1D")
        same(total(old), usual)
        same(len(ask(span, filter=keys, interval="FULL").value[0].timeseries[0].data), 1)

    @steps("a question that makes no sense is HttpResponseError")
    def _() -> None:
        same(fails(HttpResponseError, lambda: ask("tomorrow")).status_code, 400)
        same(fails(HttpResponseError, lambda: ask(span, filter="Colour eq 'red'")).status_code, 400)

    return steps

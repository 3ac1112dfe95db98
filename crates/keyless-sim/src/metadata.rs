//! The documents by which clients find their way, each built from the host the caller used.
//! Source of what clients read in them: azure-ai-ml 1.35.2 `_azure_environments.py`, azure-cli-core `cloud.py`, msal 1.39.0
//! `authority.py`, and Azure/azure-cli pull request 31566 for the shapes of the metadata document.

use serde_json::{Map, Value, json};

use crate::request::{Answer, Call};

/// `GET /metadata/endpoints`: an object, or an array of one for the versions of 2019.
pub(crate) fn endpoints(call: &Call) -> Answer {
    let cloud = cloud(&call.origin);
    Answer::ok(if call.api_version().starts_with("2019") { json!([cloud]) } else { cloud })
}

fn cloud(origin: &str) -> Value {
    json!({
        "name": "KeylessSim", "portal": origin, "resourceManager": origin,
        "authentication": {
            "loginEndpoint": origin, "audiences": [origin, "https://management.azure.com/"],
            "tenant": "common", "identityProvider": "AAD",
        },
        "graph": origin, "graphAudience": origin, "microsoftGraphResourceId": origin,
        "suffixes": {"storage": "core.windows.net", "keyVaultDns": "vault.azure.net", "acrLoginServer": "azurecr.io"},
    })
}

/// The OpenID document of a tenant, `adfs` included.
pub(crate) fn openid(call: &Call, tenant: &str) -> Answer {
    let origin = &call.origin;
    Answer::ok(json!({
        "issuer": format!("{origin}/{tenant}/v2.0"),
        "authorization_endpoint": format!("{origin}/{tenant}/oauth2/v2.0/authorize"),
        "token_endpoint": format!("{origin}/{tenant}/oauth2/v2.0/token"),
        "jwks_uri": format!("{origin}/{tenant}/discovery/v2.0/keys"),
        "response_types_supported": ["code", "token"], "subject_types_supported": ["pairwise"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        "tenant_region_scope": null, "cloud_instance_name": "keyless-sim",
    }))
}

/// What a workspace's `discoveryUrl` leads to: the addresses of the services, all of them here.
/// Source of the names: azureml-core 1.61.0.post4 `_restclient/service_context.py` and `_base_sdk_common/service_discovery.py`.
pub(crate) fn services(call: &Call) -> Answer {
    let names = ["api", "experimentation", "history", "hyperdrive", "modelmanagement", "pipelines", "studio"];
    let services: Map<String, Value> = names.into_iter().map(|name| (name.to_owned(), json!(call.origin))).collect();
    Answer::ok(Value::Object(services))
}

/// Instance discovery, for clients that ask this host.
pub(crate) fn instance(call: &Call) -> Answer {
    let host = call.origin.split("://").nth(1).unwrap_or_default();
    Answer::ok(json!({
        "tenant_discovery_endpoint": format!("{}/common/v2.0/.well-known/openid-configuration", call.origin),
        "api-version": "1.1",
        "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
    }))
}

//! Resource providers: which types and versions they have, and whether a subscription is registered with them.
//! Source: azure-mgmt-resource 26.0.0, `ProvidersOperations`; azure-mgmt-core 1.6.0 `policies/_base.py` for what a client
//! makes of `MissingSubscriptionRegistration`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::arm_id;
use crate::azure::{Actor, Azure};
use crate::request::{Answer, Call, Reply};

const READ: &str = "Microsoft.Resources/subscriptions/providers/read";

/// A namespace that is simulated, with its types and the versions each is listed with, newest first. Clients that look a
/// version up take the first that is no preview.
struct Provider {
    namespace: &'static str,
    types: &'static [(&'static str, &'static [&'static str])],
}

/// Source: Azure/bicep-types-az `generated/machinelearningservices/microsoft.machinelearningservices`.
const ML: &[&str] = &[
    "2026-05-15-preview",
    "2026-05-01",
    "2026-03-15-preview",
    "2026-03-01",
    "2026-01-15-preview",
    "2025-12-01",
    "2025-10-01-preview",
    "2025-09-01",
    "2025-06-01",
    "2025-04-01",
    "2024-10-01",
    "2024-04-01",
    "2023-04-01",
];
/// Source: Azure/bicep-types-az `generated/storage/microsoft.storage`; azure-mgmt-storage 25.3.0 for the newest.
const STORAGE: &[&str] =
    &["2026-09-01", "2026-04-01", "2025-08-01", "2025-06-01", "2024-01-01", "2023-05-01", "2023-01-01", "2022-09-01"];
/// Source: azure-mgmt-authorization 4.0.0.
const ASSIGNMENTS: &[&str] = &["2022-04-01", "2020-10-01-preview", "2018-07-01", "2015-07-01"];

const PROVIDERS: &[Provider] = &[
    Provider {
        namespace: "Microsoft.Authorization",
        types: &[
            ("roleAssignments", ASSIGNMENTS),
            ("roleDefinitions", ASSIGNMENTS),
            ("denyAssignments", ASSIGNMENTS),
            ("roleEligibilityScheduleInstances", &["2020-10-01"]),
            ("locks", &["2020-05-01", "2017-04-01", "2016-09-01"]),
            ("policyAssignments", &["2025-11-01", "2023-04-01", "2022-06-01"]),
        ],
    },
    Provider { namespace: "Microsoft.ContainerRegistry", types: &[("registries", &["2023-07-01"])] },
    Provider {
        namespace: "Microsoft.Insights",
        types: &[
            ("components", &["2020-02-02"]),
            ("metrics", &["2024-02-01", "2019-07-01", "2018-01-01"]),
            ("eventtypes", &["2015-04-01"]),
        ],
    },
    Provider { namespace: "Microsoft.KeyVault", types: &[("vaults", &["2023-07-01"])] },
    Provider {
        namespace: "Microsoft.MachineLearningServices",
        types: &[
            ("workspaces", ML),
            ("workspaces/datastores", ML),
            ("workspaces/computes", ML),
            ("workspaces/onlineEndpoints", ML),
        ],
    },
    Provider {
        namespace: "Microsoft.ManagedIdentity",
        types: &[("userAssignedIdentities", &["2024-11-30", "2023-01-31", "2018-11-30"])],
    },
    Provider {
        namespace: "Microsoft.OperationalInsights",
        types: &[("workspaces", &["2023-09-01"]), ("workspaces/query", &["2017-10-01"])],
    },
    Provider {
        namespace: "Microsoft.ResourceGraph",
        types: &[("resources", &["2024-04-01", "2022-10-01", "2021-03-01"])],
    },
    Provider {
        namespace: "Microsoft.Resources",
        types: &[
            ("resourceGroups", &["2025-04-01", "2024-11-01", "2020-06-01"]),
            ("subscriptions", &["2022-12-01", "2020-01-01"]),
            ("tags", &["2025-04-01", "2025-03-01", "2020-06-01"]),
            ("deployments", &["2025-04-01", "2024-11-01", "2020-06-01"]),
        ],
    },
    Provider { namespace: "Microsoft.Storage", types: &[("storageAccounts", STORAGE)] },
];

/// These belong to the resource manager itself and need no registration.
/// Source: MicrosoftDocs/azure-docs `articles/azure-resource-manager/management/azure-services-resource-providers.md`.
const ALWAYS: &[&str] = &["Microsoft.Authorization", "Microsoft.Resources"];

/// Every namespace that is simulated.
pub(crate) fn namespaces() -> impl Iterator<Item = &'static str> {
    PROVIDERS.iter().map(|provider| provider.namespace)
}

impl Azure {
    pub(crate) fn list_providers(&self, caller: &str, call: &Call, subscription: &str) -> Reply {
        self.authorize(caller, READ, &format!("/subscriptions/{subscription}"))?;
        let all: BTreeMap<String, &Provider> =
            PROVIDERS.iter().map(|provider| (provider.namespace.to_ascii_lowercase(), provider)).collect();
        self.page(call, all.keys().cloned(), |name| Some(self.provider_json(subscription, all.get(name)?)))
    }

    pub(crate) fn get_provider(&self, caller: &str, subscription: &str, namespace: &str) -> Reply {
        self.authorize(caller, READ, &format!("/subscriptions/{subscription}"))?;
        provider(namespace).map(|provider| Answer::ok(self.provider_json(subscription, provider)))
    }

    /// Registering takes effect at once; that it takes no while is a design decision. Unregistering is refused as long as
    /// the subscription holds resources of the provider.
    /// Source: MicrosoftDocs/azure-docs `articles/azure-resource-manager/management/resource-providers-and-types.md`.
    pub(crate) fn register_provider(&mut self, caller: &str, call: &Call, namespace: &str, verb: &str) -> Reply {
        let key = call.key();
        let subscription = arm_id::subscription(&key).unwrap_or_default().to_owned();
        let scope = format!("/subscriptions/{subscription}");
        let provider = provider(namespace)?;
        let action = format!("{}/{verb}/action", provider.namespace);
        self.authorize(caller, &action, &scope)?;
        let entry = (subscription.clone(), namespace.to_owned());
        if verb == "register" {
            self.unregistered.remove(&entry);
        } else if ALWAYS.contains(&provider.namespace) || self.world.holds_namespace(&scope, namespace) {
            let message = format!("The provider '{}' is in use and cannot be unregistered.", provider.namespace);
            return Err(Answer::error(409, "CannotUnregisterProvider", message));
        } else {
            self.unregistered.insert(entry);
        }
        self.record(&Actor { oid: caller, correlation: call.correlation() }, &action, &call.path(), 200);
        Ok(Answer::ok(self.provider_json(&subscription, provider)))
    }

    /// 409 for the creation of a resource whose provider the subscription is not registered with. The words are the
    /// documented ones. Source: MicrosoftDocs/azure-docs
    /// `articles/azure-resource-manager/troubleshooting/error-register-resource-provider.md`.
    pub(crate) fn registered(&self, call: &Call) -> Result<(), Answer> {
        if self.unregistered.is_empty() || call.method != http::Method::PUT {
            return Ok(());
        }
        let key = call.key();
        let subscription = arm_id::subscription(&key).unwrap_or_default();
        let kind = arm_id::type_of(&key).unwrap_or_default();
        let namespace = kind.split('/').next().unwrap_or_default();
        if !self.unregistered.contains(&(subscription.to_owned(), namespace.to_owned())) {
            return Ok(());
        }
        let name = provider(namespace).map_or(namespace, |provider| provider.namespace);
        let message = format!("The subscription is not registered to use namespace '{name}'.");
        Err(Answer::error(409, "MissingSubscriptionRegistration", message))
    }

    fn provider_json(&self, subscription: &str, provider: &Provider) -> Value {
        let entry = (subscription.to_ascii_lowercase(), provider.namespace.to_ascii_lowercase());
        let free = ALWAYS.contains(&provider.namespace);
        let state = if self.unregistered.contains(&entry) { "Unregistered" } else { "Registered" };
        let types: Vec<Value> = provider
            .types
            .iter()
            .map(|(name, versions)| {
                json!({"resourceType": name, "locations": ["West Europe"], "apiVersions": versions, "capabilities": "None"})
            })
            .collect();
        json!({
            "id": format!("/subscriptions/{subscription}/providers/{}", provider.namespace),
            "namespace": provider.namespace, "resourceTypes": types, "registrationState": state,
            "registrationPolicy": if free { "RegistrationFree" } else { "RegistrationRequired" },
        })
    }
}

/// The code has no public source; design decision.
fn provider(namespace: &str) -> Result<&'static Provider, Answer> {
    PROVIDERS.iter().find(|provider| provider.namespace.eq_ignore_ascii_case(namespace)).ok_or_else(|| {
        let message = format!("The resource namespace '{namespace}' is invalid.");
        Answer::error(404, "InvalidResourceNamespace", message)
    })
}

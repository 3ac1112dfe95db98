//! The four kinds of document, as people write them.

use std::time::Duration;

use jiff::Timestamp;

use crate::catalog::Level;
use crate::desired::{
    AfterSuspend, AuthMode, DesiredSharedKey, Drain, Enforcement, GrantScope, Isolation, ServiceGrants,
};
use crate::id::{ArmId, ManagedIdentityId, PrincipalId, StorageAccountId, SubscriptionId, WorkspaceId};
use crate::observed::StorageService;

use super::check::{asks_for_something, names_one_principal};
use super::condition::Condition;
use super::count::{AgreeingReads, Reversals};
use super::datastores::Datastores;
use super::evidence::Evidence;
use super::scalar::{IncompatibilityId, Labels, Line, Name, Prose, Region, ScenarioName, TimeOfDay};
use super::wire::{At, object, words};

/// The one word that `apiVersion` may say.
#[derive(Debug, Clone, Copy)]
pub(super) struct ApiVersion;

/// The word that `kind` says; which one is known before the rest is read.
macro_rules! kind_word {
    ($($type:ident $word:literal,)+) => { $(
        #[derive(Debug, Clone, Copy)]
        pub(super) struct $type;
        words! {
            /// What the document is about.
            $type as "" { $word => $type, }
        }
    )+ };
}

kind_word! {
    WorkspaceWord "Workspace",
    StorageAccountWord "StorageAccount",
    AccessProfileWord "AccessProfile",
    FleetWord "Fleet",
}

words! {
    /// The version of the format.
    ApiVersion as "" { "keyless.dev/v1" => ApiVersion, }
}

object! {
    /// A declared Azure Machine Learning workspace, Foundry hub or hub project.
    Workspace checked {
        /// The version of the format.
        required "apiVersion": ApiVersion,
        /// `Workspace`.
        required "kind": WorkspaceWord,
    } {
        /// How the document is called.
        required metadata("metadata"): Metadata,
        /// What is asked for.
        required spec("spec"): WorkspaceSpec,
    }
}

object! {
    /// What belongs to a storage account and not to one workspace.
    StorageAccount checked {
        /// The version of the format.
        required "apiVersion": ApiVersion,
        /// `StorageAccount`.
        required "kind": StorageAccountWord,
    } {
        /// How the document is called; the account's own name if left out.
        optional metadata("metadata"): Metadata,
        /// What is asked for.
        required spec("spec"): StorageAccountSpec,
    }
}

object! {
    /// A reusable list of principals with their levels and scenarios.
    AccessProfile checked {
        /// The version of the format.
        required "apiVersion": ApiVersion,
        /// `AccessProfile`.
        required "kind": AccessProfileWord,
    } {
        /// The name that workspaces refer to.
        required metadata("metadata"): Metadata,
        /// What it holds.
        required spec("spec"): AccessProfileSpec,
    }
}

object! {
    /// Defaults and safety limits of the whole desired state; at most one.
    Fleet checked {
        /// The version of the format.
        required "apiVersion": ApiVersion,
        /// `Fleet`.
        required "kind": FleetWord,
        /// How the document is called.
        optional "metadata": Metadata,
    } {
        /// What is asked for.
        required spec("spec"): FleetSpec,
    }
}

object! {
    /// The name of a document and free labels.
    Metadata checked {
        /// Free labels.
        optional "labels": Labels,
    } {
        /// The name, once per kind.
        required name("name"): Name,
    }
}

object! {
    /// What is asked for a workspace, hub or project.
    WorkspaceSpec {
        /// Its ARM id.
        required resource_id("resourceId"): WorkspaceId,
        /// How it reaches its storage account.
        required auth_mode("authMode"): AuthMode,
        /// Whether drift is acted on; the fleet's default if left out.
        optional enforcement("enforcement"): Enforcement,
        /// A pause.
        optional suspend("suspend"): Suspend,
        /// Who needs the data.
        optional access("access"): Vec<At<AccessEntry>>,
        /// AccessProfile documents whose entries are added.
        optional profiles("profiles"): Vec<At<Name>>,
        /// What to do while the grant that the service makes to the workspace's identity is missing.
        optional service_grants("serviceGrants"): ServiceGrants,
        /// What is asked of the datastores that people made.
        optional datastores("datastores"): Datastores,
        /// That a datastore's stored secret is lost for good is accepted.
        optional accept_one_way("acceptOneWay"): Acceptance,
        /// On the way back, keys of the account that the workspace may hold from before a rotation are accepted.
        optional accept_stale_keys("acceptStaleKeys"): Acceptance,
        /// What is known not to work with identity-based access and is accepted.
        optional accept_incompatible("acceptIncompatible"): Vec<At<AcceptedIncompatibility>>,
        /// Whether the switch to identity waits for jobs and compute instances at work; the fleet's default if left out.
        optional drain("drain"): Drain,
        /// How it is made if it does not exist; it never is without this.
        optional create("create"): CreateSpec,
    }
    elsewhere {
        "sharedKeyAccess" => "`sharedKeyAccess` belongs on a StorageAccount document, for the key is shared by all workspaces on the account",
        "keyIdle" => "`keyIdle` belongs on a StorageAccount document or in the Fleet's `defaults`",
        "acceptSas" => "`acceptSas` belongs on a StorageAccount document or in the Fleet",
        "acceptUnknownKeyUse" => "`acceptUnknownKeyUse` belongs on a StorageAccount document",
        "evidence" => "`evidence` belongs on a StorageAccount document or in the Fleet",
    }
}

object! {
    /// What a workspace, hub or project is made with if it does not exist.
    CreateSpec {
        /// The region, such as `westeurope`.
        required location("location"): Region,
        /// What is made.
        required kind("kind"): KindWord,
        /// What people call it.
        optional friendly_name("friendlyName"): Line,
        /// The account it stands on; of a project that of its hub.
        required storage_account("storageAccount"): StorageAccountId,
        /// Its key vault; not of a project, which uses its hub's.
        optional key_vault("keyVault"): ArmId,
        /// Its Application Insights.
        optional application_insights("applicationInsights"): ArmId,
        /// Its container registry.
        optional container_registry("containerRegistry"): ArmId,
        /// The hub of a project.
        optional hub("hub"): WorkspaceId,
        /// Whether it is reachable from the internet; enabled if left out.
        optional public_network_access("publicNetworkAccess"): NetworkAccess,
        /// What its managed network lets out; disabled if left out.
        optional managed_network("managedNetwork"): Isolation,
    }
    elsewhere {
        "systemDatastoresAuthMode" => "what is made is on identity-based access from the start",
        "identity" => "what is made has a system-assigned identity",
    }
    also { "oneOf": [
        { "required": ["keyVault"], "properties": { "kind": { "enum": ["default", "hub"] } } },
        { "required": ["hub"], "properties": { "kind": { "enum": ["project"] } } },
    ] }
}

/// What is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KindWord {
    Default,
    Hub,
    Project,
}

words! {
    /// What is made.
    KindWord as "CreateKind" {
        "default" => KindWord::Default,
        "hub" => KindWord::Hub,
        "project" => KindWord::Project,
    }
}

/// Whether something is reachable from the internet.
#[derive(Debug, Clone, Copy)]
pub(super) struct NetworkAccess(pub bool);

words! {
    /// Whether something is reachable from the internet.
    NetworkAccess as "NetworkAccess" {
        "enabled" => NetworkAccess(true),
        "disabled" => NetworkAccess(false),
    }
}

words! {
    /// What a managed network lets out.
    Isolation as "ManagedNetwork" {
        "disabled" => Isolation::Disabled,
        "allowInternetOutbound" => Isolation::AllowInternetOutbound,
        "allowOnlyApprovedOutbound" => Isolation::AllowOnlyApprovedOutbound,
    }
}

object! {
    /// A principal and what it needs.
    AccessEntry {
        /// Who.
        required principal("principal"): Principal,
        /// A baseline for people.
        optional level("level"): &'static Level,
        /// What is done with the data.
        optional scenarios("scenarios"): Vec<At<ScenarioName>>,
        /// Where missing grants are made; at the account if left out.
        optional grant_scope("grantScope"): GrantScope,
        /// The ABAC condition that grants for this entry get; a grant under another one does not count.
        optional condition("condition"): Condition,
    }
    also { "anyOf": [{ "required": ["level"] }, { "required": ["scenarios"] }] }
    check asks_for_something
}

object! {
    /// A principal in exactly one of its forms.
    Principal {
        /// A person.
        optional user("user"): DirectoryObject,
        /// A security group.
        optional group("group"): DirectoryObject,
        /// A service principal.
        optional service_principal("servicePrincipal"): DirectoryObject,
        /// The ARM id of a user-assigned managed identity.
        optional managed_identity("managedIdentity"): ManagedIdentityId,
        /// The name of a compute of the workspace, whose identities are meant.
        optional compute("compute"): Name,
        /// An identity of the workspace itself: `system`, or `userAssigned` for all that it has of that kind.
        optional workspace("workspace"): WorkspaceIdentity,
    }
    also { "minProperties": 1, "maxProperties": 1 }
    check names_one_principal
}

object! {
    /// An object in Entra.
    DirectoryObject {
        /// Its object id.
        required object_id("objectId"): PrincipalId,
        /// A name for people.
        optional name("name"): Line,
    }
    elsewhere {
        "appId" => "role assignments need the object id; `az ad sp show --id APPID --query id` prints it",
        "clientId" => "role assignments need the object id; `az ad sp show --id CLIENTID --query id` prints it",
    }
}

/// Which of the workspace's identities is meant.
#[derive(Debug, Clone, Copy)]
pub(super) enum WorkspaceIdentity {
    System,
    UserAssigned,
}

object! {
    /// What is asked of a storage account.
    StorageAccountSpec {
        /// Its ARM id.
        required resource_id("resourceId"): StorageAccountId,
        /// What is asked of `allowSharedKeyAccess`.
        required shared_key_access("sharedKeyAccess"): DesiredSharedKey,
        /// Overrides the fleet's enforcement for steps that concern the whole account.
        optional enforcement("enforcement"): Enforcement,
        /// A pause.
        optional suspend("suspend"): Suspend,
        /// How long nobody may have signed with the key; the fleet's default if left out.
        optional key_idle("keyIdle"): Duration,
        /// SAS traffic is known and accepted.
        optional accept_sas("acceptSas"): Acceptance,
        /// Missing evidence of key use is accepted.
        optional accept_unknown_key_use("acceptUnknownKeyUse"): Acceptance,
        /// Steps that cannot be taken back are accepted.
        optional accept_one_way("acceptOneWay"): Acceptance,
        /// What is known by, besides what is read always; the fleet's if left out.
        optional evidence("evidence"): Evidence,
    }
    elsewhere {
        "authMode" => "`authMode` belongs on a Workspace document",
        "access" => "`access` belongs on a Workspace document",
        "allowSharedKeyAccess" => "it is called `sharedKeyAccess` here: disabled, enabled or unmanaged",
    }
}

object! {
    /// What a profile holds.
    AccessProfileSpec {
        /// Who needs the data.
        required access("access"): Vec<At<AccessEntry>>,
    }
}

object! {
    /// Defaults and safety limits.
    FleetSpec {
        /// Names this installation in every grant it makes; `keyless` if left out.
        optional owner("owner"): Line,
        /// Where workspaces on the same accounts are searched for.
        optional scope("scope"): Scope,
        /// What applies where a document does not say.
        optional defaults("defaults"): Defaults,
        /// When changes may be made; at any time if left out.
        optional change_windows("changeWindows"): Vec<At<ChangeWindow>>,
        /// Safety limits.
        optional guard("guard"): Guard,
        /// SAS traffic that is known and accepted, by account and service.
        optional accept_sas("acceptSas"): Vec<At<SasAcceptance>>,
        /// What is known by, besides what is read always.
        optional evidence("evidence"): Evidence,
    }
    elsewhere {
        "rollout" => "`rollout` is not offered yet",
        "drain" => "`drain` belongs in the Fleet's `defaults` or on a Workspace document",
    }
}

object! {
    /// Where workspaces on the same accounts are searched for.
    Scope {
        /// The subscriptions; every visible one if left out.
        optional subscriptions("subscriptions"): Vec<At<SubscriptionId>>,
        /// Subscriptions, resource groups or resources that are left out of the search.
        optional exclude("exclude"): Vec<At<ArmId>>,
    }
}

object! {
    /// What applies where a document does not say.
    Defaults {
        /// Whether drift is acted on; `observe` if left out.
        optional enforcement("enforcement"): Enforcement,
        /// How old a direct grant must be; 15m if left out.
        optional role_propagation("rolePropagation"): Duration,
        /// How old a grant must be that reaches a managed identity through a group, or stands at a management group; 24h if left out.
        optional group_propagation("groupPropagation"): Duration,
        /// How many reads in a row, spread over half of `rolePropagation`, have to show a young grant; 2 if left out.
        optional agreeing_reads("agreeingReads"): AgreeingReads,
        /// How long nobody may have signed with the key; 7d if left out.
        optional key_idle("keyIdle"): Duration,
        /// How long a key must have been back on before it is used; 2m if left out.
        optional key_effect("keyEffect"): Duration,
        /// How far metrics may lag; 15m if left out.
        optional metrics_lag("metricsLag"): Duration,
        /// How long a write whose outcome is unknown may still land; 5m if left out.
        optional late_write("lateWrite"): Duration,
        /// How long an account is watched after its key went off; 24h if left out.
        optional watch("watch"): Duration,
        /// Whether own grants of principals that left every document are revoked; false if left out.
        optional prune("prune"): bool,
        /// Whether switches to identity wait for jobs and compute instances at work; `wait` if left out.
        optional drain("drain"): Drain,
    }
}

object! {
    /// A weekly window in UTC.
    ChangeWindow {
        /// The days; every day if left out.
        optional days("days"): Vec<At<Day>>,
        /// When it opens.
        required from("from"): TimeOfDay,
        /// When it closes, later than it opens.
        required to("to"): TimeOfDay,
    }
}

object! {
    /// Safety limits.
    Guard {
        /// The kill switch: nothing is written anywhere while it is set.
        optional paused("paused"): bool,
        /// When a setting that somebody sets back again and again is left alone.
        optional fight("fight"): FightGuard,
    }
}

object! {
    /// When a setting that somebody sets back again and again is left alone.
    FightGuard {
        /// After so many reversals; 3 if left out.
        optional reversals("reversals"): Reversals,
        /// That came within this time, and for as long afterwards; 24h if left out.
        optional within("within"): Duration,
    }
}

object! {
    /// A pause of one document.
    Suspend {
        /// Why, for people.
        required reason("reason"): Prose,
        /// When it ends.
        required until("until"): Timestamp,
        /// What happens then; it stays suspended if left out.
        optional then("then"): AfterSuspend,
    }
}

object! {
    /// A risk that a named person accepted until a date.
    Acceptance {
        /// Why.
        required reason("reason"): Prose,
        /// Who answers for it.
        required owner("owner"): Line,
        /// Until when it holds.
        required until("until"): Timestamp,
    }
}

object! {
    /// SAS traffic to some accounts that a named person accepted until a date.
    SasAcceptance {
        /// Ids of accounts, or of resource groups or subscriptions of accounts.
        required accounts("accounts"): Vec<At<ArmId>>,
        /// The services it is about; all if left out.
        optional services("services"): Vec<At<StorageService>>,
        /// Why.
        required reason("reason"): Prose,
        /// Who answers for it.
        required owner("owner"): Line,
        /// Until when it holds.
        required until("until"): Timestamp,
    }
}

object! {
    /// Something known not to work that a named person accepted until a date.
    AcceptedIncompatibility {
        /// What.
        required id("id"): IncompatibilityId,
        /// Why.
        required reason("reason"): Prose,
        /// Who answers for it.
        required owner("owner"): Line,
        /// Until when it holds.
        required until("until"): Timestamp,
    }
}

/// A day of the week; Monday is 1, Sunday is 7.
#[derive(Debug, Clone, Copy)]
pub(super) struct Day(pub u8);

words! {
    /// How a workspace reaches its storage account.
    AuthMode as "AuthMode" {
        "identity" => AuthMode::Identity,
        "accesskey" => AuthMode::AccessKey,
    }
    hints {
        "userDelegationSAS" => "that value of Azure is reported, never set",
    }
}

words! {
    /// Whether drift is acted on.
    Enforcement as "Enforcement" {
        "observe" => Enforcement::Observe,
        "enforce" => Enforcement::Enforce,
    }
}

words! {
    /// A service of a storage account.
    StorageService as "StorageService" {
        "blob" => StorageService::Blob,
        "file" => StorageService::File,
        "queue" => StorageService::Queue,
        "table" => StorageService::Table,
    }
    hints {
        "dfs" => "Data Lake Storage is part of `blob`",
    }
}

words! {
    /// What happens when a pause ends.
    AfterSuspend as "AfterSuspend" {
        "stay" => AfterSuspend::Stay,
        "resume" => AfterSuspend::Resume,
    }
}

words! {
    /// What is asked of `allowSharedKeyAccess`.
    DesiredSharedKey as "SharedKeyAccess" {
        "disabled" => DesiredSharedKey::Disabled,
        "enabled" => DesiredSharedKey::Enabled,
        "unmanaged" => DesiredSharedKey::Unmanaged,
    }
}

words! {
    /// What to do while a grant is missing that the service makes.
    ServiceGrants as "ServiceGrants" {
        "wait" => ServiceGrants::Wait,
        "grant" => ServiceGrants::Grant,
        "accept" => ServiceGrants::Accept,
    }
}

words! {
    /// Whether a switch to identity waits for jobs and compute instances at work.
    Drain as "Drain" {
        "wait" => Drain::Wait,
        "ignore" => Drain::Ignore,
    }
}

words! {
    /// Where missing grants are made.
    GrantScope as "GrantScope" {
        "account" => GrantScope::Account,
        "resourceGroup" => GrantScope::ResourceGroup,
    }
}

words! {
    /// Which of the workspace's identities is meant.
    WorkspaceIdentity as "WorkspaceIdentity" {
        "system" => WorkspaceIdentity::System,
        "userAssigned" => WorkspaceIdentity::UserAssigned,
    }
}

words! {
    /// A day of the week.
    Day as "Day" {
        "Mon" => Day(1),
        "Tue" => Day(2),
        "Wed" => Day(3),
        "Thu" => Day(4),
        "Fri" => Day(5),
        "Sat" => Day(6),
        "Sun" => Day(7),
    }
}

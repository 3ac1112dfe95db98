//! The folder with one file for each kind of error: every one is named, with its place, in one run.

use keyless_core::manifest::{SourceFile, load};

/// The files of `tests/desired-errors`, by their names alone.
fn folder() -> Vec<SourceFile> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/desired-errors");
    let mut files: Vec<SourceFile> = std::fs::read_dir(root)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            SourceFile::new(entry.file_name().to_string_lossy(), std::fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

fn lines(problems: &[impl ToString]) -> String {
    problems.iter().map(|problem| problem.to_string() + "\n").collect()
}

#[test]
fn every_error_of_every_file_is_named_in_one_run() {
    let rejected = load("desired", &folder()).unwrap_err();
    insta::assert_snapshot!(lines(&rejected.problems), @r#"
    acceptance-without-owner.yaml:7:14: missing field `owner` in `spec.acceptSas`
    acceptance-without-owner.yaml:7:14: missing field `until` in `spec.acceptSas`
    accesskey-with-disabled-key.yaml:8:3: the document contradicts itself: `authMode: accesskey` needs the key that `sharedKeyAccess: disabled` turns off (hint: a disabled key goes with `authMode: identity`)
    accesskey-with-disabled-key.yaml:8:3: unknown field `sharedKeyAccess` in `spec` (hint: `sharedKeyAccess` belongs on a StorageAccount document, for the key is shared by all workspaces on the account)
    alias-bomb.yaml:7:11: anchors (`&`) and aliases (`*`) are not read (hint: write the value out, in quotes if it starts with `&` or `*`; an AccessProfile shares access)
    bad-condition.yaml:11:18: `spec.access[0].condition` is not a condition: its brackets and quotes do not match (hint: an expression such as `(@Resource[…containers:name] StringEquals 'raw')`)
    bad-condition.yaml:17:18: the principal is given the same role under another condition before (hint: a principal has a role once at a scope: write one condition with `OR`)
    bad-condition.yaml:20:18: `spec.access[3].condition` must not be empty
    bad-duration.yaml:7:12: `spec.keyIdle` must be a duration; found the number 30 (hint: write a number and a unit, such as `90s`, `15m` or `7d`)
    bad-duration.yaml:14:12: `spec.keyIdle` must be at most 400 days, found `500d`
    bad-duration.yaml:21:12: `spec.keyIdle` must be longer than zero
    bad-guid.yaml:9:36: `spec.access[0].principal.user.objectId` is wrong: `ada@example.com` is not a GUID (hint: as in `3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90`)
    bad-resource-id.yaml:6:15: `spec.resourceId` is wrong: `workspaces/bad-resource-id` is not a resource id: it does not start with `/` (hint: `az resource show --query id` prints the id of a resource)
    bad-resource-id.yaml:13:15: `spec.resourceId` is wrong: `/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg-ml/providers/Microsoft.Storage/storageAccounts/stmlprod` is not the id of a workspace: segment 6 is `Microsoft.Storage`, not Microsoft.MachineLearningServices (hint: as in `/subscriptions/GUID/resourceGroups/GROUP/providers/Microsoft.MachineLearningServices/workspaces/NAME`)
    bad-suspend.yaml:8:35: `spec.suspend.until` is not an RFC 3339 time: `2026-12-24` (hint: write it as in `2026-12-24T00:00:00Z`)
    bad-suspend.yaml:16:12: missing field `until` in `spec.suspend`
    change-window-backwards.yaml:10:7: the window contradicts itself: `from` must be earlier than `to` (hint: a window over midnight is written as two, the first one to "24:00")
    control-character.yaml:7:38: `spec.acceptSas.owner` holds the control character U+0007
    create-contradicts-itself.yaml:9:5: a workspace or hub needs a `keyVault`
    create-contradicts-itself.yaml:9:5: the document contradicts itself: what is made is on identity, and `authMode` is accesskey (hint: make it with `authMode: identity`; it can go to keys once it exists)
    create-contradicts-itself.yaml:12:10: only a project has a `hub` (hint: say `kind: project`)
    create-contradicts-itself.yaml:21:5: a project needs the `hub` it is made in
    create-contradicts-itself.yaml:24:15: a project has no `keyVault` of its own (hint: it uses its hub's)
    create-contradicts-itself.yaml:25:5: unknown field `systemDatastoresAuthMode` in `spec.create` (hint: what is made is on identity-based access from the start)
    create-contradicts-itself.yaml:33:11: missing field `location` in `spec.create`
    create-contradicts-itself.yaml:33:11: missing field `storageAccount` in `spec.create`
    create-contradicts-itself.yaml:33:18: `spec.create.kind` must be one of default, hub, project; found `featureStore`
    create-contradicts-itself.yaml:33:53: `spec.create.publicNetworkAccess` must be one of enabled, disabled; found `Enabled` (hint: did you mean `enabled`?)
    create-of-odd-parts.yaml:9:15: `spec.create.location` is not the name of a region: `West Europe ` (hint: as in `westeurope`; `az account list-locations --query [].name` prints them)
    create-of-odd-parts.yaml:12:15: `spec.create.keyVault` is `/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg-ml/providers/Microsoft.Storage/storageAccounts/stml`, which is no Microsoft.KeyVault/vaults (hint: as in `/subscriptions/GUID/resourceGroups/GROUP/providers/Microsoft.KeyVault/vaults/NAME`)
    create-of-odd-parts.yaml:13:24: `spec.create.containerRegistry` is `/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg-ml`, which is no Microsoft.ContainerRegistry/registries (hint: as in `/subscriptions/GUID/resourceGroups/GROUP/providers/Microsoft.ContainerRegistry/registries/NAME`)
    create-of-odd-parts.yaml:24:21: `spec.create.storageAccount` is wrong: `/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroup/rg-ml/providers/Microsoft.Storage/storageAccounts/stml` is not the id of a storage account: segment 3 is `resourceGroup`, not resourceGroups (hint: as in `/subscriptions/GUID/resourceGroups/GROUP/providers/Microsoft.Storage/storageAccounts/NAME`)
    create-of-odd-parts.yaml:25:10: a project cannot be its own hub
    create-of-odd-parts.yaml:27:1: second Fleet, the first is at change-window-backwards.yaml:2:1 (hint: one desired state has at most one)
    create-of-odd-parts.yaml:31:29: `spec.defaults.agreeingReads` must be a whole number from 1 to 10; found `3` (hint: in quotes it is text; write it without them)
    create-of-odd-parts.yaml:33:101: `spec.acceptSas[0].until` is later or earlier than can be counted: `9999-12-31T23:59:59Z` (hint: the last time that can be counted is `9999-12-30T22:00:00Z`)
    dangling-profile.yaml:16:14: there is no AccessProfile named `org-reader` (hint: did you mean `org-readers`?)
    dangling-profile.yaml:16:26: there is no AccessProfile named `nobody-defines-this` (hint: what could not be read may define it)
    datastores-all-or-listed.yaml:8:25: `spec.datastores.convert` must be `all`; found `raw`
    datastores.yaml:9:27: `spec.datastores[0].type` must be one of blob, adlsGen1, adlsGen2, file; found `azureSql` (hint: databases are not offered by this API: only the SDK v1 can register one without credentials)
    datastores.yaml:10:7: missing field `container`, which `type: blob` needs
    datastores.yaml:10:43: `type: blob` has no `filesystem` (hint: `filesystem` goes with `type: adlsGen2`)
    datastores.yaml:11:14: datastore `Raw` is named twice, first on line 10
    datastores.yaml:12:14: `workspaceblobstore` is managed by the workspace itself (hint: it follows `authMode`)
    datastores.yaml:13:7: `spec.datastores[4]` has both `credentials` and `type` (hint: with a type it never has a credential: leave `credentials` out)
    datastores.yaml:14:7: `spec.datastores[5]` asks for nothing: it has neither `credentials` nor `type` (hint: `credentials: none` for one that exists, or a `type` and its place)
    datastores.yaml:15:49: `container` goes with a `type` (hint: only one with a `type` says where it stands)
    datastores.yaml:16:58: `type: adlsGen1` has no `account` (hint: `store` alone names it)
    datastores.yaml:17:7: missing field `container`, which `type: blob` needs
    datastores.yaml:17:32: unknown field `containerName` in `spec.datastores[8]` (hint: it is called `container` here)
    datastores.yaml:18:14: `New-One` is not a name for a new datastore (hint: lower-case letters, digits and `_`)
    deep-nesting.yaml:4:135: the document is nested deeper than 32 levels
    duplicate-key.yaml:9:3: duplicate field `authMode`, first at line 7
    duplicate-name.yaml:11:18: duplicate `metadata.name` of a Workspace: `same-name`, first at duplicate-name.yaml:4:18
    duplicate-resource-id.yaml:13:15: duplicate `resourceId` of a Workspace: `/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourcegroups/rg-ml/providers/microsoft.machinelearningservices/workspaces/same-workspace`, first at duplicate-resource-id.yaml:6:15
    logs-of-no-workspace.yaml:8:28: missing field `workspace` in `spec.evidence.logAnalytics`
    logs-of-no-workspace.yaml:8:29: unknown field `workspaceId` in `spec.evidence.logAnalytics` (hint: it is called `workspace` here, and takes the ARM id)
    logs-of-no-workspace.yaml:18:18: `spec.evidence.logAnalytics.workspace` is wrong: `/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg-ml/providers/Microsoft.MachineLearningServices/workspaces/logs` is not the id of a Log Analytics workspace: segment 6 is `Microsoft.MachineLearningServices`, not Microsoft.OperationalInsights (hint: as in `/subscriptions/GUID/resourceGroups/GROUP/providers/Microsoft.OperationalInsights/workspaces/NAME`)
    logs-of-no-workspace.yaml:19:5: unknown field `metrics` in `spec.evidence` (hint: known here: logAnalytics, dataProbe)
    merge-conflict.yaml:1:1: this line marks an unresolved merge conflict
    missing-field.yaml:4:11: missing field `name` in `metadata`
    missing-field.yaml:6:3: missing field `resourceId` in `spec`
    missing-field.yaml:6:11: `spec.authMode` has no value
    missing-field.yaml:8:7: missing field `principal` in `spec.access[0]`
    not-a-mapping.yaml:2:1: the document must be a mapping; found a list (hint: a document has the fields `apiVersion`, `kind`, `metadata` and `spec`)
    not-a-mapping.yaml:5:1: the document must be a mapping; found `just text` (hint: a document has the fields `apiVersion`, `kind`, `metadata` and `spec`)
    not-offered-yet.json:1:1: second Fleet, the first is at change-window-backwards.yaml:2:1 (hint: one desired state has at most one)
    not-offered-yet.json:4:36: unknown field `rollout` in `spec` (hint: `rollout` is not offered yet)
    nothing-asked.yaml:9:7: `spec.access[0]` asks for nothing: it has neither `level` nor `scenarios` (hint: add `level: readWrite`, `level: readOnly` or a list of `scenarios`)
    probe-of-no-account.yaml:8:25: `spec.evidence.dataProbe` must be `true` or `false`; found `once`
    probe-of-no-account.yaml:8:31: unknown field `probe` in `spec.evidence` (hint: it is called `dataProbe` here: true or false)
    probe-of-no-account.yaml:16:3: unknown field `evidence` in `spec` (hint: `evidence` belongs on a StorageAccount document or in the Fleet)
    project-elsewhere.yaml:23:21: the hub `Lending-Hub` is made on another account: `/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg-ml/providers/Microsoft.Storage/storageAccounts/sthub` (hint: a project stands on the account of its hub)
    project-elsewhere.yaml:36:10: `on-another-account` is no hub: its document makes it something else (hint: a project is made in a `kind: hub`)
    sas-selector.yaml:2:1: second Fleet, the first is at change-window-backwards.yaml:2:1 (hint: one desired state has at most one)
    sas-selector.yaml:5:23: `spec.defaults.keyIdle` is 93 days, but Azure keeps metrics for 93 (hint: at most `92d`, for the newest metrics are not complete)
    sas-selector.yaml:7:18: `/providers/Microsoft.Management/managementGroups/all` holds no account: it is not in a subscription (hint: as in `/subscriptions/GUID`, with a resource group or account below it if need be)
    sas-selector.yaml:8:18: `spec.acceptSas[0].services[0]` must be one of blob, file, queue, table; found `dfs` (hint: Data Lake Storage is part of `blob`)
    sas-selector.yaml:12:17: `spec.acceptSas[1].accounts` is an empty list (hint: leave it out, or name at least one)
    sas-selector.yaml:16:7: missing field `accounts` in `spec.acceptSas[2]`
    sas-selector.yaml:16:7: missing field `owner` in `spec.acceptSas[2]`
    sas-selector.yaml:16:7: missing field `reason` in `spec.acceptSas[2]`
    sas-selector.yaml:24:12: `spec.keyIdle` is 120 days, but Azure keeps metrics for 93 (hint: at most `92d`, for the newest metrics are not complete)
    second-fleet.yaml:2:1: second Fleet, the first is at change-window-backwards.yaml:2:1 (hint: one desired state has at most one)
    service-scenario.yaml:10:19: `spec.access[0].scenarios[0]` is `workspaceIdentity`, for which the service itself makes the grant (hint: leave it out; `serviceGrants` says what to do while that grant is missing)
    stale-keys-accepted-by-nobody.yaml:8:20: missing field `owner` in `spec.acceptStaleKeys`
    stale-keys-accepted-by-nobody.yaml:8:52: `spec.acceptStaleKeys.until` is not an RFC 3339 time: `soon` (hint: write it as in `2026-12-24T00:00:00Z`)
    syntax-error.yaml:7:3: unknown field `enforcment` in `spec` (hint: did you mean `enforcement`?)
    syntax-error.yaml:8:13: the document is not YAML: unclosed quote
    syntax-error.yaml:17:3: unknown field `colour` in `spec` (hint: known here: resourceId, authMode, enforcement, suspend, access, profiles, serviceGrants, datastores, acceptOneWay, acceptStaleKeys, acceptIncompatible, drain, create)
    tab-indentation.yaml:7:1: a tab indents this line (hint: YAML is indented with spaces)
    too-few-reversals.json:1:1: second Fleet, the first is at change-window-backwards.yaml:2:1 (hint: one desired state has at most one)
    too-few-reversals.json:4:75: `spec.guard.fight.reversals` must be a whole number from 1 to 100; found the number 0
    too-few-reversals.json:4:88: `spec.guard.fight.within` must be a duration; found the number 24 (hint: write a number and a unit, such as `90s`, `15m` or `7d`)
    too-few-reversals.json:4:92: unknown field `until` in `spec.guard.fight` (hint: known here: reversals, within)
    too-many-reads.yaml:1:1: second Fleet, the first is at change-window-backwards.yaml:2:1 (hint: one desired state has at most one)
    too-many-reads.yaml:7:29: `spec.defaults.agreeingReads` must be a whole number from 1 to 10; found the number 11
    two-principals-in-one.yaml:9:18: `spec.access[0].principal` contradicts itself: it is named as user and as compute (hint: write one entry for each)
    two-principals-in-one.yaml:11:18: `spec.access[1].principal` names nobody (hint: one of user, group, servicePrincipal, managedIdentity, compute, workspace)
    unknown-drain.yaml:8:10: `spec.drain` must be one of wait, ignore; found `2h`
    unknown-drain.yaml:10:1: second Fleet, the first is at change-window-backwards.yaml:2:1 (hint: one desired state has at most one)
    unknown-drain.yaml:14:3: unknown field `drain` in `spec` (hint: `drain` belongs in the Fleet's `defaults` or on a Workspace document)
    unknown-drain.yaml:15:21: `spec.defaults.drain` must be one of wait, ignore; found `ignored` (hint: did you mean `ignore`?)
    unknown-field.yaml:4:33: unknown field `namespace` in `metadata` (hint: known here: labels, name)
    unknown-field.yaml:8:3: unknown field `acces` in `spec` (hint: did you mean `access`?)
    unknown-field.yaml:10:75: unknown field `nmae` in `spec.access[0].principal.group` (hint: did you mean `name`?)
    unknown-incompatibility.yaml:9:12: `spec.acceptIncompatible[0].id` must be one of computeIdentityWithoutRole, computeInstanceSystemIdentity, crossRegionAccount, crossTenantAccount, hubUserAssignedIdentity; found `crossRegion`
    unknown-incompatibility.yaml:10:12: `spec.acceptIncompatible[1].id` must be one of computeIdentityWithoutRole, computeInstanceSystemIdentity, crossRegionAccount, crossTenantAccount, hubUserAssignedIdentity; found `modelPackage`
    unknown-incompatibility.yaml:12:7: `crossRegionAccount` is accepted twice
    unknown-scenario.yaml:10:19: `spec.access[0].scenarios[0]` must be one of computeInstance, dataLabeling, datastores, fineTuning, modelFromLocalFiles, modelRegistry, monitoring, notebooks, ownData, parallelRunStep, promptFlow, speech, studioDatasets, training; found `trainig` (hint: did you mean `training`?)
    unknown-scenario.yaml:12:14: `spec.access[1].level` must be one of readWrite, readOnly; found `write`
    unknown-word.yaml:7:13: `spec.authMode` must be one of identity, accesskey; found `accessKey` (hint: did you mean `accesskey`?)
    unknown-word.yaml:8:16: `spec.enforcement` must be one of observe, enforce; found `enforced` (hint: did you mean `enforce`?)
    unknown-word.yaml:9:18: `spec.serviceGrants` must be one of wait, grant, accept; found `maybe`
    unknown-word.yaml:16:13: `spec.authMode` must be one of identity, accesskey; found `userDelegationSAS` (hint: that value of Azure is reported, never set)
    wrong-kind.yaml:3:7: `kind` must be one of Workspace, StorageAccount, AccessProfile, Fleet; found `ConfigMap`
    wrong-kind.yaml:6:13: `apiVersion` must be `keyless.dev/v1`; found `keyless.dev/v2` (hint: did you mean `keyless.dev/v1`?)
    wrong-kind.yaml:13:1: missing field `kind` (hint: one of Workspace, StorageAccount, AccessProfile, Fleet)
    wrong-type.yaml:7:13: `spec.authMode` must be one of identity, accesskey; found a list
    wrong-type.yaml:8:16: `spec.enforcement` must be one of observe, enforce; found `true`
    wrong-type.yaml:10:5: `spec.access` must be a list; found a mapping
    wrong-type.yaml:11:12: `spec.suspend` must be a mapping; found `tomorrow`
    wrong-type.yaml:12:14: `spec.profiles[0]` must be text; found the number 7 (hint: put it in quotes)
    "#);
}

#[test]
fn what_is_allowed_but_doubtful_is_a_warning() {
    let rejected = load("desired", &folder()).unwrap_err();
    insta::assert_snapshot!(lines(&rejected.warnings), @r#"
    change-window-backwards.yaml:8:31: `spec.defaults.rolePropagation` is 5m, but Azure says that it can take 10m (hint: a grant may not work yet when it counts as old enough)
    doubtful.yaml:8:19: scenario `parallelRunStep` uses a user-assigned managed identity, not this principal (hint: the roles are granted as asked, but they may not be what makes the scenario work)
    doubtful.yaml:10:19: scenario `notebooks` uses the identity of the person at work, not this principal (hint: the roles are granted as asked, but they may not be what makes the scenario work)
    doubtful.yaml:11:18: `4d2c8a1e-6b3f-4e57-9c0d-1f2a3b4c5d6e` is another kind of principal at nothing-asked.yaml:9:18
    doubtful.yaml:18:15: `/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg-ml/providers/Microsoft.MachineLearningServices/workspaces/doubtful` is declared, but the Fleet's `scope` excludes `/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg-ml/providers/Microsoft.MachineLearningServices/workspaces/doubtful`
    doubtful.yaml:20:24: profile `doubtful` is named twice
    empty.yaml:1:1: the file holds no document
    "#);
}

const WORKSPACE: &str = "apiVersion: keyless.dev/v1\nkind: Workspace\nmetadata: {name: fraud}\nspec:\n  authMode: identity\n  resourceId: /subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/fraud\n";

/// What is told of these documents: problems, or else warnings; `f.yaml:` is left out.
fn told(text: &str) -> String {
    let told = match load("desired", &[SourceFile::new("f.yaml", text)]) {
        Ok(accepted) => lines(&accepted.warnings),
        Err(rejected) => lines(&rejected.problems),
    };
    told.replace("f.yaml:", "")
}

/// What is told of a workspace that also says this; its first line is the seventh.
fn told_of_workspace(rest: &str) -> String {
    told(&format!("{WORKSPACE}{rest}"))
}

fn fleet(spec: &str) -> String {
    format!("apiVersion: keyless.dev/v1\nkind: Fleet\nspec: {{owner: o, {spec}}}\n")
}

#[test]
fn a_profile_that_is_missing_is_explained_by_what_is_there() {
    let workspace = format!("{WORKSPACE}  profiles: [readers]\n---\n");
    let profile = "apiVersion: keyless.dev/v1\nkind: AccessProfile\nmetadata: {name: something-else}\nspec: {access: [{principal: {compute: cpu}, level: readOnly}]}\n";
    for (beside, hint) in [
        (String::new(), " (hint: there is no AccessProfile document)"),
        (profile.to_owned(), ""),
        (profile.replace("something-else", "reader"), " (hint: did you mean `reader`?)"),
        (profile.replace("AccessProfile", "AccesProfile"), " (hint: what could not be read may define it)"),
    ] {
        let told = told(&format!("{workspace}{beside}"));
        let first = told.lines().next().unwrap();
        assert_eq!(first, format!("7:14: there is no AccessProfile named `readers`{hint}"));
    }
}

#[test]
fn what_lies_in_no_subscription_of_the_scope_is_a_warning() {
    let of = |subscription: &str| {
        told(&format!("{WORKSPACE}---\n{}", fleet(&format!("scope: {{subscriptions: [{subscription}]}}"))))
    };
    assert_eq!(of("3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90"), "");
    insta::assert_snapshot!(of("11111111-52b4-4c0e-9d2e-7a1b6c5d4e90"), @"6:15: `/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/fraud` is in a subscription that the Fleet's `scope` does not name");
}

#[test]
fn waits_may_be_just_as_long_as_azure_asks_for() {
    let of = |defaults: &str| told(&fleet(&format!("defaults: {{{defaults}}}")));
    assert_eq!(of("rolePropagation: 10m, groupPropagation: 24h, keyIdle: 92d, lateWrite: 10s"), "");
    insta::assert_snapshot!(of("lateWrite: 9999ms"), @"3:40: `spec.defaults.lateWrite` is 9s 999ms, which is less than 10s (hint: with less, a write of a process that died may land after the next process has begun to write)");
    insta::assert_snapshot!(of("rolePropagation: 599s, groupPropagation: 86399s"), @r"
    3:46: `spec.defaults.rolePropagation` is 9m 59s, but Azure says that it can take 10m (hint: a grant may not work yet when it counts as old enough)
    3:70: `spec.defaults.groupPropagation` is 23h 59m 59s, but Azure says that it can take 24h (hint: a grant may not work yet when it counts as old enough)
    ");
    insta::assert_snapshot!(of("keyIdle: 92d 1s"), @"3:38: `spec.defaults.keyIdle` is 93 days, but Azure keeps metrics for 93 (hint: at most `92d`, for the newest metrics are not complete)");
}

#[test]
fn nothing_is_said_of_what_stands_behind_a_break() {
    insta::assert_snapshot!(told_of_workspace("  datastores:\n    - name: raw\n      credentials: \"none\n"), @"9:20: the document is not YAML: unclosed quote");
    insta::assert_snapshot!(told_of_workspace("  access:\n    - principal:\n        person: ada\n        user: \"ada\n"), @r"
    9:9: unknown field `person` in `spec.access[0].principal` (hint: known here: user, group, servicePrincipal, managedIdentity, compute, workspace)
    10:15: the document is not YAML: unclosed quote
    ");
}

#[test]
fn what_has_no_value_is_told_unless_the_document_breaks_off() {
    insta::assert_snapshot!(told_of_workspace("  profiles:\n    -\n  drain: 7\n"), @r"
    8:6: `spec.profiles[0]` must be text; found nothing
    9:10: `spec.drain` must be one of wait, ignore; found the number 7
    ");
    insta::assert_snapshot!(told_of_workspace("  profiles:\n    -\n  drain: 7\n  create: \"\n"), @r"
    9:10: `spec.drain` must be one of wait, ignore; found the number 7
    10:11: the document is not YAML: unclosed quote
    ");
}

#[test]
fn scenarios_of_somebody_else_are_a_warning() {
    let object = "objectId: 4d2c8a1e-6b3f-4e57-9c0d-1f2a3b4c5d6e";
    let identity = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/train";
    let scenarios = ["notebooks", "computeInstance", "parallelRunStep", "training"];
    let mut table = String::new();
    for (who, principal) in [
        ("user", format!("user: {{{object}}}")),
        ("group", format!("group: {{{object}}}")),
        ("service principal", format!("servicePrincipal: {{{object}}}")),
        ("managed identity", format!("managedIdentity: {identity}")),
        ("compute", "compute: cpu".to_owned()),
        ("system", "workspace: system".to_owned()),
        ("user-assigned", "workspace: userAssigned".to_owned()),
    ] {
        let entry = format!("  access: [{{principal: {{{principal}}}, scenarios: [{}]}}]\n", scenarios.join(", "));
        let told = told_of_workspace(&entry);
        let warned: Vec<&str> =
            scenarios.into_iter().filter(|name| told.contains(&format!("scenario `{name}` uses"))).collect();
        assert_eq!(told.lines().count(), warned.len(), "{told}");
        table.push_str(&format!("{who}: {warned:?}\n"));
    }
    insta::assert_snapshot!(table, @r#"
    user: ["parallelRunStep", "training"]
    group: []
    service principal: []
    managed identity: ["notebooks"]
    compute: ["notebooks"]
    system: ["notebooks", "computeInstance", "parallelRunStep", "training"]
    user-assigned: ["notebooks", "computeInstance", "training"]
    "#);
}

#[test]
fn a_condition_has_at_most_eight_kilobytes() {
    let of = |length: usize| {
        let condition = format!("(@Resource[a] StringEquals '{}')", "x".repeat(length - 30));
        assert_eq!(condition.len(), length);
        told_of_workspace(&format!(
            "  access: [{{principal: {{compute: cpu}}, level: readOnly, condition: \"{condition}\"}}]\n"
        ))
    };
    assert_eq!(of(8192), "");
    for length in [8193, 9000] {
        assert!(of(length).contains("`spec.access[0].condition` is longer than 8192 bytes"), "{length}");
    }
}

#[test]
fn other_roles_of_a_principal_may_be_under_other_conditions() {
    let entry = |level: &str, name: &str| {
        format!(
            "    - {{principal: {{compute: cpu}}, level: {level}, condition: \"(@Resource[a] StringEquals '{name}')\"}}\n"
        )
    };
    let of = |first: &str, second: &str| {
        told_of_workspace(&format!("  access:\n{}{}", entry(first, "raw"), entry(second, "done")))
    };
    assert_eq!(of("readOnly", "readWrite"), "");
    insta::assert_snapshot!(of("readOnly", "readOnly"), @"9:63: the principal is given the same role under another condition before (hint: a principal has a role once at a scope: write one condition with `OR`)");
}

#[test]
fn a_new_datastore_has_a_name_of_small_letters_digits_and_underscores() {
    let of = |name: &str| told_of_workspace(&format!("  datastores: [{{name: {name}, type: blob, container: raw}}]\n"));
    assert_eq!(of("raw_2"), "");
    for name in ["Raw", "raw-2"] {
        assert!(of(name).contains("is not a name for a new datastore"), "{name}");
    }
}

#[test]
fn what_stands_before_a_break_is_checked_wherever_it_shows() {
    // The parser stops a line after the first break, and five lines after the second.
    for rest in ["  access: [a\n  profiles: x\n", "  suspend: 'x\n  a: b\n  c: d\n  e: f\n  g: h\n  i: 'j\n"] {
        let told = told_of_workspace(&format!("  drane: wait\n{rest}"));
        assert!(told.contains("7:3: unknown field `drane`") && told.contains("the document is not YAML"), "{told}");
    }
}

#[test]
fn what_yaml_can_say_and_no_document_may_is_told() {
    insta::assert_snapshot!(told_of_workspace("  \tdrain: wait\n"), @"7:1: a tab indents this line (hint: YAML is indented with spaces)");
    insta::assert_snapshot!(told_of_workspace("  drain: !word wait\n"), @"7:16: the document is not YAML: unsupported tag `!word`");
    insta::assert_snapshot!(told_of_workspace("  <<: {drain: wait}\n"), @"7:3: unknown field `<<` in `spec` (hint: merge keys are not read; an AccessProfile shares access)");
    insta::assert_snapshot!(told_of_workspace("  1: wait\n"), @"7:3: a field name must be text, found the number 1 in `spec`");
}

#[test]
fn texts_have_a_longest_length() {
    let line = |length: usize| told(&fleet("").replace("owner: o", &format!("owner: \"{}\"", "é".repeat(length))));
    let prose = |length: usize| {
        told_of_workspace(&format!("  suspend: {{until: 2026-12-24T00:00:00Z, reason: \"{}\"}}\n", "é".repeat(length)))
    };
    assert_eq!((line(256), prose(2000)), (String::new(), String::new()));
    for (line, prose) in [(line(257), prose(2001)), (line(300), prose(2500))] {
        assert!(line.contains("`spec.owner` is longer than 256 characters"), "{line}");
        assert!(prose.contains("`spec.suspend.reason` is longer than 2000 characters"), "{prose}");
    }
    assert_eq!(told(&fleet("defaults: {watch: 400d}")), "");
    assert!(told(&fleet("defaults: {watch: 400d 1s}")).contains("`spec.defaults.watch` must be at most 400 days"));
}

#[test]
fn yes_and_no_are_true_and_false_without_quotes() {
    let of = |value: &str| told(&fleet(&format!("evidence: {{dataProbe: {value}}}")));
    assert_eq!((of("true"), of("false")), (String::new(), String::new()));
    for (value, hint) in [("\"true\"", true), ("\"false\"", true), ("yes", false), ("1", false), ("\"True\"", false)] {
        let told = of(value);
        assert!(told.contains("`spec.evidence.dataProbe` must be `true` or `false`; found"), "{told}");
        assert_eq!(told.contains("(hint: in quotes it is text; write it without them)"), hint, "{told}");
    }
}

#[test]
fn labels_are_texts() {
    let of = |labels: &str| told(&WORKSPACE.replace("name: fraud}", &format!("name: fraud, labels: {labels}}}")));
    assert_eq!(of("{team: fraud, empty: \"\"}"), "");
    insta::assert_snapshot!(of("{team: 7, ring: \"a\\tb\"}"), @r"
    3:40: `metadata.labels` must be text; found the number 7 (hint: put it in quotes)
    3:49: `metadata.labels` holds the control character U+0009
    ");
    insta::assert_snapshot!(of("[fraud]"), @"3:33: `metadata.labels` must be a mapping of text to text; found a list");
}

#[test]
fn what_a_file_says_is_shortened_in_messages() {
    let of = |length: usize| told_of_workspace(&format!("  {}: 1\n", "x".repeat(length)));
    assert!(of(80).starts_with(&format!("7:3: unknown field `{}` in", "x".repeat(80))), "{}", of(80));
    assert!(of(81).starts_with(&format!("7:3: unknown field `{}…` in", "x".repeat(79))), "{}", of(81));
}

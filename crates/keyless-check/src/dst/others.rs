//! Somebody else: what is done to the cloud while keyless works on it.

mod files;
mod roles;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use keyless_core::desired::{AuthMode, Desired, DesiredSharedKey, DesiredWorkspace, Need, PrincipalRef, Revision};
use keyless_core::id::{PrincipalId, StorageAccountId, WorkspaceId};
use keyless_core::observed::PrincipalType;
use keyless_sim::{Drift, DriftChange, Simulator};
use serde_json::{Value, json};

use super::aims::{Aimed, Hit};
use super::dice::Dice;
use super::draw::Draw;
use super::fleet::club_of;
use super::foreign::{DENIED, Foreign};
use super::incidents::Incident;
use super::judge::{Judge, KeyUse};
use super::wire::Road;
use files::other;
use roles::OwnRole;

/// Somebody else, and whoever writes the files.
pub(crate) struct Others {
    draw: Draw,
    drift: Dice,
    flip: Dice,
    members: Dice,
    /// Who is in which group to have what they need.
    joined: Vec<(String, String)>,
    documents: Dice,
    observers: Dice,
    swapper: Dice,
    /// The groups that were named in the place of people.
    clubs: BTreeSet<PrincipalId>,
    speaker: Dice,
    /// What documents say of keys, where somebody said so.
    said: BTreeMap<StorageAccountId, DesiredSharedKey>,
    denier: Dice,
    /// Deny assignments that stand.
    denied: Vec<String>,
    roles_dice: Dice,
    own_roles: Vec<OwnRole>,
    /// Documents that went.
    gone: BTreeMap<WorkspaceId, DesiredWorkspace>,
    /// What the files ask now.
    pub(crate) desired: Desired,
    /// Workspaces that somebody added.
    added: Vec<String>,
    /// Locks that stand.
    locks: Vec<String>,
    /// Datastores that store a key.
    stores: Vec<String>,
    /// Needs that were added, with what works by them.
    needs: Vec<(WorkspaceId, Need, String)>,
    made: u64,
}

impl Others {
    pub(crate) fn new(draw: &Draw, desired: Desired) -> Self {
        let (drift, flip) = (Dice::of(draw.seed, "drift"), Dice::of(draw.seed, "flip"));
        let members = Dice::of(draw.seed, "who joins");
        let documents = Dice::of(draw.seed, "which documents");
        let observers = Dice::of(draw.seed, "who observes");
        let swapper = Dice::of(draw.seed, "who is swapped");
        let speaker = Dice::of(draw.seed, "who speaks of keys");
        let denier = Dice::of(draw.seed, "who is denied");
        let roles_dice = Dice::of(draw.seed, "which roles");
        let draw = draw.clone();
        Self {
            draw,
            drift,
            flip,
            members,
            joined: Vec::new(),
            documents,
            observers,
            swapper,
            clubs: BTreeSet::new(),
            speaker,
            said: BTreeMap::new(),
            denier,
            denied: Vec::new(),
            roles_dice,
            own_roles: Vec::new(),
            gone: BTreeMap::new(),
            desired,
            added: Vec::new(),
            locks: Vec::new(),
            stores: Vec::new(),
            needs: Vec::new(),
            made: 0,
        }
    }

    /// Somebody changes something. What, in words that begin with the kind.
    pub(crate) fn drifts(&mut self, road: &Road) -> String {
        let (accounts, workspaces, assignments) = {
            let judge = road.judge();
            let on = |one: &String| judge.truth.workspaces.get(one).and_then(|one| one.account.clone());
            let workspaces: Vec<(String, Option<String>)> =
                judge.truth.workspaces.keys().map(|id| (id.clone(), on(id))).collect();
            let assignments: Vec<(String, String, String, String)> = judge
                .truth
                .assignments
                .iter()
                .map(|(id, one)| (id.clone(), one.scope.clone(), one.principal.clone(), one.role.clone()))
                .collect();
            (judge.truth.keys.keys().cloned().collect::<Vec<String>>(), workspaces, assignments)
        };
        let dice = &mut self.drift;
        let kind = dice.between(0, 15);
        let Some(account) = dice.pick(&accounts).cloned() else { return "nothing".to_owned() };
        let Some((workspace, on)) = dice.pick(&workspaces).cloned() else { return "nothing".to_owned() };
        let assignment = dice.pick(&assignments).cloned();
        let choice = dice.between(0, 2);
        let span = dice.seconds(60, 1800);
        let none = Duration::ZERO;
        match kind {
            0..=2 => {
                let value = [json!("Identity"), json!("accesskey"), Value::Null].get(choice as usize).cloned();
                self.change(road, DriftChange::AuthMode, &workspace, value.unwrap_or_default(), on, none)
            }
            3..=4 => {
                let value = [json!(true), json!(false), Value::Null].get(choice as usize).cloned();
                let of = Some(account.clone());
                // Who signs with a key that has come back on is seen when metrics show it.
                let hidden = self.draw.metrics_tell();
                self.change(road, DriftChange::SharedKey, &account, value.unwrap_or_default(), of, hidden)
            }
            5..=6 => {
                let Some((id, scope, ..)) = assignment else { return "nothing".to_owned() };
                let of = scope.contains("/storageaccounts/").then_some(scope);
                self.change(road, DriftChange::GrantRemoved, &id, Value::Null, of, none)
            }
            7 => {
                let Some((_, _, principal, role)) = assignment else { return "nothing".to_owned() };
                let value = json!({"principalId": principal, "roleDefinitionId": role});
                self.change(road, DriftChange::GrantAdded, &account, value, Some(account.clone()), none)
            }
            8 => match self.added.pop() {
                Some(gone) if choice == 0 => {
                    let on = road.judge().account_of(&gone);
                    self.change(road, DriftChange::WorkspaceRemoved, &gone, Value::Null, on, none)
                }
                back => {
                    self.added.extend(back);
                    self.adds_workspace(road, account)
                }
            },
            9 => {
                let hidden = self.draw.metrics_tell();
                let value = json!({"name": format!("script {}", self.made), "triesPerHour": 120,
                    "stopsAfter": humantime::format_duration(span).to_string()});
                self.made += 1;
                let now = road.sim.now();
                let until = now.checked_add(signed(span)).unwrap_or(now);
                road.judge().key_uses.push(KeyUse { account: account.clone(), until });
                self.change(road, DriftChange::KeyUserStarted, &account, value, Some(account.clone()), hidden)
            }
            10 => {
                let target = if choice == 0 { workspace } else { account };
                self.locks.push(target.clone());
                self.change(road, DriftChange::LockAdded, &target, json!("ReadOnly"), None, none)
            }
            11 => self.stores_key(road, &workspace, account, on.as_deref()),
            12 => match self.stores.pop() {
                Some(gone) => self.change(road, DriftChange::ResourceRemoved, &gone, Value::Null, None, none),
                None => "nothing".to_owned(),
            },
            13 => {
                let using = road.judge().key_uses.iter().rposition(|using| using.account == account);
                let said =
                    self.change(road, DriftChange::KeyUserStopped, &account, Value::Null, Some(account.clone()), none);
                let now = road.sim.now();
                if using.is_some() {
                    for using in road.judge().key_uses.iter_mut().filter(|using| using.account == account) {
                        using.until = using.until.min(now);
                    }
                }
                said
            }
            14 => {
                let name = json!(if choice == 0 { "key2" } else { "key1" });
                self.change(road, DriftChange::KeyRegenerated, &account, name, Some(account.clone()), none)
            }
            _ => match self.locks.pop() {
                Some(lock) => self.change(road, DriftChange::LockRemoved, &lock, Value::Null, None, none),
                None => "nothing".to_owned(),
            },
        }
    }

    /// What somebody else does to what people may: what it was, in words; nothing where this is no such incident.
    pub(crate) fn of_access(&mut self, incident: &Incident, road: &Road) -> Option<String> {
        match incident {
            Incident::Join => Some(self.join(road)),
            Incident::Leave => Some(self.leave(road)),
            Incident::Deny => Some(self.denies(road)),
            Incident::Roles => Some(self.gives_roles(road)),
            Incident::Recast => Some(self.recasts(road)),
            _ => None,
        }
    }

    /// People of the files who are in no group join one, which has what they need since long ago. How many, in words.
    fn join(&mut self, road: &Road) -> String {
        let (groups, wanting) = {
            let judge = road.judge();
            // Whom a document names by a group of his own stays in it.
            let is_club = |person: &str, group: &str| {
                person.parse().is_ok_and(|person| club_of(person).to_string().eq_ignore_ascii_case(group))
            };
            let of = |(person, groups): (&String, &BTreeSet<String>)| {
                groups.iter().filter(|group| !is_club(person, group)).cloned().collect::<Vec<_>>()
            };
            let groups: BTreeSet<String> = judge.truth.groups.iter().flat_map(of).collect();
            let mut wanting = BTreeSet::new();
            for (id, one) in &self.desired.workspaces {
                let Some(account) = judge.account_of(&id.as_str().to_ascii_lowercase()) else { continue };
                for need in &one.needs {
                    let PrincipalRef::Object { kind: PrincipalType::User, id: person, .. } = &need.principal else {
                        continue;
                    };
                    wanting.insert((person.to_string(), account.clone(), need.role.to_string()));
                }
            }
            (groups.into_iter().collect::<Vec<_>>(), wanting)
        };
        let Some(group) = self.members.pick(&groups).cloned() else { return "nobody joins".to_owned() };
        let long_ago = road.sim.now().checked_sub(SignedDuration::from_hours(24 * 30)).unwrap_or(Timestamp::MIN);
        for (person, account, role) in wanting {
            let value = json!({"principalId": group, "roleDefinitionId": role,
                "createdOn": long_ago.to_string(), "updatedOn": long_ago.to_string()});
            self.change(road, DriftChange::GrantAdded, &account, value, Some(account.clone()), Duration::ZERO);
            if self.joined.iter().all(|(member, _)| *member != person) {
                self.change(road, DriftChange::MemberAdded, &group, json!(person), None, Duration::ZERO);
                self.joined.push((person, group.clone()));
            }
        }
        format!("{} people join {group}", self.joined.len())
    }

    /// One of those leaves the group. What, in words.
    fn leave(&mut self, road: &Road) -> String {
        let Some((person, group)) = self.members.pick(&self.joined).cloned() else { return "nobody leaves".to_owned() };
        self.joined.retain(|(member, _)| *member != person);
        self.change(road, DriftChange::MemberRemoved, &group, json!(person), None, Duration::ZERO)
    }

    /// Somebody of the files is denied what an account holds; or nobody any more. What, in words.
    fn denies(&mut self, road: &Road) -> String {
        if !self.denied.is_empty() && self.denier.chance(0.5) {
            self.allow(road);
            return "nobody is denied any more".to_owned();
        }
        let accounts: Vec<String> = road.judge().truth.keys.keys().cloned().collect();
        let Some(account) = self.denier.pick(&accounts).cloned() else { return "nothing".to_owned() };
        self.denies_somebody(road, &account)
    }

    fn denies_somebody(&mut self, road: &Road, account: &str) -> String {
        let named: BTreeSet<(String, PrincipalType)> = {
            let judge = road.judge();
            let on = judge.truth.on(account).filter_map(|(id, _)| WorkspaceId::parse(id).ok());
            let needs = on.filter_map(|id| self.desired.workspaces.get(&id)).flat_map(|one| &one.needs);
            let objects = needs.filter_map(|need| match &need.principal {
                PrincipalRef::Object { kind, id, .. } => Some((id.to_string(), *kind)),
                _ => None,
            });
            objects.collect()
        };
        let named: Vec<_> = named.into_iter().collect();
        let Some((principal, kind)) = self.denier.pick(&named).cloned() else { return "nobody to deny".to_owned() };
        let id = format!("{account}/providers/Microsoft.Authorization/denyAssignments/{}", self.denier.uuid());
        let value = json!({"id": id, "name": id.rsplit('/').next(), "type": "Microsoft.Authorization/denyAssignments",
            "properties": {"denyAssignmentName": "nobody here", "scope": account, "doNotApplyToChildScopes": false,
                "permissions": [{"actions": [], "notActions": [], "dataActions": ["*"], "notDataActions": []}],
                "principals": [{"id": principal, "type": format!("{kind:?}")}], "excludePrincipals": [],
                "isSystemProtected": true}});
        let put = DriftChange::ResourcePut;
        if let Err(error) = road.sim.drift(Drift { change: put, target: id.clone(), value, by: String::new() }) {
            return format!("refused: {error}");
        }
        self.denied.push(id);
        let mut judge = road.judge();
        judge.count("people who are denied");
        let foreign = Foreign {
            at: road.sim.now(),
            since: road.since(),
            shown_by: Some(format!("{account}/providers/microsoft.authorization/denyassignments")),
            account: Some(account.to_owned()),
            what: format!("{DENIED} {principal}"),
            hidden: Duration::ZERO,
        };
        judge.foreign(&road.sim, foreign);
        format!("{principal} is denied what {account} holds")
    }

    fn allow(&mut self, road: &Road) {
        for deny in std::mem::take(&mut self.denied) {
            let gone = DriftChange::ResourceRemoved;
            // Nobody else takes them away.
            let _ = road.sim.drift(Drift { change: gone, target: deny, value: Value::Null, by: String::new() });
        }
    }

    /// A workspace on keys that no file declares comes to the account.
    fn adds_workspace(&mut self, road: &Road, account: String) -> String {
        self.made += 1;
        let group = account.split("/providers/").next().unwrap_or_default();
        let name = format!("late-{}", self.made);
        let id = format!("{group}/providers/Microsoft.MachineLearningServices/workspaces/{name}");
        let value = json!({
            "location": "westeurope", "kind": "Default", "sku": {"name": "Basic", "tier": "Basic"}, "tags": {},
            "identity": {"type": "SystemAssigned", "principalId": self.drift.uuid().to_string(),
                "tenantId": keyless_sim::TENANT_ID},
            "properties": {"workspaceId": self.drift.uuid().to_string(), "provisioningState": "Succeeded",
                "storageAccount": account, "publicNetworkAccess": "Enabled"},
        });
        self.added.push(id.to_ascii_lowercase());
        // A list may show what was.
        self.change(road, DriftChange::WorkspaceAdded, &id, value, Some(account), Duration::from_secs(120))
    }

    /// A datastore of the workspace, which is `on` an account, begins to store the key of an account.
    fn stores_key(&mut self, road: &Road, workspace: &str, account: String, on: Option<&str>) -> String {
        let name = format!("late{}", self.made);
        self.made += 1;
        let of = account.rsplit('/').next().unwrap_or_default();
        let value = json!({"properties": {"datastoreType": "AzureBlob", "accountName": of, "containerName": name,
            "credentials": {"credentialsType": "AccountKey"}, "endpoint": "core.windows.net", "protocol": "https"}});
        let target = format!("{workspace}/datastores/{name}");
        // Datastores elsewhere may be as old as five minutes.
        let hidden = if on == Some(&*account) { Duration::ZERO } else { Duration::from_secs(300) };
        let said = self.change(road, DriftChange::DatastoreAdded, &target, value, Some(account), hidden);
        self.stores.push(target);
        said
    }

    /// Somebody changes what was aimed at. What, in words.
    pub(crate) fn aimed(&mut self, road: &Road, hit: &Hit) -> String {
        let (account, on, elsewhere, assignments) = {
            let judge = road.judge();
            let shall_go = |account: &str| {
                let mut declared = judge.truth.on(account).filter_map(|(id, _)| judge.declared(id)).peekable();
                let on = judge.truth.keys.get(account) == Some(&true);
                on && declared.peek().is_some() && declared.all(|one| one.auth_mode == AuthMode::Identity)
            };
            let mut all = judge.truth.keys.keys().filter(|account| shall_go(account));
            let account = if hit.account.is_empty() { all.next().cloned() } else { Some(hit.account.clone()) };
            let Some(account) = account else { return "nothing".to_owned() };
            let on: Vec<String> = judge.truth.on(&account).map(|(id, _)| id.clone()).collect();
            let elsewhere: Vec<String> = judge.truth.workspaces.keys().filter(|id| !on.contains(id)).cloned().collect();
            let needs = on.iter().filter_map(|id| Some((id, judge.declared(id)?)));
            let people: Vec<String> = needs
                .flat_map(|(id, one)| one.needs.iter().flat_map(|need| judge.truth.principals(id, need)))
                .collect();
            let assignments: Vec<String> = judge
                .truth
                .assignments
                .iter()
                .filter(|(_, one)| one.scope == account && people.contains(&one.principal))
                .map(|(id, _)| id.clone())
                .collect();
            (account, on, elsewhere, assignments)
        };
        let Some(workspace) = self.drift.pick(&on).cloned() else { return "nothing".to_owned() };
        let said = match hit.what {
            Aimed::Mode => {
                let of = Some(account);
                self.change(road, DriftChange::AuthMode, &workspace, json!("accesskey"), of, Duration::ZERO)
            }
            Aimed::Store => self.stores_key(road, &workspace, account.clone(), Some(&account)),
            Aimed::Grant => match self.drift.pick(&assignments).cloned() {
                Some(id) => {
                    let of = Some(account);
                    self.change(road, DriftChange::GrantRemoved, &id, Value::Null, of, Duration::ZERO)
                }
                None => return "nothing".to_owned(),
            },
            Aimed::Key => {
                let hidden = self.draw.metrics_tell();
                self.change(road, DriftChange::SharedKey, &account, json!(true), Some(account.clone()), hidden)
            }
            Aimed::Deny => self.denies_somebody(road, &account),
            Aimed::Role => self.recasts_of(road, &account),
            Aimed::Files => {
                let modes = on.iter().filter_map(|id| Some(road.judge().declared(id)?.auth_mode));
                let Some(mode) = modes.min() else { return "nothing".to_owned() };
                self.turns(&on, mode);
                self.speaks_of_keys(road);
                format!("files: {account} to {}", other(mode))
            }
            Aimed::Newcomer => self.adds_workspace(road, account),
            Aimed::StoreElsewhere => {
                let at = self.drift.pick(&elsewhere).cloned().unwrap_or(workspace);
                let on = road.judge().account_of(&at);
                self.stores_key(road, &at, account, on.as_deref())
            }
        };
        road.judge().count(&format!("aimed: {:?}", hit.what));
        said
    }

    fn change(
        &self,
        road: &Road,
        change: DriftChange,
        target: &str,
        value: Value,
        account: Option<String>,
        hidden: Duration,
    ) -> String {
        let kind = format!("{change:?}");
        let words = format!("{kind} {target} {value}");
        let harmless = matches!(change, DriftChange::LockAdded | DriftChange::LockRemoved);
        let (shown, hidden) = if change == DriftChange::AuthMode && road.judge().is_on_key_unseen(target) {
            // That it signed with the key nothing shows but the metric.
            (None, self.draw.metrics_tell())
        } else {
            (shown_by(&road.judge(), change, target, account.as_deref()), hidden)
        };
        let drift = Drift { change, target: target.to_owned(), value, by: "somebody".to_owned() };
        match road.sim.drift(drift) {
            Ok(()) => {
                let mut judge = road.judge();
                judge.count(&format!("drift: {kind}"));
                if !harmless {
                    let (at, since) = (road.sim.now(), road.since());
                    judge.foreign(
                        &road.sim,
                        Foreign { at, since, shown_by: shown, account, what: words.clone(), hidden },
                    );
                }
                words
            }
            Err(error) => format!("refused {words}: {error}"),
        }
    }

    /// Nothing stands in the way of anybody any more, and nothing is suspended, observed only or bound to windows.
    pub(crate) fn calm(&mut self, road: &Road) {
        self.allow(road);
        self.mends_roles(road);
        for lock in std::mem::take(&mut self.locks) {
            let gone = DriftChange::LockRemoved;
            // Two locks of one level at a scope are one.
            let _ = road.sim.drift(Drift { change: gone, target: lock, value: Value::Null, by: String::new() });
        }
        for store in std::mem::take(&mut self.stores) {
            // It may have gone with its workspace.
            self.change(road, DriftChange::ResourceRemoved, &store, Value::Null, None, Duration::ZERO);
        }
        if !self.gone.is_empty() {
            self.documents(road);
        }
        self.desired.fleet.paused = false;
        self.desired.fleet.change_windows.clear();
        self.all_enforce();
        for one in self.desired.workspaces.values_mut() {
            one.suspend = None;
        }
    }

    /// What the files ask now, under the name of their content.
    pub(crate) fn files(&mut self) -> Arc<Desired> {
        let mut hash = DefaultHasher::new();
        format!("{:?} {:?} {:?}", self.desired.fleet, self.desired.workspaces, self.desired.accounts).hash(&mut hash);
        self.desired.revision = Revision(format!("{:016x}", hash.finish()));
        Arc::new(self.desired.clone())
    }
}

/// Who signs with keys at the start.
pub(crate) fn key_uses(sim: &Simulator) -> Vec<KeyUse> {
    let now = sim.now();
    let world = sim.world_json();
    let entries = world.as_array().into_iter().flatten();
    let users = entries
        .filter(|entry| entry["type"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("Keyless.Sim/keyUsers")));
    users
        .map(|entry| {
            let text =
                |name: &str| entry.pointer(&format!("/properties/{name}")).and_then(Value::as_str).unwrap_or_default();
            let left = humantime::parse_duration(text("stopsAfter")).ok();
            let until = left.and_then(|left| now.checked_add(signed(left)).ok());
            KeyUse { account: text("account").to_ascii_lowercase(), until: until.unwrap_or(Timestamp::MAX) }
        })
        .collect()
}

/// The path of the read that shows a change at once, and that nobody makes but passes of the account.
fn shown_by(judge: &Judge, change: DriftChange, target: &str, account: Option<&str>) -> Option<String> {
    let target = target.to_ascii_lowercase();
    match change {
        DriftChange::AuthMode | DriftChange::ResourceRemoved => Some(target),
        DriftChange::GrantRemoved => {
            let (scope, _) = target.rsplit_once('/')?;
            (scope.starts_with(account?)).then(|| scope.to_owned())
        }
        DriftChange::DatastoreAdded => {
            let (stores, _) = target.rsplit_once('/')?;
            (judge.account_of(stores).as_deref() == account).then(|| stores.to_owned())
        }
        _ => None,
    }
}

fn signed(span: Duration) -> SignedDuration {
    SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX)
}

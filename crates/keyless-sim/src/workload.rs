//! Callers who use the data all the time, and the oracle that records whom the cloud refused.
//!
//! A verdict is taken whenever something changes that bears on it; between changes tries are counted by arithmetic.
//! Only the loss of something counts as a denial: a caller is judged from the first verdict under which its access
//! worked. Tries before that are counted apart, as `neverWorked`.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::access::Grants;
use crate::azure::{Azure, Timer};
use crate::footprint::Footprint;
use crate::service::{Service, call_of};
use crate::through::Signed;
use crate::traffic::{Look, Pace, Segment, Use};
use crate::world::{ACCOUNT, KEY_USER, WORKLOAD};
use crate::{arm_id, json, network, time};

/// How far back metrics reach, and with them the traffic before the start. Source:
/// MicrosoftDocs/azure-docs `articles/azure-monitor/essentials/data-platform-metrics.md`.
const RETENTION: std::time::Duration = std::time::Duration::from_secs(93 * 24 * 3600);

/// How often somebody at work in a workspace tries, unless the world says otherwise.
pub(crate) const TRIES_PER_HOUR: f64 = 360.0;

/// Somebody who keeps trying.
pub(crate) struct Client {
    what: What,
    account: String,
    pace: Pace,
    since: Timestamp,
    verdict: Verdict,
    worked: bool,
    spell: Option<usize>,
    footprint: Arc<Footprint>,
}

pub(crate) enum What {
    Workload {
        workspace: String,
        principal: String,
        actions: Vec<String>,
        /// Whether it is the workspace's own identity, for which a grant with a condition is the service's usual one.
        own: bool,
        /// The datastore that it works through; those of the system if none is named.
        datastore: Option<String>,
        /// Of a job: the way of access that the workspace had when it began.
        mounted: Option<Signed>,
    },
    KeyUser {
        name: String,
        stops: Option<Timestamp>,
        service: Service,
        signs: Signs,
    },
}

/// How somebody outside of all workspaces signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signs {
    Key,
    /// With a SAS made from the key.
    KeySas,
    /// With a SAS that Entra signed.
    DelegationSas,
    /// With a key that never was this account's.
    WrongKey,
}

impl Signs {
    /// The words of `signs` in a key user's properties.
    pub(crate) fn named(word: &str) -> Option<Self> {
        Some(match word {
            "" | "key" => Self::Key,
            "keySas" => Self::KeySas,
            "delegationSas" => Self::DelegationSas,
            "wrongKey" => Self::WrongKey,
            _ => return None,
        })
    }

    /// What metrics call it.
    fn authentication(&self) -> &'static str {
        match self {
            Self::Key | Self::WrongKey => "AccountKey",
            Self::KeySas | Self::DelegationSas => "SAS",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// Not trying: stopped, or what it uses does not exist.
    Idle,
    Served(Arc<[Use]>),
    Refused(Arc<[Use]>, String),
}

impl Verdict {
    fn uses(&self) -> Option<&Arc<[Use]>> {
        match self {
            Self::Idle => None,
            Self::Served(uses) | Self::Refused(uses, _) => Some(uses),
        }
    }

    /// Served where nothing is refused.
    fn of(uses: BTreeSet<Use>, cause: Option<String>) -> Self {
        let uses = uses.into_iter().collect();
        match cause {
            None => Self::Served(uses),
            Some(cause) => Self::Refused(uses, cause),
        }
    }
}

/// The count of tries and denials, and every spell in which somebody was denied.
#[derive(Default)]
pub(crate) struct Oracle {
    tries: u64,
    entitled: u64,
    key_users: u64,
    never_worked: u64,
    events: Vec<Option<DenialEvent>>,
}

/// What the oracle has seen so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OracleReport {
    /// Tries of everybody since the start.
    pub tries: u64,
    /// Tries that were refused to somebody whose access had worked.
    pub denied: Denied,
    /// Refused tries of those whose access has never worked: no loss that any change caused.
    pub never_worked: u64,
    /// One entry for each spell of refusals.
    pub events: Vec<DenialEvent>,
}

/// Refused tries, by who tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Denied {
    /// Principals who work through a workspace and are entitled to.
    pub entitled: u64,
    /// Hidden users of the account key.
    pub key_users: u64,
}

/// The beginning of a spell in which somebody was refused what had worked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DenialEvent {
    /// When.
    pub at: String,
    /// Object id, or the name of a key user.
    pub principal: String,
    /// Workspace id; empty for a key user.
    pub workspace: String,
    /// Storage account id.
    pub account: String,
    /// Why, in the storage account's words.
    pub cause: String,
}

impl Azure {
    /// Brings to life every caller the world declares.
    pub(crate) fn start_clients(&mut self) {
        let history = time::before(self.now, RETENTION);
        let keys: Vec<String> =
            self.world.keys_of(WORKLOAD).chain(self.world.keys_of(KEY_USER)).map(str::to_owned).collect();
        for key in keys {
            self.start_client(&key, history);
        }
        self.start_undeclared_clients(history);
    }

    /// Brings one caller to life; what it does now it has done since `history`.
    pub(crate) fn start_client(&mut self, key: &str, history: Timestamp) {
        let Some(entry) = self.world.get(key) else { return };
        let number = |name| json::at(entry, &["properties", name]).and_then(Value::as_f64);
        let words = |name| json::text(entry, &["properties", name]).unwrap_or_default();
        let (what, account, default_pace) = if self.world.is_a(WORKLOAD, key) {
            let workspace = arm_id::key(words("workspace"));
            let actions = json::at(entry, &["properties", "dataActions"]).and_then(Value::as_array);
            let actions = actions.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
            let named = Some(words("datastore")).filter(|name| !name.is_empty());
            let datastore = named.map(|name| arm_id::key(&format!("{workspace}/datastores/{name}")));
            let account = self.home_of(&workspace, datastore.as_deref());
            let principal = words("principalId").to_owned();
            let what = What::Workload { workspace, principal, actions, own: false, datastore, mounted: None };
            (what, account, TRIES_PER_HOUR)
        } else {
            let stops = humantime::parse_duration(words("stopsAfter")).ok();
            let stops = stops.map(|after| time::after(self.now, self.speed.shorten(after)));
            let service = Service::named(words("service")).unwrap_or(Service::Blob);
            let signs = Signs::named(words("signs")).unwrap_or(Signs::Key);
            let name = words("name").to_owned();
            (What::KeyUser { name, stops, service, signs }, arm_id::key(words("account")), 60.0)
        };
        let tries = number("triesPerHour").unwrap_or(default_pace);
        self.bring_to_life(key, what, account, tries, history);
    }

    /// One caller who tries so often in an hour of real life, and has done so since `history`.
    pub(crate) fn bring_to_life(&mut self, key: &str, what: What, account: String, tries: f64, history: Timestamp) {
        let Some(pace) = Pace::per_hour(tries * self.speed.factor()) else { return };
        if let What::KeyUser { stops: Some(stops), .. } = &what {
            let stops = *stops;
            self.schedule(stops, Timer::KeyUserStops { client: key.to_owned() });
        }
        let footprint = Arc::new(self.footprint(key, &what));
        let (verdict, worked, spell) = (Verdict::Idle, false, None);
        let mut client = Client { what, account, pace, since: history, verdict, worked, spell, footprint };
        client.verdict = self.judge(&client);
        client.worked = matches!(client.verdict, Verdict::Served(_));
        if !client.worked {
            client.since = self.now;
        }
        self.clients_on.entry(client.account.clone()).or_default().insert(key.to_owned());
        if let What::Workload { workspace, .. } = &client.what {
            self.clients_through.entry(workspace.clone()).or_default().insert(key.to_owned());
        }
        self.clients.insert(key.to_owned(), client);
    }

    /// What a caller leaves in logs: as the world says, or made up from its name.
    fn footprint(&self, key: &str, what: &What) -> Footprint {
        let entry = self.world.get(key).unwrap_or(&Value::Null);
        let (address, agent) =
            (json::text(entry, &["properties", "address"]), json::text(entry, &["properties", "userAgent"]));
        match what {
            What::KeyUser { name, signs, .. } => Footprint::of(name, address, agent, Some(*signs)),
            What::Workload { principal, .. } => {
                Footprint { object: principal.clone(), ..Footprint::of(key, address, agent, None) }
            }
        }
    }

    /// Takes a caller out for good.
    pub(crate) fn stop_client(&mut self, key: &str) {
        if let Some(client) = self.clients.remove(key) {
            self.close(&client);
            if let Some(keys) = self.clients_on.get_mut(&client.account) {
                keys.remove(key);
            }
            if let What::Workload { workspace, .. } = &client.what
                && let Some(keys) = self.clients_through.get_mut(workspace)
            {
                keys.remove(key);
            }
        }
    }

    pub(crate) fn reconsider_account(&mut self, account: &str) {
        let keys: Vec<String> = self.clients_on.get(account).into_iter().flatten().cloned().collect();
        for key in keys {
            self.reconsider_client(&key);
        }
    }

    /// Judges everybody whose account is at or below the scope; a grant below an account concerns nobody here.
    pub(crate) fn reconsider_scope(&mut self, scope: &str) {
        let everywhere = scope.is_empty() || scope.starts_with("/providers/");
        let accounts: Vec<String> = self
            .clients_on
            .range(if everywhere { String::new() } else { scope.to_owned() }..)
            .map(|(account, _)| account)
            .take_while(|account| everywhere || account.starts_with(scope))
            .filter(|account| everywhere || arm_id::is_within(account, scope))
            .cloned()
            .collect();
        for account in accounts {
            self.reconsider_account(&account);
        }
    }

    /// Judges everybody who works through the workspace.
    pub(crate) fn reconsider_workspace(&mut self, workspace: &str) {
        let keys: Vec<String> = self.clients_through.get(workspace).into_iter().flatten().cloned().collect();
        for key in keys {
            self.reconsider_client(&key);
        }
    }

    /// Finds out anew on which account everybody's data lie, after a workspace has come or gone.
    pub(crate) fn rehome_clients(&mut self) {
        let keys: Vec<String> = self.clients.keys().cloned().collect();
        self.rehome(keys);
    }

    /// The same for everybody who works through one workspace, after a datastore of it has changed.
    pub(crate) fn rehome_workspace(&mut self, workspace: &str) {
        let keys: Vec<String> = self.clients_through.get(workspace).into_iter().flatten().cloned().collect();
        self.rehome(keys);
    }

    fn rehome(&mut self, keys: Vec<String>) {
        for key in keys {
            let Some(Client { what: What::Workload { workspace, datastore, .. }, account: old, .. }) =
                self.clients.get(&key)
            else {
                continue;
            };
            let account = self.home_of(workspace, datastore.as_deref());
            if account != *old {
                if let Some(keys) = self.clients_on.get_mut(old) {
                    keys.remove(&key);
                }
                self.clients_on.entry(account.clone()).or_default().insert(key.clone());
                if let Some(client) = self.clients.get_mut(&key) {
                    client.account = account;
                }
            }
            self.reconsider_client(&key);
        }
    }

    pub(crate) fn reconsider_client(&mut self, key: &str) {
        let Some(client) = self.clients.get(key) else { return };
        let verdict = self.judge(client);
        if verdict == client.verdict {
            return;
        }
        let Some(mut client) = self.clients.remove(key) else { return };
        let same_spell = matches!((&client.verdict, &verdict), (Verdict::Refused(..), Verdict::Refused(..)));
        self.close(&client);
        client.since = self.now;
        if !same_spell {
            client.spell = None;
        }
        match &verdict {
            Verdict::Served(_) => client.worked = true,
            Verdict::Refused(_, cause) if client.worked && client.spell.is_none() => {
                let (principal, workspace) = match &client.what {
                    What::Workload { workspace, principal, .. } => {
                        (principal.clone(), self.written_id(workspace).unwrap_or_else(|| workspace.clone()))
                    }
                    What::KeyUser { name, .. } => (name.clone(), String::new()),
                };
                client.spell = Some(self.oracle.events.len());
                self.oracle.events.push(Some(DenialEvent {
                    at: time::stamp(self.now),
                    principal,
                    workspace,
                    account: self.written_id(&client.account).unwrap_or_else(|| client.account.clone()),
                    cause: cause.clone(),
                }));
            }
            Verdict::Refused(..) | Verdict::Idle => {}
        }
        client.verdict = verdict;
        self.clients.insert(key.to_owned(), client);
    }

    /// Books what a caller did under the verdict that ends now. A spell of no length refused nobody.
    fn close(&mut self, client: &Client) {
        if client.since == self.now {
            if let Some(slot) = client.spell.and_then(|spell| self.oracle.events.get_mut(spell))
                && slot.as_ref().is_some_and(|event| event.at == time::stamp(self.now))
            {
                *slot = None;
            }
            return;
        }
        let counted = self.counted(client);
        self.oracle.add(client, counted);
        if let Some(uses) = client.verdict.uses().cloned() {
            let segments = self.traffic.entry(client.account.clone()).or_default();
            let kept = time::before(self.now, RETENTION);
            segments.retain(|segment| segment.until > kept);
            let by = Arc::clone(&client.footprint);
            segments.push(Segment { uses, since: client.since, until: self.now, pace: client.pace, by });
        }
    }

    /// Tries under the standing verdict since the later of its beginning and the simulator's start.
    fn counted(&self, client: &Client) -> u64 {
        client.pace.tries(client.since, client.since.max(self.started), self.now)
    }

    fn judge(&self, client: &Client) -> Verdict {
        if !self.world.is_a(ACCOUNT, &client.account) {
            return Verdict::Idle;
        }
        let through = match &client.what {
            What::Workload { workspace, .. } => Some(workspace.as_str()),
            What::KeyUser { .. } => None,
        };
        let shut_out = self.world.get(&client.account).is_some_and(|account| !network::lets_in(account, through));
        // Source: the table of 403s in the storage data plane; the response type is that of metrics.
        let no_way_in = |calls: &[(Service, &'static str)], authentication| {
            Verdict::of(uses(calls, authentication, "AuthorizationError"), Some("AuthorizationFailure".to_owned()))
        };
        match &client.what {
            What::KeyUser { stops, .. } if stops.is_some_and(|stops| stops <= self.now) => Verdict::Idle,
            What::KeyUser { service, signs, .. } => {
                let call = [(*service, service.read())];
                if shut_out {
                    return no_way_in(&call, signs.authentication());
                }
                match signs {
                    Signs::Key => self.by_key(&client.account, &call, "AccountKey"),
                    Signs::KeySas => self.by_key(&client.account, &call, "SAS"),
                    // Source: MicrosoftDocs/azure-docs `articles/storage/common/shared-key-authorization-prevent.md`.
                    Signs::DelegationSas => Verdict::of(uses(&call, "SAS", "Success"), None),
                    // 403 `AuthenticationFailed`. That metrics call it so is told by no public source.
                    Signs::WrongKey => Verdict::of(
                        uses(&call, "AccountKey", "AuthenticationError"),
                        Some("AuthenticationFailed".to_owned()),
                    ),
                }
            }
            What::Workload { workspace, principal, actions, own, datastore, mounted } => {
                let none = [call_of("")];
                let calls: Vec<_> = actions.iter().map(|action| call_of(action)).collect();
                let calls: &[_] = if calls.is_empty() { &none } else { &calls };
                let signed = match (mounted, self.signed(workspace, datastore.as_deref())) {
                    (Some(Signed::ByKey(authentication)), Some(Signed::ByToken)) => {
                        let cause = "the job mounted with the key, and its workspace has been switched".to_owned();
                        return Verdict::of(uses(calls, authentication, "AuthorizationError"), Some(cause));
                    }
                    (Some(Signed::ByToken), Some(Signed::ByKey(_))) => Some(Signed::ByToken),
                    (_, signed) => signed,
                };
                match signed {
                    None => return Verdict::Idle,
                    Some(Signed::ByKey(authentication)) if shut_out => return no_way_in(calls, authentication),
                    Some(Signed::ByToken) if shut_out => return no_way_in(calls, "OAuth"),
                    Some(Signed::ByKey(authentication)) => {
                        return match self.by_key(&client.account, calls, authentication) {
                            // Source: "Common REST API error codes" of Azure Storage: a signature that does not fit. What a
                            // datastore of people's making stores is not what the workspace holds.
                            Verdict::Served(_) if datastore.is_none() && self.stale_keys.contains_key(workspace) => {
                                Verdict::of(
                                    uses(calls, authentication, "AuthorizationError"),
                                    Some("AuthenticationFailed: the workspace signs with an old key".to_owned()),
                                )
                            }
                            verdict => verdict,
                        };
                    }
                    Some(Signed::ByToken) => {}
                }
                let grants = if *own { Grants::All } else { Grants::Unconditional };
                let mut missing = None;
                let mut done = BTreeSet::new();
                for action in actions {
                    let allowed = self.data_allowed(principal, action, &client.account, grants);
                    let response = if allowed { "Success" } else { "AuthorizationError" };
                    done.extend(uses(&[call_of(action)], "OAuth", response));
                    if !allowed && missing.is_none() {
                        missing = Some(format!("AuthorizationPermissionMismatch: {action}"));
                    }
                }
                if actions.is_empty() {
                    done = uses(&[call_of("")], "OAuth", "Success");
                }
                Verdict::of(done, missing)
            }
        }
    }

    /// What becomes of calls signed with the key, or with a SAS made from it.
    fn by_key(&self, account: &str, calls: &[(Service, &'static str)], authentication: &'static str) -> Verdict {
        let off = self.services_refused.get(account);
        let refused = |service: &Service| {
            self.keys_refused.contains(account) || off.is_some_and(|services| services.contains(service))
        };
        let mut done = BTreeSet::new();
        for call in calls {
            let response = if refused(&call.0) { "AuthorizationError" } else { "Success" };
            done.extend(uses(&[*call], authentication, response));
        }
        let any = calls.iter().any(|(service, _)| refused(service));
        Verdict::of(done, any.then(|| "KeyBasedAuthenticationNotPermitted".to_owned()))
    }

    /// Every span of tries on the account, the standing ones ending now.
    pub(crate) fn tries_on(&self, account: &str) -> Vec<Segment> {
        let mut segments = self.traffic.get(account).cloned().unwrap_or_default();
        let clients = self.clients_on.get(account).into_iter().flatten().filter_map(|key| self.clients.get(key));
        segments.extend(clients.filter_map(|client| {
            let uses = client.verdict.uses()?.clone();
            let by = Arc::clone(&client.footprint);
            Some(Segment { uses, since: client.since, until: self.now, pace: client.pace, by })
        }));
        segments
    }

    /// When a request signed with the account's key last succeeded.
    pub(crate) fn key_used(&self, account: &str) -> Option<Timestamp> {
        let segments = self.tries_on(account);
        let by_key = |one: &Use| one.look == Look { authentication: "AccountKey", response: "Success" };
        let last = segments.iter().flat_map(|segment| {
            let places = segment.uses.iter().enumerate().filter(move |(_, one)| by_key(one));
            places.filter_map(|(place, _)| Some(segment.span(place, Timestamp::MIN, self.now)?.1))
        });
        last.max()
    }

    /// What is left of a key user's time, in real-life terms.
    pub(crate) fn key_user_stops_after(&self, key: &str) -> Option<std::time::Duration> {
        match self.clients.get(key)?.what {
            What::KeyUser { stops: Some(stops), .. } => Some(self.speed.lengthen(time::between(self.now, stops))),
            _ => None,
        }
    }

    /// The oracle's account up to now.
    pub(crate) fn oracle_report(&self) -> OracleReport {
        let mut total = Oracle { events: self.oracle.events.clone(), ..self.oracle };
        for client in self.clients.values() {
            total.add(client, self.counted(client));
        }
        OracleReport {
            tries: total.tries,
            denied: Denied { entitled: total.entitled, key_users: total.key_users },
            never_worked: total.never_worked,
            events: total.events.into_iter().flatten().collect(),
        }
    }
}

fn uses(calls: &[(Service, &'static str)], authentication: &'static str, response: &'static str) -> BTreeSet<Use> {
    let look = Look { authentication, response };
    calls.iter().map(|(service, api)| Use { service: *service, api, look }).collect()
}

impl Oracle {
    fn add(&mut self, client: &Client, tries: u64) {
        if client.verdict == Verdict::Idle {
            return;
        }
        self.tries += tries;
        match (&client.verdict, client.worked, &client.what) {
            (Verdict::Refused(..), false, _) => self.never_worked += tries,
            (Verdict::Refused(..), true, What::Workload { .. }) => self.entitled += tries,
            (Verdict::Refused(..), true, What::KeyUser { .. }) => self.key_users += tries,
            _ => {}
        }
    }
}

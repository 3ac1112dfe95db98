//! The workloads: how the world is at first, what the files ask, and what others do meanwhile.

use std::time::Duration;

use keyless_sim::{Drift, DriftChange};
use serde_json::{Value, json};

use super::world::{Asks, Place, account, assignment, own_grants, resources, workspace};

/// What others do, and when.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// Since the start of the run.
    pub(crate) at: Duration,
    pub(crate) change: Change,
}

/// What others do.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// Somebody changes the cloud.
    Foreign(Drift),
    /// Somebody signs with the key for so long.
    KeyUser(Duration),
    /// Other files come into force, by their place among those of the workload.
    Files(usize),
}

/// What a workload ends with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) key_on: bool,
    /// The workspaces on identity.
    pub(crate) on_identity: &'static [&'static str],
    /// How many steps are left, held by a gate.
    pub(crate) held: usize,
}

/// A small story.
#[derive(Debug, Clone)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) resources: Vec<Value>,
    /// The files, the first of them from the start, with what they say of the key.
    pub(crate) files: Vec<(Vec<Asks>, Option<&'static str>)>,
    pub(crate) events: Vec<Event>,
    pub(crate) ends: Ends,
}

const fn on_key(name: &'static str) -> Place {
    Place { name, on_identity: false, people: &[0] }
}

const fn on_identity(name: &'static str) -> Place {
    Place { on_identity: true, ..on_key(name) }
}

const fn to_identity(name: &'static str) -> Asks {
    Asks { name, identity: true, people: &[0] }
}

const fn to_key(name: &'static str) -> Asks {
    Asks { identity: false, ..to_identity(name) }
}

fn foreign(at: Duration, change: DriftChange, target: String, value: Value) -> Event {
    let by = "somebody".to_owned();
    Event { at, change: Change::Foreign(Drift { change, target, value, by }) }
}

/// When others step in: a world that is as the files ask has come to rest before, and one on its way has not.
const LATER: Duration = Duration::from_secs(5 * 60);
/// When a whole migration has come to rest, whatever went wrong on its way.
const RESTED: Duration = Duration::from_secs(60 * 60);

impl Workload {
    fn new(name: &'static str, resources: Vec<Value>, asks: Vec<Asks>) -> Self {
        let ends = Ends { key_on: false, on_identity: &["a"], held: 0 };
        Self { name, resources, files: vec![(asks, None)], events: Vec::new(), ends }
    }

    /// The story in which one of its events, by its number from 1, never happens.
    pub(crate) fn less(&self, number: usize) -> Self {
        let mut less = self.clone();
        if (1..=less.events.len()).contains(&number) {
            less.events.remove(number - 1);
        }
        less
    }

    fn ends(mut self, key_on: bool, on_identity: &'static [&'static str], held: usize) -> Self {
        self.ends = Ends { key_on, on_identity, held };
        self
    }

    fn then(mut self, event: Event) -> Self {
        self.events.push(event);
        self
    }

    fn key(mut self, said: &'static str) -> Self {
        if let Some((_, key)) = self.files.last_mut() {
            *key = Some(said);
        }
        self
    }

    fn files_at(mut self, at: Duration, asks: Vec<Asks>, key: Option<&'static str>) -> Self {
        self.files.push((asks, key));
        self.events.push(Event { at, change: Change::Files(self.files.len() - 1) });
        self
    }
}

/// All of them.
pub(crate) fn all() -> Vec<Workload> {
    let old = |key_on, places: &[Place]| resources(key_on, places, &[0]);
    let settled = || Workload::new("", old(false, &[on_identity("a")]), vec![to_identity("a")]);
    let named = |name, workload: Workload| Workload { name, ..workload };
    vec![
        Workload::new("migrate", resources(true, &[on_key("a")], &[]), vec![to_identity("a")]),
        Workload::new(
            "shared",
            resources(true, &[on_key("a"), on_key("b")], &[]),
            vec![to_identity("a"), to_identity("b")],
        )
        .ends(false, &["a", "b"], 0),
        Workload::new("undeclared", resources(true, &[on_key("a"), on_key("u")], &[]), vec![to_identity("a")]).ends(
            true,
            &["a"],
            1,
        ),
        Workload::new("back", old(false, &[on_identity("a")]), vec![to_key("a")]).key("enabled").ends(true, &[], 0),
        Workload::new(
            "half-migrated",
            old(true, &[on_identity("a"), on_key("b")]),
            vec![to_identity("a"), to_identity("b")],
        )
        .ends(false, &["a", "b"], 0),
        Workload::new("half-back", old(true, &[on_key("a"), on_identity("b")]), vec![to_key("a"), to_key("b")])
            .key("enabled")
            .ends(true, &[], 0),
        Workload::new("broken-on-arrival", resources(false, &[on_key("a")], &[]), vec![to_identity("a")]),
        named("drift-mode", settled()).then(foreign(LATER, DriftChange::AuthMode, workspace("a"), json!("AccessKey"))),
        named("drift-key", settled()).then(foreign(LATER, DriftChange::SharedKey, account(), json!(true))),
        named("drift-role", settled()).then(foreign(LATER, DriftChange::GrantRemoved, assignment(0, 0), Value::Null)),
        Workload::new("late-key-user", resources(true, &[on_key("a")], &[]), vec![to_identity("a")])
            .then(Event { at: LATER, change: Change::KeyUser(Duration::from_secs(7 * 60)) }),
        named("principal-added", settled()).files_at(LATER, vec![Asks { people: &[0, 1], ..to_identity("a") }], None),
        Workload::new(
            "principal-removed",
            [old(false, &[on_identity("a")]), own_grants(1)].concat(),
            vec![Asks { people: &[0, 1], ..to_identity("a") }],
        )
        .files_at(LATER, vec![to_identity("a")], None),
        Workload::new("files-flip", resources(true, &[on_key("a")], &[]), vec![to_identity("a")])
            .files_at(RESTED, vec![to_key("a")], Some("enabled"))
            .files_at(RESTED * 2, vec![to_identity("a")], None),
    ]
}

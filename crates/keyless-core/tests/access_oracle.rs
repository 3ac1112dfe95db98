//! The judgement of access against a second one, written anew from the documents and as plainly as possible: it knows the
//! whole truth (who is in which group, what the clock says), looks at one data action at a time, and shares no code with
//! the first.
//!
//! `KEYLESS_ACCESS_CASES` and `KEYLESS_ACCESS_SEED` choose how many cases and which.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use keyless_core::access::{self, Cover, Question};
use keyless_core::catalog::{self, CatalogRole};
use keyless_core::desired::Waits;
use keyless_core::id::*;
use keyless_core::observed::*;
use uuid::Uuid;

const SUB: &str = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90";
const BLOBS: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/";

/// A small generator: SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.roll() % n as u64).unwrap()
    }

    /// True once in so many times.
    fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

fn principal(n: usize) -> PrincipalId {
    PrincipalId(Uuid::from_u128(0xA00 + n as u128))
}

/// Principals 0 and 1 are people, 2 and 3 applications, 4 to 7 groups.
const PEOPLE_AND_APPS: usize = 4;
const ALL: usize = 8;

fn kind(n: usize) -> PrincipalType {
    match n {
        0 | 1 => PrincipalType::User,
        2 | 3 => PrincipalType::ServicePrincipal,
        _ => PrincipalType::Group,
    }
}

fn now() -> Timestamp {
    "2026-11-26T12:00:00Z".parse().unwrap()
}

fn account() -> String {
    format!("{SUB}/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/stml")
}

/// The whole truth.
#[derive(Debug, Clone)]
struct Truth {
    assignments: Vec<RoleAssignment>,
    roles: BTreeMap<RoleId, RoleDefinition>,
    denies: Vec<DenyAssignment>,
    /// Who is directly in which group: the member first.
    members: BTreeSet<(usize, usize)>,
    /// Since when a membership was seen, if it was.
    seen: BTreeMap<(PrincipalId, PrincipalId), Timestamp>,
    /// How often reads showed an assignment, by its name, and a membership.
    shown: BTreeMap<AssignmentName, Agreement>,
    shown_members: BTreeMap<(PrincipalId, PrincipalId), Agreement>,
}

/// A small world, with much of it about the principal and the role in question.
fn random(dice: &mut Dice, who: usize, asked: RoleId) -> Truth {
    let scopes = [
        "/".to_owned(),
        "/providers/Microsoft.Management/managementGroups/mg".to_owned(),
        SUB.to_owned(),
        SUB.to_uppercase().replace("/SUBSCRIPTIONS", "/Subscriptions"),
        format!("{SUB}/resourceGroups/RG"),
        format!("{SUB}/resourceGroups/r"),
        format!("{SUB}/resourceGroups/other"),
        account(),
        account().to_lowercase(),
        account(),
        format!("{}/blobServices/default/containers/c", account()),
        format!("{}x", account()),
    ];
    let above = [&scopes[0], &scopes[1], &scopes[2], &scopes[3], &scopes[4], &scopes[7], &scopes[8], &scopes[9]]
        .map(String::clone);
    let patterns = [
        "*".to_owned(),
        format!("{BLOBS}*"),
        format!("{BLOBS}read"),
        format!("{BLOBS}WRITE"),
        format!("{BLOBS}delete"),
        format!("{BLOBS}*/action"),
        "*/read".to_owned(),
        "*/write".to_owned(),
        "Microsoft.Storage/*/blobs/*".to_owned(),
        "Microsoft.Storage/storageAccounts/fileServices/*".to_owned(),
        "Microsoft.Storage/storageAccounts/tableServices/*".to_owned(),
        "Microsoft.Storage/storageAccounts/queueServices/queues/messages/*".to_owned(),
        "Microsoft.Storage/storageAccounts/blobServices/containers/blobs".to_owned(),
    ];
    let ages = [
        1_i64,
        60,
        14 * 60,
        15 * 60,
        16 * 60,
        3600,
        23 * 3600,
        24 * 3600,
        25 * 3600,
        9 * 86_400,
        30 * 86_400,
        60 * 86_400,
        90 * 86_400,
    ];
    let some = |dice: &mut Dice, most: usize| -> Vec<String> {
        (0..dice.below(most + 1)).map(|_| dice.pick(&patterns).clone()).collect()
    };
    let block = |dice: &mut Dice| Permission {
        actions: some(dice, 2),
        not_actions: some(dice, 1),
        data_actions: some(dice, 3),
        not_data_actions: if dice.once_in(3) { some(dice, 2) } else { Vec::new() },
    };
    let mut roles = BTreeMap::new();
    let mut ids: Vec<RoleId> = Vec::new();
    for (n, known) in catalog::ROLES.iter().enumerate() {
        let custom = n >= 3 && !dice.once_in(3);
        let permissions = if custom {
            (0..=dice.below(3)).map(|_| block(dice)).collect()
        } else {
            vec![Permission {
                data_actions: known.data_actions.iter().map(|&action| action.to_owned()).collect(),
                ..Permission::default()
            }]
        };
        let updated_on = (!dice.once_in(3)).then(|| now() - SignedDuration::from_secs(*dice.pick(&ages)));
        ids.push(known.id);
        roles.insert(
            known.id,
            RoleDefinition { id: known.id, name: known.name.to_owned(), permissions, updated_on, built_in: !custom },
        );
    }
    let assignments = (0..dice.below(5))
        .map(|n| {
            let name = AssignmentName(Uuid::from_u128(0xF00 + n as u128));
            let covering = !dice.once_in(4);
            let list = if covering { &above[..] } else { &scopes[..] };
            let scope = ArmId::parse(dice.pick(list).as_str()).unwrap();
            let holder = match dice.below(5) {
                0 | 1 => who,
                2 | 3 => PEOPLE_AND_APPS + dice.below(ALL - PEOPLE_AND_APPS),
                _ => dice.below(ALL),
            };
            let time =
                |dice: &mut Dice| (!dice.once_in(6)).then(|| now() - SignedDuration::from_secs(*dice.pick(&ages)));
            RoleAssignment {
                id: scope.role_assignment(name),
                name,
                scope,
                principal: principal(holder),
                principal_type: (!dice.once_in(5)).then(|| kind(holder)),
                role: if dice.once_in(2) { asked } else { *dice.pick(&ids) },
                condition: dice.once_in(4).then(|| dice.pick(&["(a)", "(b)", " (a) "]).to_string()),
                description: None,
                created_on: time(dice),
                updated_on: time(dice),
            }
        })
        .collect();
    let denies = (0..if dice.once_in(2) { 0 } else { 1 + dice.below(2) })
        .map(|n| {
            let scope = ArmId::parse(dice.pick(&scopes[..]).as_str()).unwrap();
            let principals = (0..=dice.below(2))
                .map(|_| match dice.below(ALL + 1) {
                    ALL => DeniedPrincipal::Everyone,
                    n if n >= PEOPLE_AND_APPS => DeniedPrincipal::Group(principal(n)),
                    n => DeniedPrincipal::One(principal(n)),
                })
                .collect();
            DenyAssignment {
                name: format!("deny-{n}"),
                scope,
                permissions: (0..=dice.below(2)).map(|_| block(dice)).collect(),
                exact_scope_only: dice.once_in(3),
                principals,
                excluded: (0..dice.below(3)).map(|_| principal(dice.below(ALL))).collect(),
                conditional: dice.once_in(6),
            }
        })
        .collect();
    let members: BTreeSet<(usize, usize)> = (0..dice.below(6))
        .map(|_| {
            let member = if dice.once_in(2) { who } else { dice.below(ALL) };
            (member, PEOPLE_AND_APPS + dice.below(ALL - PEOPLE_AND_APPS))
        })
        .collect();
    let mut seen = BTreeMap::new();
    for member in 0..PEOPLE_AND_APPS {
        for group in PEOPLE_AND_APPS..ALL {
            if !dice.once_in(3) {
                let at = now() - SignedDuration::from_secs(*dice.pick(&ages));
                seen.insert((principal(member), principal(group)), at);
            }
        }
    }
    let agreement = |dice: &mut Dice| {
        let [a, b] = [0; 2].map(|_: i64| *dice.pick(&[0_i64, 10, 440, 449, 450, 451, 900, 3600]));
        let ago = |seconds| now() - SignedDuration::from_secs(seconds);
        Agreement { first: ago(a.max(b)), last: ago(a.min(b)), reads: 1 + u32::try_from(dice.below(3)).unwrap() }
    };
    let assignments: Vec<RoleAssignment> = assignments;
    let (mut shown, mut shown_members) = (BTreeMap::new(), BTreeMap::new());
    for assignment in &assignments {
        if dice.once_in(2) {
            shown.insert(assignment.name, agreement(dice));
        }
    }
    for (pair, first) in &seen {
        // As a rule by every read since the first.
        let row = if dice.once_in(4) { agreement(dice) } else { Agreement { first: *first, last: now(), reads: 9 } };
        if !dice.once_in(6) {
            shown_members.insert(*pair, row);
        }
    }
    Truth { assignments, roles, denies, members, seen, shown, shown_members }
}

/// What is known of it: everything, or without some of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blind {
    Nothing,
    Assignments(bool),
    Role(bool),
    Groups(bool),
    Denies(bool),
}

fn observe(truth: &Truth, blind: Blind, role: RoleId) -> Observed {
    fn lost<T>(unread: bool) -> Reading<T> {
        if unread { Reading::NotRead } else { Reading::unknown("lost") }
    }
    let mut observed = Observed::unread(StorageAccountId::parse(&account()).unwrap(), now());
    observed.assignments = Reading::known(truth.assignments.clone(), now());
    observed.roles = truth.roles.iter().map(|(id, role)| (*id, Reading::known(role.clone(), now()))).collect();
    observed.denies = Reading::known(truth.denies.clone(), now());
    for n in 0..PEOPLE_AND_APPS {
        // Azure tells the groups only by what is assigned to them at the account or above.
        let shown = inside(truth, n).into_iter().filter(|group| shows(truth, *group)).map(principal).collect();
        observed.groups.insert(principal(n), Reading::known(shown, now()));
    }
    observed.history.member_since = truth.seen.clone();
    for assignment in &truth.assignments {
        let (made, shown) = (assignment.created_on.max(assignment.updated_on), truth.shown.get(&assignment.name));
        if let (Some(made), Some(agreement)) = (made, shown) {
            let at = StorageAccountId::parse(&account()).unwrap();
            let shown = Shown::Assignment { at, id: assignment.id.clone(), made };
            observed.history.agreements.insert(shown, *agreement);
        }
    }
    for ((principal, group), agreement) in &truth.shown_members {
        let shown = Shown::Member { principal: *principal, group: *group };
        observed.history.agreements.insert(shown, *agreement);
    }
    match blind {
        Blind::Nothing => {}
        Blind::Assignments(unread) => observed.assignments = lost(unread),
        Blind::Role(unread) => drop(observed.roles.insert(role, lost(unread))),
        Blind::Groups(unread) => observed.groups.values_mut().for_each(|groups| *groups = lost(unread)),
        Blind::Denies(unread) => observed.denies = lost(unread),
    }
    observed
}

// ---- The second judgement. Everything below is written from the documents and uses nothing of `access`.

/// Every group a principal is in, by walking until nothing is new.
fn inside(truth: &Truth, who: usize) -> BTreeSet<usize> {
    let mut found: BTreeSet<usize> = BTreeSet::new();
    loop {
        let before = found.len();
        for (member, group) in &truth.members {
            if *member == who || found.contains(member) {
                found.insert(*group);
            }
        }
        if found.len() == before {
            // Whoever is in itself by a circle is still itself.
            found.remove(&who);
            return found;
        }
    }
}

fn shows(truth: &Truth, group: usize) -> bool {
    truth.assignments.iter().any(|a| a.principal == principal(group) && holds_for_account(a.scope.as_str()))
}

/// Whether a scope is the account or one of the four kinds of place above it.
fn holds_for_account(scope: &str) -> bool {
    let scope = scope.to_lowercase();
    scope == "/"
        || scope.starts_with("/providers/microsoft.management/managementgroups/")
        || [SUB.to_lowercase(), format!("{SUB}/resourcegroups/rg").to_lowercase(), account().to_lowercase()]
            .contains(&scope)
}

/// `*` is any run of characters: tried out by hand, character by character.
fn fits(pattern: &[u8], action: &[u8]) -> bool {
    match pattern.split_first() {
        None => action.is_empty(),
        Some((b'*', rest)) => (0..=action.len()).any(|skip| fits(rest, &action[skip..])),
        Some((first, rest)) => {
            action.first().is_some_and(|letter| letter.eq_ignore_ascii_case(first)) && fits(rest, &action[1..])
        }
    }
}

fn in_list(list: &[String], action: &str) -> bool {
    list.iter().any(|pattern| fits(pattern.as_bytes(), action.as_bytes()))
}

fn block_has(blocks: &[Permission], action: &str) -> bool {
    let mut has = false;
    for block in blocks {
        if in_list(&block.data_actions, action) && !in_list(&block.not_data_actions, action) {
            has = true;
        }
    }
    has
}

/// When one assignment works for a principal: `Err` where Azure does not tell when it was made.
fn works(truth: &Truth, who: usize, assignment: &RoleAssignment, waits: &Waits) -> Result<i64, ()> {
    let times = [assignment.created_on, assignment.updated_on];
    let Some(mut youngest) = times.into_iter().flatten().max() else { return Err(()) };
    let direct = assignment.principal == principal(who);
    if !direct {
        youngest = youngest.max(*truth.seen.get(&(principal(who), assignment.principal)).unwrap_or(&now()));
    }
    let scope = assignment.scope.as_str().to_lowercase();
    let high = scope == "/" || scope.contains("microsoft.management");
    let person = kind(who) == PrincipalType::User;
    let seconds = |wait: Duration| i64::try_from(wait.as_secs()).unwrap();
    let (short, long) = (seconds(waits.role_propagation), seconds(waits.group_propagation));
    let group = kind(who) == PrincipalType::Group;
    let wait = if high || group || (!direct && !person) { long } else { short };
    let mut old_enough = youngest.as_second() + wait;
    if let Some(changed) = truth.roles[&assignment.role].updated_on {
        old_enough = old_enough.max(changed.as_second() + wait.max(long.min(60 * 60)));
    }
    // So many reads, spread over half of the short wait, each a share of that from the one before it; of what is eight
    // short waits old nobody asks them. By default two reads over 450 s, 225 s apart, and two hours.
    let now = now().as_second();
    let asked = i64::from(waits.agreeing_reads);
    let (apart, spread, settled) = (short / (2 * asked), if asked > 1 { short / 2 } else { 0 }, 8 * short);
    let mut agreed = i64::MIN;
    let of_assignment =
        (times.into_iter().flatten().max().map(Timestamp::as_second), truth.shown.get(&assignment.name));
    let mut proofs = vec![of_assignment];
    if !direct {
        let proof = truth.shown_members.get(&(principal(who), assignment.principal));
        proofs.push((proof.map(|proof| proof.first.as_second()), proof));
    }
    for (began, proof) in proofs {
        let began = began.unwrap_or(now);
        if began + settled <= now {
            continue;
        }
        let (first, last, reads) = match proof {
            Some(proof) => (proof.first.as_second(), proof.last.as_second(), proof.reads),
            None => (now, now, 1),
        };
        let reads = i64::from(reads);
        let enough = if reads < asked || last < first + spread {
            (last + apart * (asked - reads).max(1)).max(first + spread).max(now + 1)
        } else {
            last
        };
        agreed = agreed.max(enough.min(began + settled));
    }
    Ok(old_enough.max(agreed))
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Expect {
    Covered(Option<i64>),
    Missing(Vec<String>),
    Conditional(Vec<String>),
    Denied { certain: bool },
}

/// Does this principal have it? Looks at one data action after the other.
fn expect(truth: &Truth, who: usize, role: &CatalogRole, condition: Option<&str>, waits: &Waits) -> Expect {
    // A group's own groups are told by nobody.
    let groups: BTreeSet<usize> = if who < PEOPLE_AND_APPS { inside(truth, who) } else { BTreeSet::new() };
    let is_mine = |id: PrincipalId| id == principal(who) || groups.iter().any(|group| principal(*group) == id);
    let mut missing = Vec::new();
    let mut all_conditional = true;
    let mut latest: Option<i64> = Some(i64::MIN);
    for &action in role.data_actions {
        let mut best: Option<Option<i64>> = None;
        let mut under_condition = false;
        for assignment in &truth.assignments {
            if !is_mine(assignment.principal)
                || !holds_for_account(assignment.scope.as_str())
                || !block_has(&truth.roles[&assignment.role].permissions, action)
            {
                continue;
            }
            let enough = match &assignment.condition {
                None => true,
                Some(text) => condition.is_some_and(|asked| asked.trim() == text.trim()),
            };
            if !enough {
                under_condition = true;
                continue;
            }
            let at = works(truth, who, assignment, waits).ok();
            best = Some(match (best.flatten(), at) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            });
        }
        match best {
            None => {
                missing.push(action.to_owned());
                all_conditional &= under_condition;
            }
            Some(at) => latest = latest.zip(at).map(|(one, other)| one.max(other)),
        }
    }
    if !missing.is_empty() {
        return if all_conditional { Expect::Conditional(missing) } else { Expect::Missing(missing) };
    }
    let mut denied = None;
    for deny in &truth.denies {
        let home = deny.scope.as_str().to_lowercase() == account().to_lowercase();
        if !(home || (!deny.exact_scope_only && holds_for_account(deny.scope.as_str()))) {
            continue;
        }
        if !role.data_actions.iter().any(|action| block_has(&deny.permissions, action)) {
            continue;
        }
        // Of groups only those are known that have an assignment here; the rest may hold anybody.
        let known = |id: PrincipalId| (PEOPLE_AND_APPS..ALL).any(|group| principal(group) == id && shows(truth, group));
        let known_in = |id: PrincipalId| who < PEOPLE_AND_APPS && known(id) && is_mine(id);
        if deny.excluded.iter().any(|id| *id == principal(who) || known_in(*id)) {
            continue;
        }
        let spared_for_sure_not = deny.excluded.iter().all(|id| who < PEOPLE_AND_APPS && told_apart(truth, *id));
        let mut hit = None;
        for denied in &deny.principals {
            let sure = match denied {
                DeniedPrincipal::Everyone => Some(true),
                DeniedPrincipal::One(id) if *id == principal(who) => Some(true),
                // Who is in a group is not told.
                DeniedPrincipal::One(_) => (kind(who) == PrincipalType::Group).then_some(false),
                DeniedPrincipal::Group(id) => Some(*id == principal(who) || known_in(*id)),
            };
            hit = hit.max(sure);
        }
        if let Some(sure) = hit {
            denied = denied.max(Some(sure && spared_for_sure_not && !deny.conditional));
        }
    }
    match denied {
        Some(certain) => Expect::Denied { certain },
        None => Expect::Covered(latest),
    }
}

/// Whether what is assigned to members would show that they are in it: anybody with an assignment here.
fn told_apart(truth: &Truth, id: PrincipalId) -> bool {
    truth.assignments.iter().any(|a| a.principal == id && holds_for_account(a.scope.as_str()))
}

// ---- The comparison.

fn said(cover: &Cover) -> Option<Expect> {
    Some(match cover {
        Cover::Covered { works_at, .. } => Expect::Covered(works_at.map(|at| at.as_second())),
        Cover::Missing { data_actions, conditional: false } => Expect::Missing(data_actions.clone()),
        Cover::Missing { data_actions, conditional: true } => Expect::Conditional(data_actions.clone()),
        Cover::Denied { by } => Expect::Denied { certain: by.certain },
        Cover::Unknown { .. } | Cover::NotRead(_) => return None,
    })
}

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect(name))
}

/// Waits that a fleet may ask for instead of the defaults, all of them whole shares of each other.
fn other_waits(dice: &mut Dice) -> Waits {
    let minutes = |n: u64| Duration::from_secs(60 * n);
    Waits {
        role_propagation: minutes(*dice.pick(&[10, 15, 30, 60])),
        group_propagation: minutes(60 * *dice.pick(&[1, 2, 24, 48])),
        agreeing_reads: *dice.pick(&[1, 2, 3, 5]),
        ..Waits::default()
    }
}

/// Holds one case against the naive judgement and says of which kind it was, and about which role.
fn compare(seed: u64, number: u64) -> (&'static str, &'static str) {
    let mut dice = Dice(seed.wrapping_add(number).wrapping_mul(0x2545_F491_4F6C_DD1D));
    let in_group = dice.once_in(6);
    let who = if in_group { PEOPLE_AND_APPS + dice.below(ALL - PEOPLE_AND_APPS) } else { dice.below(PEOPLE_AND_APPS) };
    let role = if dice.once_in(2) { &catalog::ROLES[1] } else { dice.pick(catalog::ROLES) };
    let waits = &if dice.once_in(4) { other_waits(&mut dice) } else { Waits::default() };
    let truth = random(&mut dice, who, role.id);
    let condition = dice.once_in(3).then_some("(a)");
    let unread = dice.once_in(2);
    let blind = match dice.below(20) {
        0 => Blind::Assignments(unread),
        1 => Blind::Role(unread),
        2 | 3 => Blind::Groups(unread),
        4 => Blind::Denies(unread),
        _ => Blind::Nothing,
    };
    let hidden = truth.assignments.first().map_or(role.id, |assignment| assignment.role);
    let observed = observe(&truth, blind, hidden);
    let question = Question { principal: principal(who), kind: Some(kind(who)), role, condition };
    let answer = access::judge(&question, &observed, waits);
    let expected = expect(&truth, who, role, condition, waits);
    let case = || {
        let asked = format!("{who} {} {condition:?} {blind:?}", role.name);
        format!("case {number} of seed {seed}: {asked}\n{truth:#?}\nsaid {answer:#?}")
    };
    let kind = match said(&answer.cover) {
        None => {
            assert_ne!(blind, Blind::Nothing, "nothing is hidden, expected {expected:?}\n{}", case());
            if let Cover::NotRead(reads) = &answer.cover {
                assert!(!reads.is_empty(), "{}", case());
                "not read"
            } else {
                "unknown"
            }
        }
        // What is said although something is hidden has to be true all the same, but for how sure a denial is, and for
        // when it works where a way is not seen.
        Some(found) if blind != Blind::Nothing => {
            let same = match (&found, &expected) {
                (Expect::Denied { .. }, Expect::Denied { .. }) => true,
                // A membership that could not be read may spare it: that is not access, so it is told as denied.
                (Expect::Denied { certain: false }, Expect::Covered(_)) => blind == Blind::Groups(false),
                (Expect::Covered(told), Expect::Covered(truly)) => {
                    told.is_none() || truly.is_none() || told >= truly //
                }
                // Which actions are missing is less than all while a way is hidden; that some are is the same.
                (Expect::Missing(_) | Expect::Conditional(_), Expect::Missing(_) | Expect::Conditional(_)) => true,
                _ => false,
            };
            assert!(same, "expected {expected:?}, found {found:?}\n{}", case());
            "told although something is hidden"
        }
        Some(found) => {
            assert_eq!(found, expected, "{}", case());
            match &found {
                Expect::Covered(None) => "ageless",
                Expect::Covered(Some(at)) if *at > now().as_second() => "young",
                Expect::Covered(Some(_)) if answer.paths.iter().all(|path| path.through.is_some()) => {
                    "through groups alone"
                }
                Expect::Covered(Some(_)) => "effective",
                Expect::Missing(some) if some.len() < role.data_actions.len() => "missing in part",
                Expect::Missing(_) => "missing",
                Expect::Conditional(_) => "conditioned",
                Expect::Denied { certain: true } => "denied",
                Expect::Denied { certain: false } => "may be denied",
            }
        }
    };
    (kind, role.name)
}

/// A quarter of them hide something, so that fewer are compared exactly.
const DEFAULT_CASES: u64 = 140_000;

#[test]
fn the_judgement_agrees_with_a_naive_one_on_every_random_case() {
    const THREADS: u64 = 2;
    let (cases, seed) = (from_env("KEYLESS_ACCESS_CASES", DEFAULT_CASES), from_env("KEYLESS_ACCESS_SEED", 20_261_126));
    type Counts = BTreeMap<(&'static str, &'static str), u64>;
    let mut all = Counts::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|first| {
                scope.spawn(move || {
                    let mut all = Counts::new();
                    for number in (first..cases).step_by(usize::try_from(THREADS).unwrap()) {
                        *all.entry(compare(seed, number)).or_default() += 1;
                    }
                    all
                })
            })
            .collect();
        for worker in workers {
            match worker.join() {
                Ok(found) => found.into_iter().for_each(|(kind, count)| *all.entry(kind).or_default() += count),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    let (mut kinds, mut roles) = (BTreeMap::new(), BTreeMap::new());
    for ((kind, role), count) in all {
        *kinds.entry(kind).or_insert(0) += count;
        *roles.entry(role).or_insert(BTreeMap::new()).entry(kind).or_insert(0) += count;
    }
    println!("{cases} cases of seed {seed}: {kinds:#?}\n{roles:#?}");
    assert_eq!(kinds.values().sum::<u64>(), cases);
    // Where nothing is hidden the two have to be equal to the word and the second.
    let exact = |kinds: &BTreeMap<&str, u64>| {
        let loose = ["unknown", "not read", "told although something is hidden"];
        kinds.iter().filter(|(kind, _)| !loose.contains(kind)).map(|(_, count)| count).sum::<u64>()
    };
    if cases >= DEFAULT_CASES {
        assert!(exact(&kinds) >= 100_000, "{} cases are compared exactly", exact(&kinds));
    }
    for role in catalog::ROLES {
        let kinds = &roles[role.name];
        assert!(exact(kinds) >= cases / 30, "{}: {kinds:?}", role.name);
        for (kind, share) in [("effective", 1000), ("young", 1000), ("missing", 200), ("denied", 10_000)] {
            let found = kinds.get(kind).copied().unwrap_or_default();
            assert!(found >= cases / share, "only {found} cases of {} are `{kind}`", role.name);
        }
    }
    for (kind, share) in [
        ("effective", 200),
        ("through groups alone", 500),
        ("young", 200),
        ("ageless", 500),
        ("missing", 200),
        ("missing in part", 200),
        ("conditioned", 200),
        ("denied", 200),
        ("may be denied", 200),
        ("unknown", 200),
        ("not read", 200),
        ("told although something is hidden", 200),
    ] {
        let found = kinds.get(kind).copied().unwrap_or_default();
        assert!(found >= cases / share, "only {found} cases are `{kind}`");
    }
}

//! What the daemon's work costs: the shipped controller and client over the simulated cloud on paused time, with nothing
//! going wrong, Azure's published buckets, and the waits that files have where they name none.
//!
//! Requests, writes, bytes and virtual time are the same on every machine for a seed. What must be so is judged, and
//! fails: no wasted write, no write at rest, no answer 429. A goal that is missed is told as missed. Rates by the machine's
//! clock are told for what they are.

mod floor;
mod kind;
mod stage;
mod sum;
mod told;

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use keyless_check::say;

use self::stage::{Drifted, Figures, INTERVAL, Migrate, Rest, Size};
use self::sum::{Shares, Spans, Sum};

/// What is run.
pub(crate) struct Options {
    pub(crate) seed: u64,
    /// The sizes of the fleets.
    pub(crate) workspaces: Vec<usize>,
    /// Intervals at rest of the smallest fleet; larger ones have fewer, for about as many requests.
    pub(crate) cycles: u32,
    /// Intervals with a change by others.
    pub(crate) changes: u32,
    pub(crate) key_idle: Duration,
}

/// Amplification over the floor that a migration is to stay below.
const AMPLIFIED_AT_WORK: f64 = 1.10;
/// The same at rest.
const AMPLIFIED_AT_REST: f64 = 1.05;
/// How late an alert may be, beyond the interval.
const ALERT_WITHIN: Duration = Duration::from_secs(2);
/// How old the last answer may be when a write leaves.
const SEND_WITHIN: Duration = Duration::from_secs(5);
/// How long one account may take beyond the waits of the files.
const BEYOND_WAITS: Duration = Duration::from_secs(15);

/// Runs every size and prints what it costs.
///
/// # Errors
/// If a fleet cannot be run, a part would judge nothing, or something is not as it must be.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let Options { seed, workspaces, cycles, changes, key_idle } = options;
    ensure!(!workspaces.contains(&0), "a fleet has workspaces");
    ensure!(*cycles > 0, "without a cycle nothing is judged of rest");
    ensure!(*changes > 0, "without changes by others nothing is judged of drift");
    say!(
        "commit {}, seed {seed}, interval {}, keyIdle {}, groupPropagation as rolePropagation, all other waits as files \
         have them that name none",
        commit(),
        humantime::format_duration(INTERVAL),
        humantime::format_duration(*key_idle)
    );
    let smallest = workspaces.iter().copied().min().unwrap_or_default();
    let mut wrong = Vec::new();
    for &of in workspaces {
        let size = Size {
            seed: *seed,
            workspaces: of,
            cycles: fewer(*cycles, smallest, of),
            changes: *changes,
            key_idle: *key_idle,
        };
        let began = Instant::now();
        let figures = stage::play(size, stage::draw(size))?;
        tell(&figures);
        rates(&figures, began.elapsed());
        wrong.extend(judged(&figures).into_iter().map(|why| format!("{of} workspaces: {why}")));
    }
    if wrong.is_empty() { Ok(()) } else { bail!("{}", wrong.join("\n")) }
}

/// What is checked out here, as far as it is known.
fn commit() -> String {
    let told = std::process::Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    let told = told.ok().filter(|told| told.status.success());
    told.map_or_else(|| "unknown".to_owned(), |told| String::from_utf8_lossy(&told.stdout).trim().to_owned())
}

/// As many cycles as cost a larger fleet about as much.
fn fewer(cycles: u32, smallest: usize, of: usize) -> u32 {
    let share = smallest as f64 / of.max(1) as f64;
    ((f64::from(cycles) * share) as u32).max(1)
}

/// What is not as it must be.
fn judged(figures: &Figures) -> Vec<String> {
    let Figures { least, migrate, rest, drift, broken, .. } = figures;
    let mut wrong = broken.clone();
    if migrate.sum.writes != least.writes() {
        let (made, least) = (migrate.sum.writes, least.writes());
        wrong.push(format!("migrate: {made} writes where {least} are enough: {:?}", migrate.sum.steps));
    }
    if rest.sum.writes > 0 {
        wrong.push(format!("rest: {} writes: {:?}", rest.sum.writes, rest.sum.steps));
    }
    if !rest.loud.is_empty() {
        wrong.push(format!("rest: told although nothing happened: {:?}", rest.loud));
    }
    if rest.passes == 0 {
        wrong.push("rest: no pass was judged".to_owned());
    }
    if drift.changes == 0 {
        wrong.push("drift: nothing was changed by others".to_owned());
    }
    if drift.unseen > 0 {
        wrong.push(format!("drift: {} of {} changes were not told", drift.unseen, drift.changes));
    }
    for (part, sum) in [("migrate", &migrate.sum), ("rest", &rest.sum), ("drift", &drift.sum)] {
        if sum.refused > 0 {
            wrong.push(format!("{part}: {} answers 429", sum.refused));
        }
    }
    wrong
}

fn tell(figures: &Figures) {
    let Figures { least, migrate, rest, drift, .. } = figures;
    say!("\n== {} workspaces on {} accounts", least.workspaces(), least.accounts.len());
    tell_migrate(figures, migrate);
    tell_rest(figures, rest);
    tell_drift(drift);
}

fn tell_migrate(figures: &Figures, migrate: &Migrate) {
    let Migrate { sum, shares, floor, steps, took, waits, beyond } = migrate;
    let least = &figures.least;
    let wasted = i128::from(sum.writes) - i128::from(least.writes());
    row(
        "migrate",
        &format!("{} requests, {} KiB received, {} answers 429", sum.requests, sum.received / 1024, sum.refused),
    );
    row(
        "",
        &format!(
            "{} writes, least {} ({} grants, {} switches, {} datastores, {} keys off), wasted {wasted}",
            sum.writes,
            least.writes(),
            least.grants,
            least.switches,
            least.datastores,
            least.keys.len()
        ),
    );
    row(
        "",
        &format!(
            "{:.1} requests a workspace, {:.1} a write",
            ratio(sum.requests, least.workspaces()),
            ratio(sum.requests, sum.writes)
        ),
    );
    let terms: Vec<String> = floor.terms.iter().map(|(term, requests)| format!("{requests} {term}")).collect();
    let work = ratio(shares.work.requests, floor.sum());
    row(
        "",
        &format!(
            "at work {} requests, floor {}: A {work:.2}, {}",
            shares.work.requests,
            floor.sum(),
            goal(work, AMPLIFIED_AT_WORK)
        ),
    );
    row("", &format!("  floor: {}", terms.join(" + ")));
    let passes: u64 = shares.waits.values().sum();
    let looks: u64 = shares.waits.iter().map(|(account, passes)| passes * least.look(account)).sum();
    let waiting = ratio(shares.waiting.requests, looks);
    row(
        "",
        &format!(
            "waiting {} requests in {passes} passes, floor {looks}: A {waiting:.2}, {}",
            shares.waiting.requests,
            goal(waiting, AMPLIFIED_AT_REST)
        ),
    );
    row("", &format!("of no pass {} requests", shares.others.requests));
    let mut order: Vec<_> = steps.iter().collect();
    order.sort_by_key(|(_, (from, _))| *from);
    for (step, (from, to)) in order {
        row("", &format!("{:>9.1} s to {:>9.1} s: {step}", from.as_secs_f64(), to.as_secs_f64()));
    }
    row("", &format!("virtual time {:.1} s, D {:.1} s", took.as_secs_f64(), waits.as_secs_f64()));
    spans("accounts beyond D", *beyond, BEYOND_WAITS);
    row("", "     all  at work  waiting  no pass");
    for (kind, requests) in by_count(sum) {
        let of = |part: &Sum| part.kinds.get(kind).copied().unwrap_or_default();
        let Shares { work, waiting, others, .. } = shares;
        row("", &format!("{requests:>8} {:>8} {:>8} {:>8}  {kind}", of(work), of(waiting), of(others)));
    }
}

fn tell_rest(figures: &Figures, rest: &Rest) {
    let Rest { cycles, sum, passes, floor, loud } = rest;
    let least = &figures.least;
    row(
        "rest",
        &format!(
            "{cycles} cycles, {passes} passes, {} requests, {} writes, {} answers 429, {} events of level info or higher",
            sum.requests,
            sum.writes,
            sum.refused,
            loud.values().sum::<u64>()
        ),
    );
    let each = ratio(sum.requests, least.workspaces()) / f64::from(*cycles);
    let direct = least.look_at_all();
    row(
        "",
        &format!(
            "{each:.2} requests a workspace and cycle; 3 N would be 3.00, and {:.2} where accounts are shared",
            ratio(direct, least.workspaces())
        ),
    );
    let amplified = ratio(sum.requests, *floor);
    row("", &format!("A {amplified:.2} over as many looks, {}", goal(amplified, AMPLIFIED_AT_REST)));
    for (kind, requests) in by_count(sum) {
        row("", &format!("{:>8.2} a cycle  {kind}", requests as f64 / f64::from(*cycles)));
    }
}

fn tell_drift(drift: &Drifted) {
    let Drifted { changes, unseen, sum, alerts, sends, effects, passes } = drift;
    row(
        "drift",
        &format!(
            "{changes} changes by others, {unseen} of them not told; {} requests, {} writes, {} answers 429",
            sum.requests, sum.writes, sum.refused
        ),
    );
    spans("change to alert", *alerts, INTERVAL + ALERT_WITHIN);
    spans("last answer to write leaving", *sends, SEND_WITHIN);
    if let Some(effects) = effects {
        row("", &format!("the same, from cloud to cloud: {effects}"));
    }
    if let Some(passes) = passes {
        row("", &format!("start of the pass to write leaving: {passes}"));
    }
}

/// Whether a goal is met.
fn goal(is: f64, most: f64) -> String {
    let word = if is <= most { "met" } else { "missed" };
    format!("goal {most:.2} {word}")
}

fn spans(what: &str, of: Option<Spans>, most: Duration) {
    let Some(of) = of else { return row("", &format!("{what}: none")) };
    let word = if of.late <= most { "met" } else { "missed" };
    row("", &format!("{what}: {of}; goal p99 {} s {word}", most.as_secs()));
}

fn by_count(sum: &Sum) -> Vec<(&String, u64)> {
    let mut kinds: Vec<(&String, u64)> = sum.kinds.iter().map(|(kind, requests)| (kind, *requests)).collect();
    kinds.sort_by_key(|(_, requests)| std::cmp::Reverse(*requests));
    kinds
}

fn row(part: &str, text: &str) {
    say!("{part:<8} {text}");
}

/// By the machine's clock; nothing is judged by it.
fn rates(figures: &Figures, took: Duration) {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().filter(|load| !load.is_empty()).unwrap_or("unknown");
    let seconds = took.as_secs_f64();
    row(
        "noisy",
        &format!(
            "{seconds:.1} s of the machine, {:.0} requests/s, {:.0} times the speed of life, load average {load}",
            figures.requests as f64 / seconds,
            figures.virtual_time.as_secs_f64() / seconds
        ),
    );
}

fn ratio(one: u64, other: u64) -> f64 {
    if other == 0 { 0.0 } else { one as f64 / other as f64 }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn small(workspaces: usize) -> Figures {
        let key_idle = Duration::from_secs(300);
        let size = Size { seed: 1, workspaces, cycles: 5, changes: 3, key_idle };
        stage::play(size, stage::draw(size)).unwrap()
    }

    #[test]
    fn a_migration_writes_what_differs_and_a_fleet_at_rest_is_looked_at_and_nothing_else() {
        let figures = small(3);
        assert_eq!(judged(&figures), Vec::<String>::new());
        let Figures { least, migrate, rest, drift, .. } = &figures;
        let steps = BTreeMap::from([
            ("grant", least.grants),
            ("to identity", least.switches),
            ("datastore", least.datastores),
            ("key off", least.keys.len() as u64),
        ]);
        let made: BTreeMap<&str, u64> = steps.into_iter().filter(|(_, writes)| *writes > 0).collect();
        assert_eq!(migrate.sum.steps, made);
        assert_eq!((least.switches, least.keys.len()), (3, least.accounts.len()));
        // Each pass reads the account once, and each of its workspaces.
        assert!(rest.passes >= 5);
        assert_eq!(rest.sum.kinds["GET storage/storageaccounts/{}"], rest.passes);
        assert_eq!(rest.sum.kinds["GET machinelearningservices/workspaces/{}"], rest.floor - 2 * rest.passes);
        assert!(drift.changes > 0);
        assert_eq!(drift.alerts.map(|spans| spans.count as u64), Some(drift.changes), "each change is told once");
        assert!(drift.sum.writes > 0, "what others changed is set back");
    }

    #[test]
    fn both_runs_of_a_seed_cost_the_same() {
        let figures = || {
            let Figures { migrate, rest, drift, requests, virtual_time, .. } = small(1);
            (migrate.sum, migrate.took, rest.sum, drift.sum, drift.alerts, requests, virtual_time)
        };
        assert_eq!(figures(), figures());
    }

    #[test]
    fn what_must_not_be_is_noticed() {
        let good = || Figures {
            least: floor::Least { grants: 2, switches: 1, ..floor::Least::default() },
            migrate: Migrate {
                sum: Sum { writes: 3, ..Sum::default() },
                shares: Shares::default(),
                floor: floor::Floor::default(),
                steps: BTreeMap::new(),
                took: Duration::ZERO,
                waits: Duration::ZERO,
                beyond: None,
            },
            rest: Rest { cycles: 1, sum: Sum::default(), passes: 1, floor: 3, loud: BTreeMap::new() },
            drift: Drifted {
                changes: 1,
                unseen: 0,
                sum: Sum { writes: 1, ..Sum::default() },
                alerts: None,
                sends: None,
                effects: None,
                passes: None,
            },
            broken: Vec::new(),
            requests: 9,
            virtual_time: Duration::ZERO,
        };
        assert_eq!(judged(&good()), Vec::<String>::new());
        type Spoil = fn(&mut Figures);
        let spoilt: [(&str, Spoil); 11] = [
            ("4 writes where 3 are enough", |all| all.migrate.sum.writes = 4),
            ("2 writes where 3 are enough", |all| all.migrate.sum.writes = 2),
            ("migrate: 1 answers 429", |all| all.migrate.sum.refused = 1),
            ("rest: 1 writes", |all| all.rest.sum.writes = 1),
            ("rest: 1 answers 429", |all| all.rest.sum.refused = 1),
            ("told although nothing happened", |all| all.rest.loud = BTreeMap::from([("pass_finished", 1)])),
            ("rest: no pass", |all| all.rest.passes = 0),
            ("drift: nothing was changed", |all| all.drift.changes = 0),
            ("1 of 1 changes were not told", |all| all.drift.unseen = 1),
            ("drift: 1 answers 429", |all| all.drift.sum.refused = 1),
            ("S1: somebody", |all| all.broken.push("S1: somebody".to_owned())),
        ];
        for (says, spoil) in spoilt {
            let mut figures = good();
            spoil(&mut figures);
            let wrong = judged(&figures);
            assert!(matches!(&*wrong, [one] if one.contains(says)), "{says}: {wrong:?}");
        }
    }

    #[test]
    fn writes_that_do_not_stick_and_answers_429_are_counted() {
        let size = Size { seed: 1, workspaces: 1, cycles: 1, changes: 0, key_idle: Duration::from_secs(300) };
        let rates = vec![("refuse", 0.02), ("ignored", 0.8)];
        let figures = stage::play(size, crate::dst::draw::Draw { rates, ..stage::draw(size) }).unwrap();
        let wrong = judged(&figures).join("; ");
        assert!(wrong.contains("answers 429"), "{wrong}");
        assert!(wrong.contains("are enough"), "{wrong}");
    }

    #[test]
    fn a_part_that_would_judge_nothing_is_refused() {
        let refused = |workspaces: usize, cycles, changes| {
            let key_idle = Duration::from_secs(300);
            run(&Options { seed: 1, workspaces: vec![workspaces], cycles, changes, key_idle }).unwrap_err().to_string()
        };
        assert!(refused(0, 1, 1).contains("workspaces"));
        assert!(refused(1, 0, 1).contains("rest"));
        assert!(refused(1, 1, 0).contains("drift"));
    }

    #[test]
    fn a_larger_fleet_is_at_rest_for_fewer_cycles() {
        assert_eq!([fewer(1000, 10, 10), fewer(1000, 10, 200), fewer(3, 10, 200)], [1000, 50, 1]);
    }
}

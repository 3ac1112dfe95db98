//! What a seed decides before anything happens: the fleet, the settings, the pace of Azure, and how much goes wrong.

use std::collections::BTreeSet;
use std::time::Duration;

use keyless_core::desired::{ChangeWindow, FightGuard, ServiceGrants, Waits};
use keyless_sim::{Breadth, Casing, Fault, FaultRule, Faults, Knobs, Meanwhile, PollHeaders, Spread, WorkspaceWrite};

use super::dice::Dice;

const MINUTE: u64 = 60;

/// How far the `Date` of an answer is behind, where it is.
const BEHIND: Duration = Duration::from_secs(3 * MINUTE);

/// How old a list is that a replica answers which is behind.
const OLD_LIST: Duration = Duration::from_secs(2 * MINUTE);

/// Everything that is drawn beforehand.
#[derive(Debug, Clone)]
pub(crate) struct Draw {
    /// Where it all comes from.
    pub(crate) seed: u64,
    /// How many workspaces, hubs and projects the fleet has.
    pub(crate) workspaces: usize,
    /// How many of a hundred workspaces no file declares.
    pub(crate) undeclared_percent: u64,
    /// How many accounts of a hundred somebody uses with the key at the start, and when the last of them stops.
    pub(crate) key_users: (u64, Duration),
    /// The settings.
    pub(crate) interval: Duration,
    pub(crate) in_flight: usize,
    pub(crate) headroom: f64,
    /// What the files say for all.
    pub(crate) waits: Waits,
    pub(crate) fight: FightGuard,
    pub(crate) prune: bool,
    pub(crate) service_grants: ServiceGrants,
    pub(crate) data_probe: bool,
    /// Whether who sends a workspace back to the key says that the key comes on.
    pub(crate) says_enabled: bool,
    /// Whether documents name people by groups of theirs now, and by themselves then.
    pub(crate) swaps: bool,
    /// Whether documents name some people and applications by groups that they are in.
    pub(crate) clubs: bool,
    /// Whether documents of accounts say now this, now that of their keys.
    pub(crate) speaks: bool,
    /// How Azure behaves where nothing is wrong.
    pub(crate) knobs: Knobs,
    /// How far off the machine's clock is, in seconds.
    pub(crate) clock_off: i64,
    /// Whether roles take longer to work than the files wait for.
    pub(crate) breaker: bool,
    /// How long nothing goes wrong at first.
    pub(crate) before: Duration,
    /// How long things go wrong then.
    pub(crate) storm: Duration,
    /// What the simulator does to requests: the rules by name, with their chance.
    pub(crate) rates: Vec<(&'static str, f64)>,
    /// What the wire does to requests.
    pub(crate) wire: WireRates,
    /// How often in an hour something happens.
    pub(crate) incidents: Incidents,
    /// The chance of each kind of change that is aimed at a moment.
    pub(crate) aimed: f64,
    /// Whether people have what they need by groups that they join at first, and leave later.
    pub(crate) members: bool,
    /// Whether grants stand that keyless made for people whom no file names any more.
    pub(crate) leavers: bool,
    /// Whether the documents of all that is on an account go, and come again soon.
    pub(crate) documents: bool,
    /// When changes that take or give back the key may be made while things go wrong, if not always.
    pub(crate) windows: Vec<ChangeWindow>,
    /// Whether documents go over to observing, and back.
    pub(crate) observes: bool,
    /// Whether people are denied what accounts hold, for a time.
    pub(crate) denies: bool,
    /// Whether people have what they need by roles of the tenant's own, which lose it and have it again.
    pub(crate) roles: bool,
}

/// What only the wire can do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct WireRates {
    /// Milliseconds one way, at most.
    pub(crate) latency: u64,
    /// The chance that a request takes fifty times as long.
    pub(crate) tail: f64,
    /// The chance that a request is lost before it arrives.
    pub(crate) request_lost: f64,
    /// The chance that an answer is lost.
    pub(crate) answer_lost: f64,
    /// The chance that a write is not answered and arrives later.
    pub(crate) late: f64,
    /// How much later, at most.
    pub(crate) late_by: Duration,
}

impl WireRates {
    /// As long a way, and nothing lost on it.
    pub(crate) fn calm(self) -> Self {
        Self { tail: 0.0, request_lost: 0.0, answer_lost: 0.0, late: 0.0, ..self }
    }
}

/// How often in an hour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Incidents {
    /// Somebody else changes something.
    pub(crate) drift: f64,
    /// The controller dies.
    pub(crate) crash: f64,
    /// The controller is asked to stop.
    pub(crate) stop: f64,
    /// The files change.
    pub(crate) flip: f64,
}

/// The kinds of fault that the simulator's rules bring, with the highest chance of each.
const RATES: &[(&str, f64)] = &[
    ("resetBefore", 0.03),
    ("resetAfter", 0.03),
    ("hangBefore", 0.01),
    ("hangAfter", 0.01),
    ("slow", 0.01),
    ("internalServerError", 0.02),
    ("badGateway", 0.02),
    ("serviceUnavailable", 0.02),
    ("gatewayTimeout", 0.02),
    ("htmlPage", 0.01),
    ("refuse", 0.02),
    ("notFoundPoll", 0.1),
    ("truncated", 0.02),
    ("notJson", 0.01),
    ("mixedCasing", 0.05),
    ("noDate", 0.02),
    ("dateBehind", 0.02),
    ("dateAhead", 0.01),
    ("staleList", 0.2),
    ("emptyPage", 0.05),
    ("oddNextLink", 0.05),
    ("tokenExpired", 0.005),
    ("tokenRevoked", 0.005),
    ("authorizationFailed", 0.002),
    ("storm", 0.002),
    ("token", 0.3),
    ("tokenRejected", 0.1),
    ("clockJump", 0.001),
    ("writeLost", 0.1),
    ("writeUnanswered", 0.1),
    ("writeHangs", 0.1),
    ("writeLate", 0.15),
    ("writeLandsWith5xx", 0.1),
    ("writeTruncated", 0.1),
    ("ignored", 0.1),
    ("busy", 0.1),
    ("operationFails", 0.15),
    ("operationHangs", 0.1),
    ("scopeLocked", 0.05),
    ("policyDeny", 0.05),
    ("principalNotFound", 0.2),
    ("deniesItself", 0.1),
];

/// As [`RATES`], of what was drawn for the first time when many seeds were known: drawn aside, and off in most of the seeds.
const RARE_RATES: &[(&str, f64)] = &[("writeLandsWith503", 0.2)];

/// The faults of the simulator that some rule brings.
pub(crate) fn fault_names() -> BTreeSet<&'static str> {
    let draw = Draw::quiet(0);
    let rules = RATES.iter().chain(RARE_RATES).flat_map(|(name, _)| draw.rules(name)).map(|(_, rule)| rule);
    Faults::new(rules).kinds().into_iter().collect()
}

/// Windows of some minutes over the whole of each day.
fn windows(dice: &mut Dice) -> Vec<ChangeWindow> {
    const DAY: u16 = 24 * 60;
    let mut minutes = |low, high| u16::try_from(dice.between(low, high)).unwrap_or(DAY);
    let (first, apart, open) = (minutes(0, 30), minutes(10, 30), minutes(2, 10));
    let starts = (first..DAY).step_by(usize::from(apart));
    starts.map(|from| ChangeWindow { days: BTreeSet::new(), from, to: (from + open).min(DAY) }).collect()
}

impl Draw {
    /// What the seed decides.
    pub(crate) fn new(seed: u64) -> Self {
        let mut draw = Self::quiet(seed);
        let mut dice = Dice::of(seed, "rates");
        draw.rates =
            RATES.iter().map(|&(name, most)| (name, dice.rate(most))).filter(|(_, rate)| *rate > 0.0).collect();
        for &(name, most) in RARE_RATES {
            let mut dice = Dice::of(seed, name);
            let (drawn, rate) = (dice.chance(0.2), dice.rate(most));
            draw.rates.extend((drawn && rate > 0.0).then_some((name, rate)));
        }
        let mut dice = Dice::of(seed, "members");
        draw.members = dice.chance(0.15);
        let mut dice = Dice::of(seed, "leavers");
        draw.leavers = dice.chance(0.15);
        let mut dice = Dice::of(seed, "documents");
        draw.documents = dice.chance(0.15);
        let mut dice = Dice::of(seed, "observes");
        draw.observes = dice.chance(0.1);
        let mut dice = Dice::of(seed, "denies");
        draw.denies = dice.chance(0.1);
        let mut dice = Dice::of(seed, "roles of their own");
        draw.roles = dice.chance(0.1);
        let mut dice = Dice::of(seed, "swaps");
        draw.swaps = dice.chance(0.15);
        draw.prune |= draw.swaps;
        let mut dice = Dice::of(seed, "clubs");
        draw.clubs = dice.chance(0.15);
        let mut dice = Dice::of(seed, "what is said of keys");
        draw.speaks = dice.chance(0.15);
        let mut dice = Dice::of(seed, "windows");
        if dice.chance(0.1) {
            draw.windows = windows(&mut dice);
            // Whether a window is open is told by Azure's own clock, which is right here.
            draw.rates.retain(|(name, _)| !["clockJump", "dateAhead"].contains(name));
        }
        let mut dice = Dice::of(seed, "wire rates");
        draw.wire = WireRates {
            latency: dice.between(20, 400),
            tail: dice.rate(0.02),
            request_lost: dice.rate(0.03),
            answer_lost: dice.rate(0.03),
            late: dice.rate(0.15),
            // The guess about Azure that the files state, kept.
            late_by: draw.waits.late_write.mul_f64(0.9),
        };
        if draw.rates.iter().any(|(name, _)| *name == "clockJump") {
            // A clock that jumps while a write is under way makes it later than the guess.
            draw.wire.late = 0.0;
        }
        if draw.rates.iter().any(|(name, _)| *name == "writeLate") {
            // What comes late may be held up by the cloud once more: both together keep the guess.
            draw.wire.late_by = draw.waits.late_write.mul_f64(0.1);
        }
        let mut dice = Dice::of(seed, "incidents");
        draw.incidents = Incidents {
            drift: dice.rate(10.0) * draw.workspaces as f64 / 3.0,
            crash: dice.rate(8.0),
            stop: dice.rate(4.0),
            flip: dice.rate(10.0),
        };
        draw.aimed = 0.35;
        draw.storm = dice.seconds(10 * MINUTE, 50 * MINUTE);
        // What has come to rest is met by other things than what is on its way.
        let before = dice.seconds(30 * MINUTE, 60 * MINUTE);
        draw.before = if dice.chance(0.3) { before } else { Duration::ZERO };
        draw
    }

    /// The same fleet and settings with nothing going wrong.
    pub(crate) fn quiet(seed: u64) -> Self {
        let mut dice = Dice::of(seed, "settings");
        let propagation = dice.seconds(30, 8 * MINUTE);
        let slow = propagation + dice.seconds(0, 7 * MINUTE);
        let key_effect = dice.seconds(0, MINUTE);
        let lag = dice.seconds(0, 8 * MINUTE);
        let breaker = dice.chance(0.01);
        let margin = Duration::from_secs(30);
        let waits = Waits {
            role_propagation: if breaker { propagation / 2 } else { propagation + margin },
            group_propagation: slow + margin,
            agreeing_reads: u32::try_from(dice.between(1, 3)).unwrap_or(2),
            key_idle: dice.seconds(10 * MINUTE, 20 * MINUTE),
            key_effect: key_effect + margin,
            metrics_lag: lag + Duration::from_secs(2 * MINUTE),
            late_write: dice.seconds(2 * MINUTE, 5 * MINUTE),
            watch: dice.seconds(10 * MINUTE, 60 * MINUTE),
        };
        let knobs = Knobs {
            role_propagation: Spread { min: Duration::from_secs(5), max: propagation },
            slow_propagation: Spread { min: slow.min(Duration::from_secs(MINUTE)), max: slow },
            key_effect,
            metric_lag: lag,
            activity_lag: dice.seconds(0, 5 * MINUTE),
            activity_bodies: dice.chance(0.5),
            arg_lag: dice.seconds(0, 5 * MINUTE),
            operation: dice.seconds(0, 40),
            operation_retry_after: dice.seconds(1, 15),
            workspace_write: if dice.chance(0.3) { WorkspaceWrite::Sync } else { WorkspaceWrite::Async },
            poll_headers: if dice.chance(0.5) { PollHeaders::Both } else { PollHeaders::Location },
            location_poll_returns_status_document: dice.chance(0.3),
            auth_mode_casing: dice
                .pick(&[Casing::AsWritten, Casing::Lower, Casing::Schema])
                .copied()
                .unwrap_or_default(),
            id_casing: dice.pick(&[Casing::AsWritten, Casing::Lower]).copied().unwrap_or_default(),
            page_size: usize::try_from(dice.between(1, 40)).unwrap_or(7),
            workspace_page_size: usize::try_from(dice.between(1, 10)).unwrap_or(3),
            empty_first_page: dice.chance(0.2),
            existing_assignment_named: dice.chance(0.5),
            token_lifetime: dice.seconds(10 * MINUTE, 90 * MINUTE),
            ..Knobs::default()
        };
        Self {
            seed,
            // Small ones are as good at finding what is wrong, and cheaper.
            workspaces: usize::try_from(dice.between(1, 8).min(dice.between(1, 8))).unwrap_or(3),
            undeclared_percent: if dice.chance(0.3) { 15 } else { 0 },
            key_users: (if dice.chance(0.4) { 40 } else { 0 }, dice.seconds(5 * MINUTE, 60 * MINUTE)),
            // What a pass does is worth more than how often the same is looked at.
            interval: dice.seconds(60, 600),
            in_flight: usize::try_from(dice.between(1, 6)).unwrap_or(4),
            headroom: if dice.chance(0.5) { 0.2 } else { 0.0 },
            waits,
            fight: FightGuard {
                reversals: u32::try_from(dice.between(2, 5)).unwrap_or(3),
                within: dice.seconds(5 * MINUTE, 20 * MINUTE),
            },
            prune: dice.chance(0.5),
            service_grants: dice
                .pick(&[ServiceGrants::Wait, ServiceGrants::Grant, ServiceGrants::Accept])
                .copied()
                .unwrap_or_default(),
            data_probe: dice.chance(0.3),
            says_enabled: dice.chance(0.8),
            knobs,
            clock_off: i64::try_from(dice.between(0, 120)).unwrap_or(60) - 60,
            breaker,
            before: Duration::ZERO,
            storm: Duration::ZERO,
            rates: Vec::new(),
            wire: WireRates {
                latency: 50,
                tail: 0.0,
                request_lost: 0.0,
                answer_lost: 0.0,
                late: 0.0,
                late_by: Duration::ZERO,
            },
            incidents: Incidents { drift: 0.0, crash: 0.0, stop: 0.0, flip: 0.0 },
            aimed: 0.0,
            members: false,
            leavers: false,
            documents: false,
            swaps: false,
            clubs: false,
            speaks: false,
            windows: Vec::new(),
            observes: false,
            denies: false,
            roles: false,
        }
    }

    /// How old a use of a key is at most before metrics tell it to a process, whose window ends where answers that are
    /// behind say that it does.
    pub(crate) fn metrics_tell(&self) -> Duration {
        let behind = self.rates.iter().any(|(name, _)| *name == "dateBehind");
        self.waits.metrics_lag + if behind { BEHIND } else { Duration::ZERO }
    }

    /// How old what a list shows is at most.
    pub(crate) fn lists_tell(&self) -> Duration {
        if self.rates.iter().any(|(name, _)| *name == "staleList") { OLD_LIST } else { Duration::ZERO }
    }

    /// The simulator's rules. Those of writes stand first: writes are few, and the first rule that fires decides.
    pub(crate) fn faults(&self) -> Faults {
        let mut rules: Vec<(u8, FaultRule)> = Vec::new();
        for &(name, chance) in &self.rates {
            for (order, rule) in self.rules(name) {
                rules.push((order, rule.chance(chance).after(self.before)));
            }
        }
        rules.sort_by_key(|(order, _)| *order);
        Faults::new(rules.into_iter().map(|(_, rule)| rule)).seed(self.seed)
    }

    /// The rules of one name, and whether they stand before those of reads.
    fn rules(&self, name: &str) -> Vec<(u8, FaultRule)> {
        let error = |status, html, takes_effect| Fault::ServerError { status, html, takes_effect };
        let span = |seconds: u64| Duration::from_secs(seconds);
        let read = |fault| vec![(2, FaultRule::new("GET", "", fault))];
        let late = |then| Fault::Late { by: self.waits.late_write.mul_f64(0.8), then };
        let written = [
            ("PATCH", "/workspaces/{}"),
            ("PATCH", "/storageAccounts/{}"),
            ("PUT", "/roleAssignments/{}"),
            ("DELETE", "/roleAssignments/{}"),
            ("PUT", "/datastores/{}"),
        ];
        let writes = |faults: &[Fault]| {
            let each = written.iter().flat_map(|&(method, operation)| {
                faults.iter().map(move |fault| (0, FaultRule::new(method, operation, fault.clone())))
            });
            each.collect::<Vec<_>>()
        };
        let token = |fault| vec![(1, FaultRule::new("*", "token", fault))];
        match name {
            "resetBefore" => read(Fault::ResetBefore),
            "resetAfter" => read(Fault::ResetAfter),
            "hangBefore" => read(Fault::HangBefore),
            "hangAfter" => read(Fault::HangAfter),
            "slow" => read(Fault::Slow { by: span(6) }),
            "internalServerError" => read(error(500, false, false)),
            "badGateway" => read(error(502, false, false)),
            "serviceUnavailable" => read(error(503, false, false)),
            "gatewayTimeout" => read(error(504, false, false)),
            "htmlPage" => read(error(503, true, false)),
            "refuse" => {
                let fault =
                    |retry_after| Fault::Refuse { status: 429, code: "TooManyRequests".to_owned(), retry_after };
                [None, Some(0), Some(3), Some(90)].map(|wait| (2, FaultRule::new("*", "", fault(wait)))).into()
            }
            "deniesItself" => vec![(1, FaultRule::new("GET", "/workspaces/{}", Fault::NotFound))],
            "notFoundPoll" => vec![(1, FaultRule::new("GET", "/workspaceOperationsStatus/{}", Fault::NotFound))],
            "truncated" => read(Fault::Truncated),
            "notJson" => read(Fault::NotJson),
            "mixedCasing" => read(Fault::MixedCasing),
            "noDate" => read(Fault::NoDate),
            "dateBehind" => read(Fault::DateBehind { by: BEHIND }),
            "dateAhead" => read(Fault::DateAhead { by: span(3 * MINUTE) }),
            "staleList" => read(Fault::StaleList { by: OLD_LIST }),
            "emptyPage" => read(Fault::EmptyPage),
            "oddNextLink" => read(Fault::OddNextLink),
            "tokenExpired" => read(Fault::TokenExpired),
            "tokenRevoked" => read(Fault::TokenRevoked),
            "authorizationFailed" => {
                let lasts = span(3 * MINUTE);
                read(Fault::AuthorizationFailed { lasts, scope: Breadth::Group })
            }
            "storm" => read(Fault::Storm { lasts: span(2 * MINUTE), retry_after: span(20) }),
            "clockJump" => read(Fault::ClockJump { by: span(4 * MINUTE) }),
            "token" => [error(503, false, false), Fault::NotJson, Fault::HangBefore, Fault::ResetBefore]
                .into_iter()
                .flat_map(token)
                .collect(),
            "tokenRejected" => token(Fault::TokenRejected { code: 7_000_215, lasts: span(2 * MINUTE) }),
            "writeLost" => writes(&[Fault::ResetBefore, error(500, false, false)]),
            "writeUnanswered" => writes(&[Fault::ResetAfter]),
            "writeHangs" => writes(&[Fault::HangBefore, Fault::HangAfter]),
            "writeLate" => writes(&[late(Meanwhile::Reset), late(Meanwhile::Hang), late(Meanwhile::GatewayTimeout)]),
            "writeLandsWith5xx" => writes(&[error(502, false, true), error(504, false, true)]),
            "writeLandsWith503" => writes(&[error(503, false, true)]),
            "writeTruncated" => writes(&[Fault::Truncated, Fault::NotJson]),
            "ignored" => writes(&[Fault::Ignored]),
            "busy" => writes(&[Fault::Busy]),
            "operationFails" => writes(&[Fault::OperationFails]),
            "operationHangs" => writes(&[Fault::OperationHangs { lasts: span(15 * MINUTE) }]),
            "scopeLocked" => {
                writes(&[Fault::ScopeLocked { lasts: span(6 * MINUTE), scope: Breadth::Resource, read_only: true }])
            }
            "policyDeny" => writes(&[Fault::PolicyDeny { lasts: span(6 * MINUTE), scope: Breadth::Resource }]),
            "principalNotFound" => {
                let fault = Fault::PrincipalNotFound { attempts: 2, younger_than: Duration::ZERO };
                vec![(0, FaultRule::new("PUT", "/roleAssignments/{}", fault))]
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_takes_no_longer_than_its_longest_and_what_is_waited_for_no_less() {
        for seed in 0..2_000 {
            let Draw { knobs, waits, breaker, .. } = Draw::quiet(seed);
            for spread in [knobs.role_propagation, knobs.slow_propagation] {
                assert!(spread.min <= spread.max, "seed {seed}: {spread:?}");
            }
            assert!(breaker || waits.role_propagation > knobs.role_propagation.max, "seed {seed}");
            assert!(waits.group_propagation > knobs.slow_propagation.max, "seed {seed}");
            assert!(waits.key_effect > knobs.key_effect, "seed {seed}");
            assert!(waits.metrics_lag > knobs.metric_lag, "seed {seed}");
        }
    }
}

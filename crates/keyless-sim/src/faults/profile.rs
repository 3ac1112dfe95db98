//! The profile `full`: every kind of fault, each bounded.
//!
//! Reads are struck by chance. Writes are few, so their faults are dealt out over the first calls of each operation: in a
//! fleet of twenty workspaces every one of them is met, and in a large one each comes back some times. The seed says which
//! call gets which.

use std::time::Duration;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::faults::Faults;
use crate::faults::kind::{Breadth, Fault, Meanwhile};
use crate::faults::rule::FaultRule;

/// How long it goes on: as long as it takes a fleet to go off keys, idle keys included.
const UNTIL: Duration = minutes(6 * 60);
/// Of so many writes of an operation one is struck.
const ONE_WRITE_IN: u32 = 2;
/// How often the faults of an operation's writes are dealt out.
const DEALS: u32 = 4;

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

const fn server_error(status: u16, html: bool, takes_effect: bool) -> Fault {
    Fault::ServerError { status, html, takes_effect }
}

pub(super) fn full(seed: u64) -> Faults {
    let rules = reads().into_iter().chain(tokens()).chain(writes(seed));
    Faults::new(rules).seed(seed).until(UNTIL)
}

fn reads() -> Vec<FaultRule> {
    let often = |fault| FaultRule::new("GET", "", fault).chance(0.004).times(60);
    let rare = |fault| FaultRule::new("GET", "", fault).chance(0.002).times(12);
    let list = |fault| FaultRule::new("GET", "", fault).chance(0.04).times(120);
    let poll = |fault| FaultRule::new("GET", "/workspaceOperationsStatus/{}", fault).chance(0.15).times_per_resource(1);
    vec![
        often(Fault::ResetBefore),
        often(Fault::ResetAfter),
        rare(Fault::HangBefore),
        rare(Fault::HangAfter),
        rare(Fault::Slow { by: minutes(2) }),
        often(server_error(500, false, false)),
        often(server_error(502, false, false)),
        often(server_error(503, false, false)),
        often(server_error(503, true, false)),
        often(server_error(504, false, false)),
        often(Fault::Truncated),
        often(Fault::NotJson),
        often(Fault::MixedCasing),
        often(Fault::NoDate),
        often(Fault::DateBehind { by: minutes(3) }),
        rare(Fault::DateAhead { by: minutes(3) }),
        rare(Fault::ClockJump { by: minutes(4) }),
        rare(Fault::TokenExpired),
        rare(Fault::TokenRevoked),
        FaultRule::new("GET", "", Fault::AuthorizationFailed { lasts: minutes(3), scope: Breadth::Group })
            .chance(0.002)
            .times(6),
        FaultRule::new("GET", "", Fault::Storm { lasts: minutes(2), retry_after: Duration::from_secs(20) })
            .chance(0.002)
            .times(9),
        list(Fault::StaleList { by: minutes(2) }),
        list(Fault::EmptyPage),
        list(Fault::OddNextLink),
        poll(server_error(500, false, false)),
        poll(Fault::NotFound),
    ]
}

fn tokens() -> Vec<FaultRule> {
    let once = |call: u32, fault| FaultRule::new("*", "token", fault).calls([call, call + 9, call + 31]);
    vec![
        once(2, server_error(503, false, false)),
        once(3, Fault::NotJson),
        once(4, Fault::HangBefore),
        once(6, Fault::TokenRejected { code: 7_000_215, lasts: minutes(2) }),
        once(8, Fault::ResetBefore),
    ]
}

/// What happens to writes, dealt out by the seed.
fn writes(seed: u64) -> Vec<FaultRule> {
    let late = |then| Fault::Late { by: minutes(4), then };
    let locked = |read_only| Fault::ScopeLocked { lasts: minutes(6), scope: Breadth::Resource, read_only };
    let policy = Fault::PolicyDeny { lasts: minutes(6), scope: Breadth::Resource };
    let workspaces = vec![
        Fault::ResetAfter,
        Fault::HangAfter,
        late(Meanwhile::GatewayTimeout),
        server_error(502, false, true),
        Fault::Truncated,
        locked(true),
        policy.clone(),
        Fault::Ignored,
        Fault::OperationFails,
        Fault::OperationHangs { lasts: minutes(15) },
    ];
    let accounts = vec![
        Fault::ResetBefore,
        Fault::ResetAfter,
        late(Meanwhile::Reset),
        server_error(504, false, true),
        Fault::Ignored,
        Fault::Busy,
        policy.clone(),
    ];
    let grants = vec![
        Fault::ResetBefore,
        Fault::ResetAfter,
        Fault::HangBefore,
        late(Meanwhile::Hang),
        server_error(500, false, false),
        server_error(503, false, true),
        Fault::Truncated,
        Fault::NotJson,
        Fault::Busy,
        locked(true),
        policy,
        Fault::Storm { lasts: minutes(2), retry_after: Duration::from_secs(20) },
    ];
    let datastores = vec![
        Fault::ResetAfter,
        late(Meanwhile::Reset),
        server_error(500, false, true),
        Fault::Truncated,
        Fault::Ignored,
        Fault::Busy,
    ];
    let revocations = vec![Fault::ResetAfter, server_error(500, false, false), locked(false)];
    let not_found = Fault::PrincipalNotFound { attempts: 1, younger_than: Duration::ZERO };
    let strangers = FaultRule::new("PUT", "/roleAssignments/{}", not_found).chance(0.3);
    let kinds = [
        ("PATCH", "/workspaces/{}", workspaces),
        ("PATCH", "/storageAccounts/{}", accounts),
        ("PUT", "/roleAssignments/{}", grants),
        ("DELETE", "/roleAssignments/{}", revocations),
        ("PUT", "/datastores/{}", datastores),
    ];
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut rules = vec![strangers];
    for (method, operation, faults) in kinds {
        let mut first: Vec<u32> = (1..).take(faults.len()).map(|turn| turn * ONE_WRITE_IN).collect();
        let deal = first.last().copied().unwrap_or_default();
        first.shuffle(&mut rng);
        rules.extend(faults.into_iter().zip(first).map(|(fault, call)| {
            FaultRule::new(method, operation, fault).calls((0..DEALS).map(|turn| call + turn * deal))
        }));
    }
    rules
}

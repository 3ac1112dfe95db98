//! What happens to a run from outside: others change things, the files change their mind, the process dies or is stopped.

use std::collections::BTreeMap;
use std::time::Duration;

use super::aims::{Aimed, Hit};
use super::dice::Dice;
use super::draw::Draw;

/// Something that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Incident {
    /// Requests begin to go wrong.
    Trouble,
    /// Somebody changes what was aimed at.
    Aimed(Hit),
    /// People join groups that have what they need.
    Join,
    /// One of them leaves.
    Leave,
    /// The documents of an account's workspaces go; or those that went come again.
    Documents,
    /// A document begins to observe, or to enforce again.
    Observe,
    /// Somebody is denied what an account holds, or nobody any more.
    Deny,
    /// People have what they need by roles of the tenant's own.
    Roles,
    /// Such a role loses what it gives, or gives it again.
    Recast,
    Drift,
    Flip,
    Crash,
    Stop,
    /// A process begins; with or without what the last one left.
    Start {
        forgetful: bool,
    },
}

/// When what happens, while things go wrong.
pub(crate) fn drawn(draw: &Draw) -> BTreeMap<(Duration, u32), Incident> {
    let mut all = BTreeMap::from([((draw.before, 0), Incident::Trouble)]);
    let mut number = 0;
    let hours = draw.storm.as_secs_f64() / 3600.0;
    let kinds = [
        ("drifts", draw.incidents.drift, Incident::Drift),
        ("flips", draw.incidents.flip, Incident::Flip),
        ("crashes", draw.incidents.crash, Incident::Crash),
        ("stops", draw.incidents.stop, Incident::Stop),
    ];
    for (name, per_hour, kind) in kinds {
        let mut dice = Dice::of(draw.seed, name);
        let mean = per_hour * hours;
        let count = mean as u64 + u64::from(dice.chance(mean.fract()));
        for _ in 0..count {
            let at = dice.millis(0, u64::try_from(draw.storm.as_millis()).unwrap_or_default());
            number += 1;
            all.insert((draw.before + at, number), kind.clone());
        }
    }
    // What stands for long before a key may go, so that nobody can say that it came too late to be seen.
    for (name, what) in [("newcomer", Aimed::Newcomer), ("store elsewhere", Aimed::StoreElsewhere)] {
        let mut dice = Dice::of(draw.seed, name);
        let at = dice.millis(10_000, 240_000);
        if dice.chance(draw.aimed / 4.0) {
            number += 1;
            let hit = Hit { what, account: String::new(), after: Duration::ZERO };
            all.insert((at, number), Incident::Aimed(hit));
        }
    }
    if draw.members {
        let mut dice = Dice::of(draw.seed, "members come and go");
        // Before anybody writes, so that nobody is granted what groups give; and out again about when that would count.
        let counts = u64::try_from(draw.waits.group_propagation.as_millis()).unwrap_or_default();
        let storm = u64::try_from(draw.storm.as_millis()).unwrap_or_default();
        all.insert((Duration::ZERO, number + 1), Incident::Join);
        let soon = [dice.millis(counts / 2, counts + 60_000), dice.millis(counts / 2, counts + 60_000)];
        let later = [dice.millis(0, storm), dice.millis(0, storm)];
        for (place, at) in (2..).zip(soon.into_iter().chain(later)) {
            all.insert((at, number + place), Incident::Leave);
        }
        number += 5;
    }
    if draw.roles {
        number += 1;
        // Before anybody writes, so that nobody is granted what these roles give.
        all.insert((Duration::ZERO, number), Incident::Roles);
    }
    // And what comes when the fleet was read for such stores already, and the key waits to be idle.
    let mut dice = Dice::of(draw.seed, "store elsewhere later");
    let read = draw.waits.late_write + draw.waits.group_propagation;
    let at = dice.millis(0, u64::try_from(draw.waits.key_idle.as_millis()).unwrap_or_default());
    if dice.chance(draw.aimed / 3.0) {
        number += 1;
        let hit = Hit { what: Aimed::StoreElsewhere, account: String::new(), after: Duration::ZERO };
        all.insert((read + at, number), Incident::Aimed(hit));
    }
    if draw.documents {
        let mut dice = Dice::of(draw.seed, "documents go and come");
        let storm = u64::try_from(draw.storm.as_millis()).unwrap_or_default();
        for _ in 0..3 {
            let (gone, again) = (dice.millis(0, storm), dice.millis(1_000, 240_000));
            all.insert((draw.before + gone, number + 1), Incident::Documents);
            all.insert((draw.before + gone + again, number + 2), Incident::Documents);
            number += 2;
        }
    }
    // From the start on, for that is when there is much to do.
    let whole = u64::try_from((draw.before + draw.storm).as_millis()).unwrap_or_default();
    let kinds = [
        (draw.observes, "documents observe", 4, Incident::Observe),
        (draw.denies, "when people are denied", 6, Incident::Deny),
        (draw.roles, "when roles change", 2, Incident::Recast),
    ];
    for (_, name, times, kind) in kinds.into_iter().filter(|(is_drawn, ..)| *is_drawn) {
        let mut dice = Dice::of(draw.seed, name);
        for _ in 0..times {
            number += 1;
            all.insert((dice.millis(0, whole), number), kind.clone());
        }
    }
    all
}

//! [`crate::gate::Gate::NoFight`]: what somebody sets back again and again is left to people.

use jiff::Timestamp;

use crate::action::Action;
use crate::gate::GateState;
use crate::plan::{Fight, Limits};

/// Shut for every change of a setting that is fought over, whatever the change is for: repairing would go on with the fight.
pub(in crate::plan) fn no_fight(action: &Action, limits: &Limits, now: Timestamp) -> GateState {
    let fight = action.setting().and_then(|setting| limits.fights.get(&setting));
    match fight {
        Some(fight) if fight.until > now => GateState::unmet(fight.to_string(), Fight::lift(fight.until)),
        _ => GateState::Open,
    }
}

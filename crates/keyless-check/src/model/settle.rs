//! What becomes of a state when nothing goes wrong any more: liveness as a property of every state.
//!
//! The checker's own `eventually` misses cycles and paths that join again; a fair run from each state does not.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::{Mutex, PoisonError};

use super::azure::{Azure, Flag, Mode, PERSONS, Role, UNDECLARED};
use super::observe::{Seen, Want};
use super::system::{Budget, Stage, State, System};

/// How many rounds a world may take to come to rest: there are at most a dozen writes, and each takes a few.
const ROUNDS: usize = 80;

/// What was found out, by the hash of a state, as the checker itself tells states apart.
pub(crate) type Known = Mutex<HashMap<u64, bool>>;

/// Whether `state`, left alone, comes to what the files ask, or to where what holds it is none of the controller's, and
/// then nothing is written any more.
pub(crate) fn reaches(system: &System, state: &State) -> bool {
    let mut now = state.clone();
    now.budget = Budget { crashes: 0, lost: 0, stale: 0, foreign: 0, flips: 0 };
    now.older = None;
    let known = || system.known().lock().unwrap_or_else(PoisonError::into_inner);
    let key = BuildHasherDefault::<DefaultHasher>::default().hash_one(&now);
    if let Some(known) = known().get(&key).copied() {
        return known;
    }
    let reached = run(system, &mut now);
    known().insert(key, reached);
    reached
}

fn run(system: &System, state: &mut State) -> bool {
    for _ in 0..ROUNDS {
        let before = state.clone();
        round(system, state);
        if state.broken.is_some() {
            return false;
        }
        if *state == before {
            return state.flights.is_empty() && is_right(system, state);
        }
    }
    false
}

/// Everything that is due happens once.
fn round(system: &System, state: &mut State) {
    match state.stage {
        Stage::Idle => {
            let seen = state.azure;
            state.observe(system, seen);
        }
        Stage::Planned { seen, want } => {
            state.stage = Stage::Halfway { seen, early: state.azure, want, raced: false };
        }
        Stage::Halfway { .. } => state.confirm(system),
        Stage::Ready { .. } => state.send(),
        Stage::Waiting => {
            if let Some(at) = state.flights.len().checked_sub(1) {
                state.land(at);
            }
            state.answered();
        }
    }
    while state.has_orphan() {
        let at = state.flights.iter().position(|flight| !flight.is_awaited()).unwrap_or_default();
        state.land(at);
    }
    if state.booting || state.unsettled {
        state.booting = false;
        state.unsettled = false;
        state.seen = Seen::Never;
    }
    let mut azure = state.azure;
    if azure.flag == Flag::Fresh {
        azure.flag = Flag::On;
        state.fresh_by_other = false;
    }
    if state.seen == Seen::Lately && azure.flag == Flag::On {
        state.seen = Seen::Long;
    }
    for role in &mut azure.roles {
        if *role == Role::Fresh {
            *role = Role::Works;
        }
    }
    azure.quiet |= !azure.key_is_used();
    azure.around.job = false;
    state.azure = azure;
}

/// Whether the world is as the files ask, but for what only others can change.
fn is_right(system: &System, state: &State) -> bool {
    let Azure { flag, modes, roles, key_user, around, quiet: _ } = state.azure;
    let declared = |mode| modes.iter().take(system.config().workspaces).all(|own| *own == Some(mode));
    match state.want {
        Want::Forward => {
            let granted = roles == [Role::Works; PERSONS];
            let held = key_user
                || modes.get(UNDECLARED) == Some(&Some(Mode::Key))
                || around.locked
                || around.no_key
                || around.stored;
            // On an account that is locked nobody can be granted anything, so a workspace may have to stay on the key.
            let waits = around.locked && !granted && flag != Flag::Off;
            (granted || around.locked) && (declared(Mode::Id) || waits) && (flag == Flag::Off || held || waits)
        }
        // While the key is off and nobody can turn it on, there is nothing to go back to.
        Want::Back if flag == Flag::Off => around.locked || around.no_key,
        Want::Back => flag == Flag::On && declared(Mode::Key),
        // That nothing leaves then is held of every state.
        Want::Held => true,
    }
}

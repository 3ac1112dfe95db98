//! The abstract Azure of the model: one storage account and what hangs on it, without clock or names.

use super::around::Around;

/// `allowSharedKeyAccess`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Flag {
    /// The key is refused.
    Off,
    /// It was turned on and may not work yet.
    Fresh,
    /// It works.
    On,
}

/// `systemDatastoresAuthMode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Mode {
    /// With the account key.
    Key,
    /// With identities.
    Id,
}

/// What a person was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Nothing.
    Absent,
    /// A grant too young to work.
    Fresh,
    /// A grant that works.
    Works,
}

/// A change to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Act {
    /// A role for a person.
    Grant(u8),
    /// The mode of a workspace.
    SetMode(u8, Mode),
    /// The flag.
    SetKey(bool),
}

/// Declared workspaces come first; the last place is for one that no document declares.
pub(crate) const PLACES: usize = 3;

/// Where the undeclared workspace is.
pub(crate) const UNDECLARED: usize = 2;

/// How many persons there are at most.
pub(crate) const PERSONS: usize = 2;

/// One storage account and what hangs on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Azure {
    /// The flag.
    pub(crate) flag: Flag,
    /// The modes of the workspaces that exist.
    pub(crate) modes: [Option<Mode>; PLACES],
    /// What each person has; those beyond the configuration have what they need.
    pub(crate) roles: [Role; PERSONS],
    /// Whether somebody else signs with the key.
    pub(crate) key_user: bool,
    /// Whether nobody has signed with it for a whole `keyIdle`.
    pub(crate) quiet: bool,
    /// What else stands there.
    pub(crate) around: Around,
}

impl Azure {
    /// Whether a person's work through a workspace succeeds now.
    pub(crate) fn has_access(&self, place: usize, person: usize) -> bool {
        match self.modes.get(place).copied().flatten() {
            Some(Mode::Key) => self.flag == Flag::On,
            Some(Mode::Id) => self.roles.get(person) == Some(&Role::Works),
            None => false,
        }
    }

    /// Whether somebody beside the workspaces signs with the key all the time and is let in.
    pub(crate) fn key_is_used(&self) -> bool {
        self.flag != Flag::Off && self.key_user
    }

    /// Whether a workspace may sign with the key at any time.
    pub(crate) fn key_is_needed(&self) -> bool {
        self.modes.contains(&Some(Mode::Key))
    }

    /// The same after `act`.
    pub(crate) fn after(mut self, act: Act) -> Self {
        if self.around.refuses(act) {
            return self;
        }
        match act {
            Act::Grant(person) => {
                if let Some(role) = self.roles.get_mut(usize::from(person))
                    && *role == Role::Absent
                {
                    *role = Role::Fresh;
                }
            }
            Act::SetMode(place, mode) => {
                if let Some(slot) = self.modes.get_mut(usize::from(place)).filter(|slot| slot.is_some()) {
                    *slot = Some(mode);
                }
            }
            Act::SetKey(false) => self.flag = Flag::Off,
            Act::SetKey(true) => {
                if self.flag == Flag::Off {
                    self.flag = Flag::Fresh;
                }
            }
        }
        self.settled()
    }

    /// The same with what follows at once from it.
    pub(crate) fn settled(mut self) -> Self {
        self.quiet &= !self.key_is_used();
        self
    }

    /// What `act` takes from somebody who has it in `self`, if it takes anything.
    pub(crate) fn loss(&self, act: Act) -> Option<&'static str> {
        if self.around.refuses(act) {
            return None;
        }
        let after = self.after(act);
        for place in 0..UNDECLARED {
            for person in 0..PERSONS {
                if self.has_access(place, person) && !after.has_access(place, person) {
                    return Some("somebody entitled loses access");
                }
            }
        }
        if act == Act::SetKey(false) && self.flag != Flag::Off && (self.key_is_used() || self.key_is_needed()) {
            return Some("the key is turned off under somebody who uses it");
        }
        self.around.breaks(act, self.flag)
    }
}

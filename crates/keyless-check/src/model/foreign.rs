//! What somebody else does to the account and to what hangs on it.

use super::azure::{Azure, Flag, Mode, Role, UNDECLARED};
use super::system::Config;

/// One change of somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Foreign {
    /// Sets the mode of a workspace.
    Mode(u8, Mode),
    /// Sets the flag.
    Key(bool),
    /// Takes a role away.
    Role(u8),
    /// Begins to sign with the key, or ends it.
    KeyUser(bool),
    /// Makes a workspace on the account that no document declares.
    Appear(Mode),
    /// Deletes that workspace.
    Vanish,
    /// Locks the account, or takes the lock away.
    Lock(bool),
    /// Puts a policy in force that refuses the key, or takes it away.
    Policy(bool),
    /// Stores the key in a datastore, or takes it out.
    Store(bool),
    /// Starts a job. That it ends needs nobody.
    Job,
}

impl Foreign {
    /// Everything that somebody else could do now.
    pub(crate) fn all(config: &Config, azure: &Azure) -> Vec<Self> {
        let mut all = Vec::new();
        let undeclared = azure.modes.get(UNDECLARED).copied().flatten();
        let rich = config.rich.is_some();
        let third = (rich && undeclared.is_some()).then_some(UNDECLARED);
        for place in (0..config.workspaces).chain(third) {
            for mode in [Mode::Key, Mode::Id] {
                if azure.modes.get(place) != Some(&Some(mode)) {
                    all.push(Self::Mode(u8::try_from(place).unwrap_or_default(), mode));
                }
            }
        }
        let turned_on = azure.flag == Flag::Off;
        let around = azure.around;
        let barred = around.locked || (turned_on && around.no_key);
        if !barred {
            all.push(Self::Key(turned_on));
        }
        for person in 0..config.persons {
            if azure.roles.get(usize::from(person)) != Some(&Role::Absent) && !around.locked {
                all.push(Self::Role(person));
            }
        }
        all.push(Self::KeyUser(!azure.key_user));
        if undeclared.is_none() {
            all.push(Self::Appear(Mode::Key));
        }
        if rich {
            if undeclared.is_some() {
                all.push(Self::Vanish);
            }
            all.push(Self::Lock(!around.locked));
            all.push(Self::Policy(!around.no_key));
            all.push(Self::Store(!around.stored));
            if !around.job {
                all.push(Self::Job);
            }
        }
        all
    }

    /// The account after it.
    pub(crate) fn done(self, mut azure: Azure) -> Option<Azure> {
        match self {
            Self::Mode(place, mode) => *azure.modes.get_mut(usize::from(place))? = Some(mode),
            Self::Key(on) => azure.flag = if on { Flag::Fresh } else { Flag::Off },
            Self::Role(person) => *azure.roles.get_mut(usize::from(person))? = Role::Absent,
            Self::KeyUser(active) => azure.key_user = active,
            Self::Appear(mode) => *azure.modes.get_mut(UNDECLARED)? = Some(mode),
            Self::Vanish => *azure.modes.get_mut(UNDECLARED)? = None,
            Self::Lock(there) => azure.around.locked = there,
            Self::Policy(there) => azure.around.no_key = there,
            Self::Store(there) => azure.around.stored = there,
            Self::Job => azure.around.job = true,
        }
        Some(azure.settled())
    }
}

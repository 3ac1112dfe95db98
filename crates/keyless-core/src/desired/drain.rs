//! What becomes of jobs and compute instances that run when their workspace is to be switched to identity.

/// Whether a switch to identity waits for what runs in the workspace. The way back never waits: the key works before it, and
/// grants stay, so what began with either way of access keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Drain {
    /// The switch waits until no job and no compute instance runs. Default; design decision: no public source tells what
    /// becomes of a mount that was made with the key.
    #[default]
    Wait,
    /// The switch is made under whatever runs, and nothing is read for it but what `plan` names: the
    /// compute instances, and the jobs of one page.
    Ignore,
}

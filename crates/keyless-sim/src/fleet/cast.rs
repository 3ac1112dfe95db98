//! Decides who is declared where, which computes and identities that takes, and who is at work.

use super::blueprint::Kind;
use super::dice::Dice;
use super::directory::{Directory, Team};
use super::place::{Account, Estate, Workspace};
use super::roles::{Role, roles_of};
use super::{Access, Asked, DeclaredProfile, Principal};

/// Everybody with a part in the fleet.
pub(super) struct Cast {
    pub(super) directory: Directory,
    pub(super) profiles: Vec<DeclaredProfile>,
    pub(super) identities: Vec<Identity>,
    /// One for each workspace, in the order of [`Estate::workspaces`].
    pub(super) parts: Vec<Part>,
}

/// A user-assigned managed identity.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) principal_id: String,
    pub(super) client_id: String,
}

/// What one workspace has.
#[derive(Default)]
pub(super) struct Part {
    pub(super) access: Vec<Access>,
    pub(super) profiles: Vec<String>,
    pub(super) computes: Vec<Compute>,
    /// The user-assigned identity beside the system-assigned one.
    pub(super) second_identity: Option<Identity>,
    /// What the declared access comes to, with principals resolved.
    pub(super) needs: Vec<Need>,
    /// Who tries its access all the time.
    pub(super) workers: Vec<Worker>,
    /// Who works through a datastore of people's making that stores the account's key; nobody where there is none.
    pub(super) through_key: Option<Worker>,
}

/// A role that a principal is declared to need on the workspace's account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Need {
    pub(super) principal_id: String,
    pub(super) principal_type: &'static str,
    pub(super) role: Role,
}

pub(super) struct Worker {
    pub(super) principal_id: String,
    pub(super) data_actions: Vec<&'static str>,
}

pub(super) struct Compute {
    pub(super) name: String,
    pub(super) form: ComputeForm,
}

pub(super) enum ComputeForm {
    ClusterWithSystemIdentity {
        principal_id: String,
    },
    ClusterWithIdentities(Vec<Identity>),
    /// An instance never has a system-assigned identity: identity-based access does not support that.
    Instance {
        owner: String,
        identity: Option<Identity>,
    },
}

const READERS: &str = "org-readers";
const PIPELINES: &str = "platform-pipelines";

pub(super) fn cast(estate: &Estate, dice: &mut Dice) -> Cast {
    let mut teams: Vec<&str> = estate.workspaces().map(|workspace| workspace.team.as_str()).collect();
    teams.sort_unstable();
    teams.dedup();
    let directory = Directory::new(teams.into_iter(), estate.workspaces().count(), dice);
    let profiles = vec![
        DeclaredProfile { name: READERS.to_owned(), access: vec![readers_access(&directory)] },
        DeclaredProfile { name: PIPELINES.to_owned(), access: vec![pipelines_access(&directory)] },
    ];
    let mut casting = Casting { directory: &directory, identities: Vec::new(), dice };
    let mut parts = Vec::new();
    for account in &estate.accounts {
        let first = casting.identities.len();
        for workspace in &account.workspaces {
            parts.push(casting.part(account, workspace, first));
        }
    }
    let identities = casting.identities;
    Cast { directory, profiles, identities, parts }
}

struct Casting<'a> {
    directory: &'a Directory,
    identities: Vec<Identity>,
    dice: &'a mut Dice,
}

impl Casting<'_> {
    /// `first` is the first of the identities made for this account: its workspaces may share them.
    fn part(&mut self, account: &Account, workspace: &Workspace, first: usize) -> Part {
        let mut part = Part::default();
        self.people(workspace, &mut part);
        if workspace.kind == Kind::Default {
            self.clusters(account, workspace, first, &mut part);
            if self.dice.percent(10) {
                let identity = self.identity(workspace, "monitor");
                part.take_identity(&identity, &["monitoring"]);
                part.second_identity = Some(identity);
            }
            if self.dice.percent(8) {
                part.take(
                    Principal::WorkspaceSystem,
                    Asked::Level("readOnly"),
                    &[(workspace.system_identity.clone(), "ServicePrincipal")],
                );
            }
        } else if workspace.kind == Kind::Hub && self.dice.percent(40) {
            let identity = self.identity(workspace, "tuning");
            part.take_identity(&identity, &["fineTuning"]);
            part.work(&identity.principal_id, &[Role::BlobContributor], self.dice);
        }
        if self.dice.percent(20) {
            self.instance(workspace, &mut part);
        }
        self.profiles(&mut part);
        part.through_key = through_key(workspace, &part);
        part
    }

    fn people(&mut self, workspace: &Workspace, part: &mut Part) {
        if self.dice.percent(80) {
            let team = self.directory.team(&workspace.team, self.dice);
            part.take(team.group.group(), Asked::Level("readWrite"), &[(team.group.object_id.clone(), "Group")]);
            self.member_at_work(team, &Asked::Level("readWrite"), part);
            if self.dice.percent(75) {
                return;
            }
        }
        let words = match (workspace.is_hub_or_project(), self.dice.below(3)) {
            (false, 0) => vec!["notebooks", "studioDatasets"],
            (false, 1) => vec!["datastores", "modelFromLocalFiles"],
            (false, _) => vec!["dataLabeling"],
            (true, 0) => vec!["promptFlow"],
            (true, _) => vec!["ownData"],
        };
        let asked = if self.dice.percent(25) { Asked::Level("readOnly") } else { Asked::Scenarios(words) };
        if let Some(person) = self.dice.pick(&self.directory.individuals) {
            let roles = roles_of(&asked);
            part.take(person.user(), asked, &[(person.object_id.clone(), "User")]);
            part.work(&person.object_id, &roles, self.dice);
        }
    }

    /// A group cannot work: one of its members does.
    fn member_at_work(&mut self, team: &Team, asked: &Asked, part: &mut Part) {
        if let Some(member) = self.dice.pick(&team.members) {
            part.work(&member.object_id, &roles_of(asked), self.dice);
        }
    }

    fn clusters(&mut self, account: &Account, workspace: &Workspace, first: usize, part: &mut Part) {
        if self.dice.percent(60) {
            let name = "cpu-cluster".to_owned();
            let principal = Principal::Compute(name.clone());
            if self.dice.percent(60) {
                let principal_id = self.dice.guid();
                let holder = [(principal_id.clone(), "ServicePrincipal")];
                part.take(principal, Asked::Scenarios(vec!["training"]), &holder);
                part.work(&principal_id, &[Role::BlobReader], self.dice);
                part.computes.push(Compute { name, form: ComputeForm::ClusterWithSystemIdentity { principal_id } });
            } else {
                let mut identities = vec![self.shared_identity(account, workspace, first)];
                if self.dice.percent(20) {
                    identities.push(self.identity(workspace, "extra"));
                }
                let holders: Vec<_> =
                    identities.iter().map(|identity| (identity.principal_id.clone(), "ServicePrincipal")).collect();
                part.take(principal, Asked::Scenarios(vec!["training", "modelRegistry"]), &holders);
                if let Some(identity) = identities.first() {
                    part.work(&identity.principal_id, &[Role::BlobReader, Role::BlobContributor], self.dice);
                }
                part.computes.push(Compute { name, form: ComputeForm::ClusterWithIdentities(identities) });
            }
        }
        if self.dice.percent(25) {
            let identity = self.shared_identity(account, workspace, first);
            part.take_identity(&identity, &["training", "parallelRunStep"]);
            let roles = [Role::BlobReader, Role::TableContributor, Role::QueueContributor];
            part.work(&identity.principal_id, &roles, self.dice);
        }
    }

    fn instance(&mut self, workspace: &Workspace, part: &mut Part) {
        let Some(owner) = self.dice.pick(&self.directory.individuals) else { return };
        let name = format!("ci-{}", self.dice.between(100, 999));
        // The articles have a row for the identities of instances on workspaces only, none for hubs.
        let has_identity = workspace.kind == Kind::Default && self.dice.percent(50);
        let identity = has_identity.then(|| self.identity(workspace, "instance"));
        if let Some(identity) = &identity {
            let holder = [(identity.principal_id.clone(), "ServicePrincipal")];
            part.take(Principal::Compute(name.clone()), Asked::Scenarios(vec!["computeInstance"]), &holder);
        }
        let owner = owner.object_id.clone();
        part.computes.push(Compute { name, form: ComputeForm::Instance { owner, identity } });
    }

    fn profiles(&mut self, part: &mut Part) {
        if self.dice.percent(30) {
            let readers = &self.directory.readers;
            part.profiles.push(READERS.to_owned());
            part.need(&Asked::Level("readOnly"), &[(readers.group.object_id.clone(), "Group")]);
            if self.dice.percent(20) {
                self.member_at_work(readers, &Asked::Level("readOnly"), part);
            }
        }
        if self.dice.percent(15) {
            let application = &self.directory.readers.application;
            part.profiles.push(PIPELINES.to_owned());
            part.need(&Asked::Level("readWrite"), &[(application.object_id.clone(), "ServicePrincipal")]);
        }
    }

    /// An identity of this account, at times one that another workspace there uses already.
    fn shared_identity(&mut self, account: &Account, workspace: &Workspace, first: usize) -> Identity {
        let prefix = format!("id-{}-jobs", account.name);
        let used: Vec<Identity> =
            self.identities.iter().skip(first).filter(|identity| identity.name.starts_with(&prefix)).cloned().collect();
        if self.dice.percent(50)
            && let Some(identity) = self.dice.pick(&used)
        {
            return identity.clone();
        }
        let name = format!("{prefix}-{}", used.len() + 1);
        self.named_identity(workspace, name)
    }

    fn identity(&mut self, workspace: &Workspace, purpose: &str) -> Identity {
        self.named_identity(workspace, format!("id-{}-{purpose}", workspace.name))
    }

    fn named_identity(&mut self, workspace: &Workspace, name: String) -> Identity {
        let identity = Identity {
            id: format!(
                "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}",
                workspace.subscription, workspace.resource_group
            ),
            name,
            principal_id: self.dice.guid(),
            client_id: self.dice.guid(),
        };
        self.identities.push(identity.clone());
        identity
    }
}

impl Part {
    /// Declares an access; `holders` are the principals it comes to, with their types.
    fn take(&mut self, principal: Principal, asked: Asked, holders: &[(String, &'static str)]) {
        self.need(&asked, holders);
        self.access.push(Access { principal, asked });
    }

    fn take_identity(&mut self, identity: &Identity, words: &[&'static str]) {
        let holder = [(identity.principal_id.clone(), "ServicePrincipal")];
        self.take(Principal::ManagedIdentity(identity.id.clone()), Asked::Scenarios(words.to_vec()), &holder);
    }

    fn need(&mut self, asked: &Asked, holders: &[(String, &'static str)]) {
        for (principal_id, principal_type) in holders {
            for role in roles_of(asked) {
                let need = Need { principal_id: principal_id.clone(), principal_type, role };
                if !self.needs.contains(&need) {
                    self.needs.push(need);
                }
            }
        }
    }

    /// Puts a principal to work with some of what the roles allow.
    fn work(&mut self, principal_id: &str, roles: &[Role], dice: &mut Dice) {
        let mut data_actions: Vec<&'static str> = roles.iter().flat_map(|role| role.data_actions()).copied().collect();
        data_actions.sort_unstable();
        data_actions.dedup();
        dice.shuffle(&mut data_actions);
        data_actions.truncate(dice.between(1, data_actions.len().max(1)));
        self.workers.push(Worker { principal_id: principal_id.to_owned(), data_actions });
    }
}

/// Every fourth workspace with somebody who works on blobs has a datastore that stores the key, and that person works
/// through it too. Told by the workspace's GUID rather than by dice, which all that follows depends on.
fn through_key(workspace: &Workspace, part: &Part) -> Option<Worker> {
    let chosen = workspace.workspace_guid.ends_with(['0', '4', '8', 'c']);
    let on_blobs = |worker: &Worker| {
        let actions = worker.data_actions.iter().copied();
        let data_actions: Vec<&'static str> = actions.filter(|action| action.contains("/blobServices/")).collect();
        (!data_actions.is_empty()).then(|| Worker { principal_id: worker.principal_id.clone(), data_actions })
    };
    if chosen { part.workers.iter().find_map(on_blobs) } else { None }
}

fn readers_access(directory: &Directory) -> Access {
    Access { principal: directory.readers.group.group(), asked: Asked::Level("readOnly") }
}

fn pipelines_access(directory: &Directory) -> Access {
    Access { principal: directory.readers.application.application(), asked: Asked::Level("readWrite") }
}

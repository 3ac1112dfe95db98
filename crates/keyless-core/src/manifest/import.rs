//! From the files that Azure's articles and clients use to desired state: `az ml` YAML, templates, bodies of requests.
//!
//! As in [`super::load`], no step stops at its first problem, and each problem has its place. What a file says and desired
//! state has no word for is a warning, so that nothing is lost silently.
//!
//! `template` reads resources, `parameters` what they are filled in with, `expression` what stands between brackets, `roles` the names of roles, `assemble` puts
//! what was found into documents.

mod assemble;
mod expression;
mod parameters;
mod roles;
mod template;

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::{AuthMode, Location};
use crate::id::{ArmId, PrincipalId, StorageAccountId, SubscriptionId, WorkspaceId};
use crate::observed::{PrincipalType, WorkspaceKind};
use crate::secret;

use super::hint;
use super::node::{self, Node, Place, Value};
use super::problem::{Problem, Report, shorten};
use super::source::{self, SourceFile};

use crate::catalog::CatalogRole;

/// What the files may leave out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Where it is deployed to.
    pub subscription: Option<SubscriptionId>,
    /// The name of the resource group it is deployed to.
    pub resource_group: Option<String>,
    /// The resource that a body or a placeholder stands for.
    pub name: Option<String>,
}

/// What the files say, as documents.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The documents as one text.
    pub text: String,
    /// What is not said in the text, or hardly meant.
    pub warnings: Vec<Problem>,
}

/// Why the files give no documents.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{} problem{} in what was to be imported", .problems.len(), if .problems.len() == 1 { "" } else { "s" })]
pub struct NotImported {
    /// Every problem, ordered by file and place; never empty.
    pub problems: Vec<Problem>,
    /// What is not said in the text, or hardly meant.
    pub warnings: Vec<Problem>,
}

/// Reads files in any of the forms, mixed as they come.
///
/// # Errors
/// [`NotImported`] with every problem of every file.
pub fn import(files: &[SourceFile], facts: &Facts) -> Result<Imported, NotImported> {
    let mut report = Report::default();
    let mut documents = Vec::new();
    for file in files {
        let Some(text) = file.text(&mut report) else { continue };
        let Some(parts) = source::parts(file.path(), text, &mut report) else { continue };
        for part in parts {
            let node::Parsed { node, fault } = node::parse(part);
            if let Some(node::Fault { at, message, hint }) = fault {
                report.problem(place(file.path(), at), message, hint);
            } else if let Some(node) = node {
                node.repeated_keys(&mut |key, at, first| {
                    let message = format!("duplicate field `{}`, first at line {}", shorten(key), first.line);
                    report.problem(place(file.path(), at), message, None);
                });
                documents.push((file.path(), node));
            }
        }
    }
    // What a file of parameters says counts for every template beside it.
    let of_form = |form| documents.iter().filter(move |(_, node)| Form::of(node) == form);
    let declared: BTreeSet<String> =
        of_form(Form::Template).flat_map(|(_, node)| named_parameters(node)).map(|(name, ..)| name).collect();
    let mut parameters = BTreeMap::new();
    for (path, node) in of_form(Form::Parameters) {
        for (name, key, given) in named_parameters(node) {
            if !declared.contains(&name) {
                let message = format!("no template here has a parameter `{}`: its value is not used", shorten(&name));
                report.warning(place(path, key.at), message, None);
            }
            if let Some((_, value)) = field(given, "value")
                && parameters.insert(name.clone(), value.clone()).is_some()
            {
                let message = format!("`{}` is given more than once: this one counts", shorten(&name));
                report.warning(place(path, key.at), message, None);
            }
        }
    }
    let mut found = Found::default();
    for (path, node) in &documents {
        let mut reading = Reading { path, facts, report: &mut report, found: &mut found };
        match Form::of(node) {
            Form::Parameters => {}
            Form::Template => template::read(node, &parameters, &mut reading),
            Form::Body => template::read_body(node, &mut reading),
            Form::Workspace => az_ml(node, &mut reading),
            Form::Own => reading.problem(node.at, "this is desired state already", None),
            Form::Unknown => reading.problem(
                node.at,
                "there is no telling what this is",
                Some("read are: YAML of `az ml workspace`, ARM templates as JSON, and bodies of requests".to_owned()),
            ),
        }
    }
    let written = assemble::documents(&found, &mut report);
    if written.is_empty() && report.is_clean() {
        let first = files.first().map_or("", SourceFile::path);
        report.problem(source::whole_file(first), "nothing in these files is about a workspace or its account", None);
    }
    let clean = report.is_clean();
    let (problems, warnings) = report.into_sorted();
    if clean {
        Ok(Imported { text: super::write::file(&written), warnings })
    } else {
        Err(NotImported { problems, warnings })
    }
}

/// The parameters of a template, or of a file of parameters: names in lower case, for Azure does not tell cases apart.
fn named_parameters(node: &Node) -> impl Iterator<Item = (String, &Node, &Node)> {
    field(node, "parameters").into_iter().flat_map(|(_, given)| entries(given)).filter_map(|(key, value)| {
        match &key.value {
            Value::Text(name) => Some((name.to_ascii_lowercase(), key, value)),
            _ => None,
        }
    })
}

/// In which form a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Template,
    Parameters,
    Body,
    Workspace,
    Own,
    Unknown,
}

impl Form {
    fn of(node: &Node) -> Self {
        let schema = field(node, "$schema").map(|(_, schema)| text(schema).unwrap_or_default().to_ascii_lowercase());
        let schema = schema.unwrap_or_default();
        let has = |name: &str| field(node, name).is_some();
        if schema.contains("deploymentparameters") {
            Self::Parameters
        } else if schema.contains("deploymenttemplate") || has("resources") {
            Self::Template
        } else if has("apiVersion") && has("kind") && has("spec") {
            Self::Own
        } else if has("properties") || has("value") || matches!(node.value, Value::List(_)) {
            Self::Body
        } else if schema.contains("azuremlschemas")
            || ["storage_account", "system_datastores_auth_mode", "hub_id"].into_iter().any(has)
        {
            Self::Workspace
        } else {
            Self::Unknown
        }
    }
}

/// What all files say together.
#[derive(Default)]
struct Found {
    workspaces: Vec<FoundWorkspace>,
    accounts: Vec<FoundAccount>,
    grants: Vec<FoundGrant>,
}

struct FoundWorkspace {
    at: Location,
    id: WorkspaceId,
    kind: WorkspaceKind,
    mode: AuthMode,
    account: Option<StorageAccountId>,
}

struct FoundAccount {
    at: Location,
    id: StorageAccountId,
    key_allowed: bool,
}

struct FoundGrant {
    at: Location,
    scope: ArmId,
    principal: PrincipalId,
    kind: PrincipalType,
    role: &'static CatalogRole,
}

/// One document on its way to [`Found`].
struct Reading<'r> {
    path: &'r str,
    facts: &'r Facts,
    report: &'r mut Report,
    found: &'r mut Found,
}

impl Reading<'_> {
    fn problem(&mut self, at: Place, message: impl Into<String>, hint: Option<String>) {
        self.report.problem(place(self.path, at), message, hint);
    }

    fn warning(&mut self, at: Place, message: impl Into<String>, hint: Option<String>) {
        self.report.warning(place(self.path, at), message, hint);
    }

    /// Names the fields that nothing here reads. `within` is what they stand in, with a dot behind it.
    fn left_out(&mut self, node: &Node, within: &str, read: &[&str]) {
        let unread = entries(node).filter(|(_, value)| value.value != Value::Null).filter_map(|(key, _)| text(key));
        let names: Vec<String> = unread
            .filter(|key| !read.iter().any(|read| read.eq_ignore_ascii_case(key)))
            .map(|key| format!("`{within}{}`", shorten(key)))
            .collect();
        if !names.is_empty() {
            self.warning(node.at, format!("not imported: {}", names.join(", ")), None);
        }
    }

    /// The id of a resource by its name and the flags.
    fn id(&mut self, at: Place, kind: &str, name: &str) -> Option<ArmId> {
        let mut missing = Vec::new();
        if self.facts.subscription.is_none() {
            missing.push("`--subscription GUID`");
        }
        if self.facts.resource_group.is_none() {
            missing.push("`--resource-group NAME`");
        }
        let (Some(subscription), Some(group)) = (self.facts.subscription, self.facts.resource_group.as_ref()) else {
            let message = format!("where `{}` lies is not said", shorten(name));
            self.problem(at, message, Some(format!("give {}", missing.join(" and "))));
            return None;
        };
        let id = format!("/subscriptions/{subscription}/resourceGroups/{group}/providers/{kind}/{name}");
        match ArmId::parse(&id) {
            Ok(id) => Some(id),
            Err(error) => {
                self.problem(at, error.to_string(), None);
                None
            }
        }
    }

    /// The mode of its word; Azure's default where there is none.
    fn mode(&mut self, at: Place, word: Option<(Place, &str)>) -> Option<AuthMode> {
        match word {
            None => {
                let message = "the mode is not said, which leaves Azure's default: the account key";
                let hint = "it is imported as `authMode: accesskey`".to_owned();
                self.warning(at, message, Some(hint));
                Some(AuthMode::AccessKey)
            }
            Some((_, word)) if word.eq_ignore_ascii_case("identity") => Some(AuthMode::Identity),
            Some((_, word)) if word.eq_ignore_ascii_case("accesskey") => Some(AuthMode::AccessKey),
            Some((at, word)) => {
                let hint = hint::among(word, ["identity", "accesskey"]);
                self.problem(at, format!("`{}` is no mode of a workspace", shorten(word)), Some(hint));
                None
            }
        }
    }

    /// The account that a workspace names. A placeholder is none: nothing here needs it.
    fn account(&mut self, at: Place, given: &str) -> Option<StorageAccountId> {
        if is_placeholder(given) {
            let message = format!("`{}` is a placeholder: which roles its people hold cannot be told", shorten(given));
            self.warning(at, message, Some("Azure knows the account; a plan finds it".to_owned()));
            return None;
        }
        match StorageAccountId::parse(given) {
            Ok(id) => Some(id),
            Err(error) => {
                self.problem(at, error.to_string(), None);
                None
            }
        }
    }

    /// The name in the file, or that of the flag where the file has a placeholder.
    fn name(&mut self, at: Place, given: Option<&str>) -> Option<String> {
        match (given, &self.facts.name) {
            (Some(given), _) if !is_placeholder(given) => Some(given.to_owned()),
            (_, Some(name)) => Some(name.clone()),
            (given, None) => {
                let message = match given {
                    Some(given) => format!("`{}` is a placeholder, not a name", shorten(given)),
                    None => "which resource this is about is not said".to_owned(),
                };
                self.problem(at, message, Some("put the name there, or give it with `--name`".to_owned()));
                None
            }
        }
    }
}

/// The YAML of `az ml workspace create --file`, and of hubs and projects.
///
/// Source: <https://learn.microsoft.com/azure/machine-learning/reference-yaml-workspace>, `reference-yaml-hub`,
/// `reference-yaml-project`.
fn az_ml(node: &Node, reading: &mut Reading<'_>) {
    let value = |name: &str| field(node, name).map(|(_, value)| value);
    let schema = value("$schema").and_then(text).unwrap_or_default();
    let named = schema.rsplit('/').next().unwrap_or_default();
    let kind = match named.split('.').next().unwrap_or_default() {
        "hub" => WorkspaceKind::Hub,
        "project" => WorkspaceKind::Project,
        "workspace" | "" => {
            let word = value("kind").or_else(|| value("type")).and_then(text);
            if value("hub_id").is_some() { WorkspaceKind::Project } else { WorkspaceKind::from_wire(word) }
        }
        other => {
            let message =
                format!("`{}` is about something else than a workspace, hub or project", secret::part(other, schema));
            return reading.problem(node.at, message, None);
        }
    };
    let read = ["$schema", "name", "kind", "type", "hub_id", "storage_account", "system_datastores_auth_mode"];
    reading.left_out(node, "", &read);
    let at = value("name").map_or(node.at, |name| name.at);
    let name = reading.name(at, value("name").and_then(text));
    let word = value("system_datastores_auth_mode").map(|word| (word.at, text(word).unwrap_or_default()));
    let mode = reading.mode(node.at, word);
    let account = match value("storage_account") {
        // `{your id}` is a mapping in YAML.
        Some(Node { at, value: Value::Map(_) }) => reading.account(*at, "{…}"),
        Some(given) => reading.account(given.at, text(given).unwrap_or_default()),
        None => None,
    };
    let provider = "Microsoft.MachineLearningServices/workspaces";
    let id = name.and_then(|name| reading.id(at, provider, &name));
    reading.add_workspace(at, id, kind, mode, account);
}

impl Reading<'_> {
    fn add_workspace(
        &mut self,
        at: Place,
        id: Option<ArmId>,
        kind: WorkspaceKind,
        mode: Option<AuthMode>,
        account: Option<StorageAccountId>,
    ) {
        let (Some(id), Some(mode)) = (id, mode) else { return };
        match WorkspaceId::try_from(id) {
            Ok(id) => {
                let at = place(self.path, at);
                self.found.workspaces.push(FoundWorkspace { at, id, kind, mode, account });
            }
            Err(error) => self.problem(at, error.to_string(), None),
        }
    }
}

/// Whether somebody is meant to put something else there.
fn is_placeholder(text: &str) -> bool {
    let text = text.trim();
    let between = |open: char, close: char| text.starts_with(open) && text.ends_with(close);
    between('<', '>') || between('{', '}') || text.is_empty()
}

fn place(path: &str, at: Place) -> Location {
    Location { path: path.to_owned(), line: at.line, column: at.column }
}

/// The entry of a mapping; templates do not count case.
fn field<'n>(node: &'n Node, name: &str) -> Option<(&'n Node, &'n Node)> {
    entries(node).find(|(key, _)| matches!(&key.value, Value::Text(key) if key.eq_ignore_ascii_case(name)))
}

fn entries(node: &Node) -> impl Iterator<Item = (&Node, &Node)> {
    let entries = match &node.value {
        Value::Map(entries) => entries.as_slice(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => &[],
    };
    entries.iter().map(|(key, value)| (key, value))
}

fn text(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Text(text) => Some(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => None,
    }
}

//! The simulated cloud in a process of its own, the folder with the files for it, and the ways to look into it.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::{Answer, Http};
use super::process::{Process, keyless};
use super::{PATIENCE, wait_until};

/// The object id of whoever changes things behind the daemon's back.
pub const SOMEBODY: &str = "5a11c0de-0000-4000-8000-000000000001";

/// Operations of Azure that hand out keys or secrets.
const SECRETS: [&str; 6] =
    ["/listkeys", "/listsecrets", "/liststorageaccountkeys", "/listaccountsas", "/listservicesas", "/regeneratekey"];

const ACCOUNTS: &str = "Microsoft.Storage/storageAccounts";
const WORKSPACES: &str = "Microsoft.MachineLearningServices/workspaces";

pub struct Sim {
    process: Process,
    ready: Value,
    folder: TempDir,
    http: Http,
    token: OnceCell<String>,
    /// Whether a test has ended it, after a look at what was asked for.
    stopped: bool,
}

impl Sim {
    /// A fleet at 600 times the speed of life.
    pub fn fleet(workspaces: usize, seed: u64) -> Self {
        Self::start(&["--workspaces", &workspaces.to_string(), "--seed", &seed.to_string(), "--speed", "600"])
    }

    pub fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = folder.path().to_str().expect("its path is text").to_owned();
        let mut command = keyless(&["sim", "--write-desired", &path]);
        command.args(arguments);
        let mut process = Process::start(command);
        let line = wait_until("the simulator is ready", PATIENCE, || {
            let first = process.stdout.all().into_iter().next();
            let ended = process.ended();
            assert!(first.is_some() || ended.is_none(), "the simulator ended\n{}", process.stderr.tail());
            first
        });
        let ready: Value = serde_json::from_str(&line).expect("the ready line is JSON");
        let ca_file = ready["caFile"].as_str().filter(|path| !path.is_empty()).map(PathBuf::from);
        let http = Http::new(text_at(&ready, "/resourceManager"), ca_file.as_deref());
        Self { process, ready, folder, http, token: OnceCell::new(), stopped: false }
    }

    /// A cloud that holds these resources and nothing else.
    pub fn of_world(resources: &[Value], arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let file = folder.path().join("world.json");
        std::fs::write(&file, Value::from(resources.to_vec()).to_string()).expect("a file can be written");
        let mut all = vec!["--world", file.to_str().expect("its path is text")];
        all.extend(arguments);
        Self::start(&all)
    }

    pub fn ready(&self, name: &str) -> &str {
        self.ready[name].as_str().unwrap_or_else(|| panic!("the ready line has no {name}"))
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn desired(&self) -> PathBuf {
        self.folder().join("desired")
    }

    /// Whether the mark that all writes are settled lies in the state directory.
    pub fn has_settled_mark(&self) -> bool {
        self.folder().join("state/settled").is_file()
    }

    /// The process that it says it is.
    pub fn pid(&self) -> Option<u64> {
        self.ready["pid"].as_u64()
    }

    /// SIGTERM, and what comes of it.
    #[track_caller]
    pub fn stop(mut self) -> ExitStatus {
        self.assert_no_secret_was_asked_for();
        self.stopped = true;
        self.process.terminate();
        self.process.wait()
    }

    /// What the simulator said on stderr.
    pub fn remarks(&self) -> String {
        self.process.stderr.all().join("\n")
    }

    /// A command on this cloud's settings, with nothing but the files.
    pub fn command_by_files(&self, arguments: &[&str]) -> Command {
        let mut command = keyless(arguments);
        command.arg("--config").arg(self.folder().join("keyless.yaml"));
        command
    }

    /// The same with the variables that lead to the managed identity.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command_by_files(arguments);
        command
            .env("IDENTITY_ENDPOINT", self.ready("identityEndpoint"))
            .env("IDENTITY_HEADER", self.ready("identityHeader"));
        command
    }

    #[track_caller]
    fn control(&self, path: &str) -> Value {
        self.http.send("GET", path, &[], "").ok().json()
    }

    #[track_caller]
    pub fn oracle(&self) -> Value {
        self.control("/sim/oracle")
    }

    #[track_caller]
    pub fn denied_entitled(&self) -> u64 {
        self.oracle()["denied"]["entitled"].as_u64().expect("a number")
    }

    #[track_caller]
    pub fn requests(&self) -> Requests {
        Requests(self.control("/sim/requests"))
    }

    /// Every entry of the world.
    #[track_caller]
    pub fn world(&self) -> Vec<Value> {
        let Value::Array(world) = self.control("/sim/world") else { panic!("the world is no list") };
        world
    }

    /// Every entry of the world of one type.
    #[track_caller]
    pub fn resources(&self, kind: &str) -> Vec<Value> {
        self.world().into_iter().filter(|entry| text_at(entry, "/type").eq_ignore_ascii_case(kind)).collect()
    }

    #[track_caller]
    pub fn accounts(&self) -> Vec<Value> {
        self.resources(ACCOUNTS)
    }

    #[track_caller]
    pub fn workspaces(&self) -> Vec<Value> {
        self.resources(WORKSPACES)
    }

    /// The account's flag as it truly is.
    #[track_caller]
    pub fn key_is_on(&self, account: &str) -> bool {
        let accounts = self.accounts();
        let found = accounts.iter().find(|entry| same_id(id_of(entry), account)).expect("the account exists");
        found["properties"]["allowSharedKeyAccess"] != false
    }

    /// The workspace's mode as it truly is, in lower case.
    #[track_caller]
    pub fn mode(&self, workspace: &str) -> String {
        let workspaces = self.workspaces();
        let found = workspaces.iter().find(|entry| same_id(id_of(entry), workspace)).expect("the workspace exists");
        text_at(found, "/properties/systemDatastoresAuthMode").to_lowercase()
    }

    /// Whether every workspace is on identity and every key is off.
    #[track_caller]
    pub fn is_off_keys(&self) -> bool {
        let off = self.accounts().iter().all(|account| account["properties"]["allowSharedKeyAccess"] == false);
        off && self.workspaces().iter().all(|workspace| {
            text_at(workspace, "/properties/systemDatastoresAuthMode").eq_ignore_ascii_case("identity")
        })
    }

    /// Makes a change behind everybody's back; answers with its time.
    #[track_caller]
    pub fn drift(&self, change: &str, target: &str, value: Value) -> String {
        self.drift_by(SOMEBODY, change, target, value)
    }

    /// The same by somebody else, by object id.
    #[track_caller]
    pub fn drift_by(&self, by: &str, change: &str, target: &str, value: Value) -> String {
        let body = json!({"change": change, "target": target, "value": value, "by": by}).to_string();
        let answer = self.http.send("POST", "/sim/drift", &[("Content-Type", "application/json")], &body).ok().json();
        text_at(&answer, "/at").to_owned()
    }

    /// A token from the token endpoint, as a script gets one.
    #[track_caller]
    pub fn token(&self) -> &str {
        self.token.get_or_init(|| {
            let form = format!(
                "grant_type=client_credentials&client_id={}&client_secret={}&scope={}/.default",
                self.ready("clientId"),
                self.ready("clientSecret"),
                self.ready("resourceManager")
            );
            let path = format!("/{}/oauth2/v2.0/token", self.ready("tenantId"));
            let headers = [("Content-Type", "application/x-www-form-urlencoded")];
            let answer = self.http.send("POST", &path, &headers, &form).ok().json();
            text_at(&answer, "/access_token").to_owned()
        })
    }

    /// One call to ARM by hand.
    #[track_caller]
    pub fn arm(&self, method: &str, id: &str, api_version: &str, body: &Value) -> Answer {
        let (path, query) = id.split_once('?').map_or((id, String::new()), |(path, query)| (path, format!("&{query}")));
        let authorization = format!("Bearer {}", self.token());
        let headers = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.http.send(method, &format!("{path}?api-version={api_version}{query}"), &headers, &body)
    }

    /// Turns an account's key on or off by hand, over ARM.
    #[track_caller]
    pub fn set_key_by_hand(&self, account: &str, allowed: bool) {
        let body = json!({"properties": {"allowSharedKeyAccess": allowed}});
        self.arm("PATCH", account, "2023-05-01", &body).ok();
    }

    /// Sets a workspace's mode by hand, over ARM.
    #[track_caller]
    pub fn set_mode_by_hand(&self, workspace: &str, mode: &str) {
        let body = json!({"properties": {"systemDatastoresAuthMode": mode}});
        self.arm("PATCH", workspace, "2025-09-01", &body).ok();
    }

    #[track_caller]
    pub fn assert_nobody_was_denied(&self) {
        let oracle = self.oracle();
        assert_eq!(oracle["denied"], json!({"entitled": 0, "keyUsers": 0}), "{oracle:#}");
        assert_eq!(oracle["events"], json!([]));
        assert!(oracle["tries"].as_u64().is_some_and(|tries| tries > 0), "nobody was at work: {oracle:#}");
    }

    #[track_caller]
    pub fn assert_no_secret_was_asked_for(&self) {
        for (operation, _) in self.requests().by_operation() {
            let lower = operation.to_ascii_lowercase();
            let asks = SECRETS.iter().any(|word| lower.ends_with(word));
            assert!(!asks, "a key or secret was asked for: {operation}");
        }
    }
}

/// Whatever a test is about, no cloud of any test is ever asked for a key or secret.
impl Drop for Sim {
    fn drop(&mut self) {
        if std::thread::panicking() || self.stopped {
            return;
        }
        let ended = self.process.ended();
        assert_eq!(ended, None, "it ended before it told what was asked for\n{}", self.process.stderr.tail());
        self.assert_no_secret_was_asked_for();
    }
}

/// The request log of the simulator at one moment.
pub struct Requests(Value);

impl Requests {
    pub fn total(&self) -> u64 {
        self.0["total"].as_u64().expect("a number")
    }

    pub fn writes(&self) -> u64 {
        self.0["writes"].as_u64().expect("a number")
    }

    /// How often each operation was asked for, as `METHOD template`.
    pub fn by_operation(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for entry in self.0["byOperation"].as_array().expect("a list") {
            let name = format!("{} {}", text_at(entry, "/method"), text_at(entry, "/operation"));
            *counts.entry(name).or_default() += entry["count"].as_u64().expect("a number");
        }
        counts
    }

    /// What was answered with 403, as the log has it.
    pub fn refused(&self) -> Vec<Value> {
        let entries = self.0["byOperation"].as_array().expect("a list");
        entries.iter().filter(|entry| entry["status"] == 403).cloned().collect()
    }

    /// How often it was asked for an operation whose template ends so.
    pub fn count(&self, method: &str, ending: &str) -> u64 {
        let all = self.by_operation();
        let wanted = |name: &str| name.starts_with(method) && name.to_ascii_lowercase().ends_with(ending);
        all.iter().filter(|(name, _)| wanted(name)).map(|(_, count)| count).sum()
    }
}

/// The text at a JSON Pointer, or nothing.
pub fn text_at<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

pub fn id_of(resource: &Value) -> &str {
    text_at(resource, "/id")
}

/// Ids are compared without case, as Azure does.
pub fn same_id(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

//! Jobs that begin and end by the clock, the list of them, and compute instances that are started and stopped.
//!
//! A job works with the way of access that its workspace had when it began: mounts are made at its start. Storage judges
//! each request by its signature alone, and what becomes of a mount that was made with the key when the workspace is switched
//! is told by no public source. Design decision, the worse case: from the switch on such a job is refused. What was mounted
//! with a token goes on with the token.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::azure::{Actor, Azure, Timer};
use crate::request::{Answer, Call, Reply};
use crate::workload::{TRIES_PER_HOUR, What};
use crate::world::{COMPUTE, JOB, JOB_RUN};
use crate::{arm_id, json, time};

const READ: &str = "Microsoft.MachineLearningServices/workspaces/jobs/read";

impl Azure {
    /// Gives every job that the world declares its begin, and every instance its end.
    pub(crate) fn start_jobs(&mut self) {
        let jobs: Vec<String> = self.world.keys_of(JOB_RUN).map(str::to_owned).collect();
        let computes: Vec<String> = self.world.keys_of(COMPUTE).map(str::to_owned).collect();
        jobs.iter().for_each(|job| self.start_job(job));
        computes.iter().for_each(|compute| self.follow_instance(compute));
    }

    /// One job of the simulator's own entry: `{workspace, name, jobType?, startsAfter?, runsFor?, endsAs?, principalId,
    /// dataActions}`; without `runsFor` it never ends.
    pub(crate) fn start_job(&mut self, key: &str) {
        let wait = self.span_of(key, "startsAfter").unwrap_or_default();
        if wait.is_zero() {
            self.begin_job(key);
        } else {
            self.schedule(time::after(self.now, wait), Timer::JobBegins { job: key.to_owned() });
        }
    }

    fn span_of(&self, key: &str, name: &str) -> Option<std::time::Duration> {
        let text = json::text(self.world.get(key)?, &["properties", name])?;
        humantime::parse_duration(text).ok().map(|span| self.speed.shorten(span))
    }

    pub(crate) fn begin_job(&mut self, key: &str) {
        let Some(entry) = self.world.typed(JOB_RUN, key) else { return };
        let words = |name: &str| json::text(entry, &["properties", name]).unwrap_or_default().to_owned();
        let actions = json::at(entry, &["properties", "dataActions"]).and_then(Value::as_array);
        let actions = actions.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        let (written, name, principal) = (words("workspace"), words("name"), words("principalId"));
        let job_type = Some(words("jobType")).filter(|word| !word.is_empty()).unwrap_or_else(|| "Command".to_owned());
        self.world.insert(json!({
            "id": format!("{written}/jobs/{name}"), "name": name,
            "type": "Microsoft.MachineLearningServices/workspaces/jobs",
            "properties": {"jobType": job_type, "displayName": name, "experimentName": "Default", "isArchived": false,
                "status": "Running"},
            "systemData": {"createdAt": time::stamp(self.now), "createdBy": principal, "createdByType": "User"},
        }));
        let workspace = arm_id::key(&written);
        let (account, mounted) = (self.home_of(&workspace, None), self.signed(&workspace, None));
        let what = What::Workload { workspace, principal, actions, own: false, datastore: None, mounted };
        self.bring_to_life(key, what, account, TRIES_PER_HOUR, self.now);
        if let Some(runs) = self.span_of(key, "runsFor") {
            self.schedule(time::after(self.now, runs), Timer::JobEnds { job: key.to_owned() });
        }
    }

    pub(crate) fn end_job(&mut self, key: &str) {
        let Some(entry) = self.world.typed(JOB_RUN, key) else { return };
        let words = |name: &str| json::text(entry, &["properties", name]).unwrap_or_default().to_owned();
        let end = Some(words("endsAs")).filter(|word| !word.is_empty()).unwrap_or_else(|| "Completed".to_owned());
        let job = arm_id::key(&format!("{}/jobs/{}", words("workspace"), words("name")));
        if let Some(job) = self.world.get_mut(&job) {
            json::object(job, "properties").insert("status".to_owned(), json!(end));
        }
        self.stop_client(key);
    }

    /// The jobs of a workspace in pages. There is no filter by status, and archived ones show only to who asks for them.
    /// Source: Azure/azure-rest-api-specs `stable/2024-04-01/mfe.json`, `Jobs_List`. It tells no order; by name is a design
    /// decision.
    pub(crate) fn list_jobs(&self, caller: &str, call: &Call, workspace: &str) -> Reply {
        self.authorize(caller, READ, workspace)?;
        let view = call.query("listViewType").unwrap_or("ActiveOnly").to_ascii_lowercase();
        let kind = call.query("jobType").map(str::to_ascii_lowercase);
        let shows = |key: &&str| {
            let Some(job) = self.world.get(key) else { return false };
            let archived = json::at(job, &["properties", "isArchived"]) == Some(&Value::Bool(true));
            let of_kind = json::text(job, &["properties", "jobType"]).map(str::to_ascii_lowercase);
            (view == "all" || archived == (view == "archivedonly")) && (kind.is_none() || kind == of_kind)
        };
        let keys = self.world.keys_below(JOB, workspace).filter(shows).map(str::to_owned);
        self.page(call, keys, |key| Some(self.shown(call, self.world.get(key)?)))
    }

    /// Starts or stops a compute instance: 202, and after a while it is so.
    /// Source: Azure/azure-rest-api-specs `stable/2024-04-01/machineLearningServices.json`, `Compute_Start` and
    /// `Compute_Stop`. The address to poll that their answers carry is left out: whoever waits reads the compute.
    pub(crate) fn run_instance(&mut self, caller: &str, call: &Call, key: &str, starts: bool) -> Reply {
        let verb = if starts { "start" } else { "stop" };
        let action = format!("Microsoft.MachineLearningServices/workspaces/computes/{verb}/action");
        self.authorize(caller, &action, key)?;
        if !self.is_instance(key) {
            return Err(self.not_found(&call.path()));
        }
        let (meanwhile, then) = if starts { ("Starting", "Running") } else { ("Stopping", "Stopped") };
        self.set_instance(key, meanwhile);
        let at = time::after(self.now, self.speed.shorten(self.knobs.operation));
        self.schedule(at, Timer::Instance { compute: key.to_owned(), state: then });
        let id = self.written_id(key).unwrap_or_else(|| key.to_owned());
        self.record(&Actor { oid: caller, correlation: call.correlation() }, &action, &id, 202);
        Ok(Answer::empty(202))
    }

    fn is_instance(&self, key: &str) -> bool {
        self.world.typed(COMPUTE, key).is_some_and(|value| {
            json::text(value, &["properties", "computeType"]) == Some("ComputeInstance") //
        })
    }

    pub(crate) fn set_instance(&mut self, key: &str, state: &str) {
        if !self.is_instance(key) {
            return;
        }
        if let Some(value) = self.world.get_mut(key) {
            let details = json::object(value, "properties").entry("properties").or_insert_with(|| json!({}));
            json::into_object(details).insert("state".to_owned(), json!(state));
        }
        self.follow_instance(key);
    }

    /// A running instance that nobody uses is stopped after the idle time that it is given; nobody uses one here.
    /// Source: `idleTimeBeforeShutdown` in Azure/azure-rest-api-specs `stable/2025-09-01/machineLearningServices.json`: ISO
    /// 8601, from 15 minutes to 3 days.
    pub(crate) fn follow_instance(&mut self, key: &str) {
        let Some(value) = self.world.get(key) else { return };
        let details = |name| json::text(value, &["properties", "properties", name]);
        if !self.is_instance(key) || details("state") != Some("Running") {
            return;
        }
        let idle = details("idleTimeBeforeShutdown").and_then(|text| text.parse::<SignedDuration>().ok());
        let Some(idle) = idle.and_then(|idle| std::time::Duration::try_from(idle).ok()) else { return };
        let at: Timestamp = time::after(self.now, self.speed.shorten(idle));
        self.schedule(at, Timer::Instance { compute: key.to_owned(), state: "Stopped" });
    }
}

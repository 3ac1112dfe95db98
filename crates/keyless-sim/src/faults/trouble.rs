//! Faults that last: storms, denials, lost rights, refused clients, spoiled tokens, and locks that go away again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::arm::Note;
use crate::azure::{Azure, Timer};
use crate::faults::kind::Breadth;
use crate::request::{Answer, Call};
use crate::throttle::BucketUse;
use crate::world::{IDENTITY, LOCK, WORKSPACE};
use crate::{arm_id, json, time};

/// Everything that goes on being wrong.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    lasting: Vec<Lasting>,
    /// Signatures of tokens that are good no more.
    spoiled: BTreeMap<String, Spoiled>,
    /// First writes that were refused, by principal.
    attempts: BTreeMap<String, u32>,
    /// Locks that are faults and stand.
    locks: BTreeSet<String>,
    locks_so_far: u32,
}

#[derive(Debug)]
struct Lasting {
    what: What,
    until: Timestamp,
}

#[derive(Debug)]
enum What {
    Storm { subscription: String, provider: String, retry_after: Duration, promised: Timestamp },
    Policy { scope: String },
    Rights { scope: String, caller: String },
    Client { client: String, code: u32 },
}

/// Why a token is good no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spoiled {
    Expired,
    Revoked,
}

/// A refusal by something that lasts.
pub(crate) struct Refused {
    pub(crate) fault: &'static str,
    pub(crate) answer: Answer,
    pub(crate) bucket: Option<BucketUse>,
}

impl Refused {
    fn new(fault: &'static str, answer: Answer) -> Self {
        Self { fault, answer, bucket: None }
    }

    /// The answer; the rest goes into the note.
    pub(crate) fn note(self, note: &mut Note) -> Answer {
        note.fault = Some(self.fault);
        note.bucket = self.bucket.as_ref().map(|bucket| bucket.name.clone());
        note.buckets.extend(self.bucket);
        self.answer
    }
}

impl Spoiled {
    pub(crate) fn fault(self) -> &'static str {
        match self {
            Self::Expired => "tokenExpired",
            Self::Revoked => "tokenRevoked",
        }
    }
}

impl Troubles {
    pub(crate) fn spoil(&mut self, signature: String, how: Spoiled) {
        self.spoiled.insert(signature, how);
    }

    pub(crate) fn spoiled(&self, signature: &str) -> Option<Spoiled> {
        self.spoiled.get(signature).copied()
    }

    pub(crate) fn attempts(&self, principal: &str) -> u32 {
        self.attempts.get(principal).copied().unwrap_or_default()
    }

    pub(crate) fn attempted(&mut self, principal: String) {
        *self.attempts.entry(principal).or_default() += 1;
    }
}

impl Azure {
    /// When something that lasts so long ends; never after the end of all faults.
    pub(crate) fn trouble_ends(&self, lasts: Duration) -> Timestamp {
        time::after(self.now, self.speed.shorten(lasts)).min(self.knobs.faults.end())
    }

    pub(crate) fn begin_storm(&mut self, call: &Call, lasts: Duration, retry_after: Duration) {
        let (subscription, provider) = storm_scope(call);
        let retry_after = Duration::from_secs(time::retry_after(self.speed.shorten(retry_after)));
        let what = What::Storm { subscription, provider, retry_after, promised: Timestamp::MIN };
        self.lasting(what, lasts);
    }

    pub(crate) fn begin_policy(&mut self, call: &Call, scope: Breadth, lasts: Duration) {
        self.lasting(What::Policy { scope: reach(call, scope) }, lasts);
    }

    pub(crate) fn begin_lost_rights(&mut self, call: &Call, caller: &str, scope: Breadth, lasts: Duration) {
        self.lasting(What::Rights { scope: reach(call, scope), caller: caller.to_owned() }, lasts);
    }

    pub(crate) fn begin_rejection(&mut self, client: &str, code: u32, lasts: Duration) {
        self.lasting(What::Client { client: client.to_owned(), code }, lasts);
    }

    fn lasting(&mut self, what: What, lasts: Duration) {
        let until = self.trouble_ends(lasts);
        self.troubles.lasting.push(Lasting { what, until });
    }

    /// Puts a lock there, as a person would: it shows in the list of locks while it stands.
    pub(crate) fn begin_lock(&mut self, call: &Call, scope: Breadth, read_only: bool, lasts: Duration) {
        let key = reach(call, scope);
        let scope = self.written_id(&key).unwrap_or(key);
        self.troubles.locks_so_far += 1;
        let name = format!("freeze-{}", self.troubles.locks_so_far);
        let id = format!("{scope}/providers/Microsoft.Authorization/locks/{name}");
        let lock = arm_id::key(&id);
        self.world.insert(json!({
            "id": id, "name": name, "type": "Microsoft.Authorization/locks",
            "properties": {"level": if read_only { "ReadOnly" } else { "CanNotDelete" }, "notes": "change freeze"},
        }));
        let until = self.trouble_ends(lasts);
        self.troubles.locks.insert(lock.clone());
        self.schedule(until, Timer::LockGone { lock });
    }

    pub(crate) fn end_lock(&mut self, lock: &str) {
        if self.troubles.locks.remove(lock) {
            self.world.remove(lock);
        }
    }

    /// Ends everything that lasts.
    pub(crate) fn calm(&mut self) {
        for lock in std::mem::take(&mut self.troubles.locks) {
            self.world.remove(&lock);
        }
        self.troubles = Troubles { locks_so_far: self.troubles.locks_so_far, ..Troubles::default() };
    }

    /// What refuses this request because of something that began earlier.
    pub(crate) fn suffer(&mut self, call: &Call, caller: &str) -> Option<Refused> {
        let (now, end) = (self.now, self.knobs.faults.end());
        self.troubles.lasting.retain(|lasting| match &lasting.what {
            // What was promised is kept beyond the storm, though not beyond the end of all faults.
            What::Storm { promised, .. } => now < lasting.until.max(*promised).min(end),
            _ => now < lasting.until,
        });
        let key = call.key();
        let (subscription, provider) = storm_scope(call);
        let write = !matches!(call.method.as_str(), "GET" | "HEAD");
        let target = reach(call, Breadth::Resource);
        let mut found = None;
        for lasting in &mut self.troubles.lasting {
            let until = lasting.until;
            match &mut lasting.what {
                What::Storm { subscription: at, provider: of, retry_after, promised }
                    if *at == subscription && *of == provider =>
                {
                    if now >= *promised && now < until {
                        *promised = time::after(now, *retry_after);
                    }
                    found = Some(storm_refusal(&subscription, &provider, time::between(now, *promised)));
                }
                What::Policy { scope } if write && arm_id::is_within(&key, scope) => {
                    found = Some(Refused::new("policyDeny", policy_refusal(&target, scope)));
                }
                What::Rights { scope, caller: whose } if whose == caller && arm_id::is_within(&key, scope) => {
                    found = Some(Refused::new("authorizationFailed", rights_refusal(call, caller, &target)));
                }
                _ => {}
            }
            if found.is_some() {
                break;
            }
        }
        found
    }

    /// The AADSTS code by which a client is refused because of something that began earlier.
    pub(crate) fn rejection(&mut self, client: &str) -> Option<u32> {
        let now = self.now;
        self.troubles.lasting.iter().filter(|lasting| now < lasting.until).find_map(|lasting| match &lasting.what {
            What::Client { client: whose, code } if whose == client => Some(*code),
            _ => None,
        })
    }

    /// Whether a lock that is a fault holds this resource.
    pub(crate) fn locked_by_fault(&self, call: &Call) -> bool {
        let target = reach(call, Breadth::Resource);
        self.world.extensions_covering(LOCK, &target).any(|(key, _)| self.troubles.locks.contains(key))
    }

    /// How long ago the identity or workspace that a principal belongs to was made, if that is known.
    pub(crate) fn principal_age(&self, principal: &str) -> Option<Duration> {
        let kinds = [(IDENTITY, ["properties", "principalId"]), (WORKSPACE, ["identity", "principalId"])];
        let owner = kinds.into_iter().find_map(|(kind, path)| {
            self.world
                .keys_of(kind)
                .filter_map(|key| self.world.get(key))
                .find(|value| json::text(value, &path).is_some_and(|own| own.eq_ignore_ascii_case(principal)))
        });
        let made = json::text(owner?, &["systemData", "createdAt"]).and_then(time::parse)?;
        Some(time::between(made, self.now))
    }
}

/// The scope that a lasting fault reaches around the resource of a request.
pub(crate) fn reach(call: &Call, breadth: Breadth) -> String {
    let key = call.key();
    let subscription = || arm_id::subscription(&key).map(|id| format!("/subscriptions/{id}"));
    match breadth {
        Breadth::Resource => resource(&key),
        Breadth::Group => arm_id::resource_group(&key).map(str::to_owned).or_else(subscription).unwrap_or(key),
        Breadth::Subscription => subscription().unwrap_or(key),
    }
}

/// What a request is about: without an extension, an action or a collection at the end.
fn resource(key: &str) -> String {
    let extension = ["/providers/microsoft.authorization/", "/providers/microsoft.insights/"];
    let cut = extension.iter().filter_map(|extension| key.rfind(extension)).max();
    let mut kept = key.get(..cut.unwrap_or(key.len())).unwrap_or(key).to_owned();
    if kept.split('/').skip(1).count() % 2 == 1 {
        kept.truncate(kept.rfind('/').unwrap_or(0));
    }
    if let Some((scope, last)) = kept.rsplit_once("/providers/")
        && !last.contains('/')
    {
        return scope.to_owned();
    }
    kept
}

fn storm_scope(call: &Call) -> (String, String) {
    let key = call.key();
    let providers: Vec<&str> = key.split("/providers/").skip(1).collect();
    let provider = providers.last().and_then(|rest| rest.split('/').next()).unwrap_or("microsoft.resources");
    (arm_id::subscription(&key).unwrap_or_default().to_owned(), provider.to_owned())
}

fn storm_refusal(subscription: &str, provider: &str, wait: Duration) -> Refused {
    let message = format!(
        "The request is being throttled as the limit has been reached for provider '{provider}' in subscription \
         '{subscription}'. Please try again after the time in 'Retry-After'."
    );
    let answer = Answer::error(429, "TooManyRequests", message);
    let bucket =
        BucketUse { name: format!("storm/{subscription}/{provider}"), capacity: 0.0, per_second: 0.0, left: 0.0 };
    Refused {
        fault: "storm",
        answer: answer.header("Retry-After", time::retry_after(wait).to_string()),
        bucket: Some(bucket),
    }
}

/// Source: <https://github.com/Azure/Azure-Landing-Zones/issues/2954>; `additionalInfo` as in several public dumps.
fn policy_refusal(target: &str, scope: &str) -> Answer {
    let name = arm_id::name(target);
    let definition = "/providers/Microsoft.Authorization/policyDefinitions/6f3a5d0e-7c1b-4d52-9c7e-0a4b8d1e2f90";
    let display = "No changes during a freeze";
    let assignment = format!("{scope}/providers/Microsoft.Authorization/policyAssignments/change-freeze");
    let identifiers = json!([{
        "policyAssignment": {"name": "change-freeze", "id": assignment},
        "policyDefinition": {"name": display, "id": definition},
    }]);
    let kind = arm_id::type_of(target).unwrap_or_default();
    Answer::new(
        403,
        Some(json!({"error": {
            "code": "RequestDisallowedByPolicy", "target": name,
            "message": format!("Resource '{name}' was disallowed by policy. Policy identifiers: '{identifiers}'."),
            "additionalInfo": [{"type": "PolicyViolation", "info": {
                "policyDefinitionDisplayName": display, "policyDefinitionEffect": "deny",
                "policyAssignmentId": assignment, "policyDefinitionId": definition,
                "evaluationDetails": {"evaluatedExpressions": [{
                    "result": "True", "expressionKind": "Field", "expression": "type", "path": "type",
                    "expressionValue": kind, "targetValue": kind, "operator": "Equals",
                }]},
            }}],
        }})),
    )
}

fn rights_refusal(call: &Call, caller: &str, target: &str) -> Answer {
    let template = arm_id::operation(&call.segments);
    let kind: Vec<&str> = template.rsplit("/providers/").next().unwrap_or_default().split('/').collect();
    let kind: Vec<&str> = kind.into_iter().filter(|segment| *segment != "{}").collect();
    let verb = match call.method.as_str() {
        "GET" | "HEAD" => "read",
        "DELETE" => "delete",
        "POST" => "action",
        _ => "write",
    };
    crate::arm::authorization_failed(caller, &format!("{}/{verb}", kind.join("/")), target)
}

/// 400 as the directory's absence is told, whatever `principalType` says.
/// Source: <https://github.com/MicrosoftDocs/azure-docs/issues/103085>.
pub(crate) fn principal_not_found(principal: &str) -> Answer {
    let message = format!(
        "Principal {} does not exist in the directory. Check that you have the correct principal ID. If you are \
         creating this principal and then immediately assigning a role, this error might be related to a replication \
         delay.",
        principal.replace('-', "")
    );
    Answer::error(400, "PrincipalNotFound", message)
}

/// The principal that a request grants something to.
pub(crate) fn principal_of(call: &Call) -> String {
    let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
    json::text(&body, &["properties", "principalId"]).unwrap_or_default().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_about_a_resource_whatever_stands_behind_it() {
        let account = "/subscriptions/s/resourcegroups/g/providers/microsoft.storage/storageaccounts/a";
        for (path, about) in [
            (account.to_owned(), account),
            (format!("{account}/listkeys"), account),
            (format!("{account}/providers/microsoft.authorization/roleassignments/n"), account),
            (format!("{account}/providers/microsoft.insights/metrics"), account),
            (account.rsplit_once('/').unwrap().0.to_owned(), "/subscriptions/s/resourcegroups/g"),
            ("/subscriptions/s/resourcegroups".to_owned(), "/subscriptions/s"),
            ("/subscriptions".to_owned(), ""),
        ] {
            assert_eq!(resource(&path), about, "{path}");
        }
    }
}

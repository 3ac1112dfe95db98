//! Who may do what: role assignments, groups, wildcards, denials and propagation.
//! Source: MicrosoftDocs/azure-docs `articles/role-based-access-control/troubleshooting.md` and
//! azure-mgmt-authorization 4.0.0 `v2022_04_01`.

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::azure::{Azure, Recast, Timer};
use crate::world::{ASSIGNMENT, DEFINITION, DENY};
use crate::{arm_id, json, roles, time};

const EVERYONE: &str = "00000000-0000-0000-0000-000000000000";

/// Which half of a role definition is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plane {
    Control,
    Data,
}

/// How long an assignment takes to count, by the way it reaches the principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    Direct,
    /// A managed identity through a group, or a grant at management group scope.
    Slow,
}

/// Which grants count for somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grants {
    /// Those with a condition do not: what it lets through is not known here.
    Unconditional,
    /// Those with a condition do too.
    All,
}

/// `*` matches any run of characters, slashes included; case does not count.
pub(crate) fn matches(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_ascii_lowercase(), action.to_ascii_lowercase());
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| action.strip_prefix(first)) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        match rest.find(piece) {
            Some(found) => rest = rest.get(found + piece.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn any_matches(permissions: &Value, field: &str, action: &str) -> bool {
    let patterns = permissions.get(field).and_then(Value::as_array);
    patterns.into_iter().flatten().filter_map(Value::as_str).any(|pattern| matches(pattern, action))
}

fn block_allows(block: &Value, plane: Plane, action: &str) -> bool {
    let (allow, except) = match plane {
        Plane::Control => ("actions", "notActions"),
        Plane::Data => ("dataActions", "notDataActions"),
    };
    any_matches(block, allow, action) && !any_matches(block, except, action)
}

fn definition_allows(role: &Value, plane: Plane, action: &str) -> bool {
    let blocks = json::at(role, &["properties", "permissions"]).and_then(Value::as_array);
    blocks.into_iter().flatten().any(|block| block_allows(block, plane, action))
}

fn principal_of(assignment: &Value) -> String {
    json::text(assignment, &["properties", "principalId"]).unwrap_or_default().to_ascii_lowercase()
}

impl Azure {
    /// Whether a caller may perform a control-plane action. The simulator's own identities are Owners of everything
    /// as long as the world grants them nothing; propagation is not imitated here, as a fresh token ends it.
    pub(crate) fn may(&self, caller: &str, action: &str, scope: &str) -> bool {
        if self.denied_by(caller, action, scope) {
            return false;
        }
        if self.is_implicit_owner(caller) {
            return true;
        }
        let principals = self.world.with_groups(caller);
        self.world
            .extensions_covering(ASSIGNMENT, scope)
            .filter(|(_, assignment)| principals.contains(&principal_of(assignment)))
            .any(|(_, assignment)| self.role_allows(assignment, Plane::Control, action))
    }

    /// The blocks of everything the caller may do at a scope, in the form that the permissions of a caller are listed in.
    pub(crate) fn own_permissions(&self, caller: &str, scope: &str) -> Vec<Value> {
        if self.is_implicit_owner(caller) {
            return vec![
                serde_json::json!({"actions": ["*"], "notActions": [], "dataActions": [], "notDataActions": []}),
            ];
        }
        let principals = self.world.with_groups(caller);
        let held = self.world.extensions_covering(ASSIGNMENT, scope);
        let held = held.filter(|(_, assignment)| principals.contains(&principal_of(assignment)));
        let blocks = held.flat_map(|(_, assignment)| {
            let id = json::text(assignment, &["properties", "roleDefinitionId"]).unwrap_or_default();
            let condition = json::text(assignment, &["properties", "condition"]);
            let definition = self.definition(id, None);
            let blocks = definition.as_ref().and_then(|role| json::at(role, &["properties", "permissions"]));
            let blocks = blocks.and_then(Value::as_array).cloned().unwrap_or_default();
            blocks.into_iter().map(move |mut block| {
                if let Some(condition) = condition {
                    json::into_object(&mut block).insert("condition".to_owned(), serde_json::json!(condition));
                }
                block
            })
        });
        blocks.collect()
    }

    /// Whether a list shows an entry: `everything` says that the caller may read all of it, as far as nothing below the
    /// list's scope is denied.
    /// Source: MicrosoftDocs/azure-docs `articles/role-based-access-control/deny-assignments.md`.
    pub(crate) fn lists(&self, everything: bool, caller: &str, action: &str, key: &str) -> bool {
        if everything { !self.denied_by(caller, action, key) } else { self.may(caller, action, key) }
    }

    /// Whether the caller holds anything at all in a subscription.
    pub(crate) fn may_see_subscription(&self, caller: &str, scope: &str) -> bool {
        if arm_id::subscription(scope).is_some_and(|id| self.is_foreign(id)) {
            return false;
        }
        if self.is_implicit_owner(caller) {
            return true;
        }
        let principals = self.world.with_groups(caller);
        self.world
            .extensions_covering(ASSIGNMENT, scope)
            .chain(self.world.extensions_below(ASSIGNMENT, scope))
            .any(|(_, assignment)| principals.contains(&principal_of(assignment)))
    }

    /// A denial that covers the action, if there is one. Deny wins over allow.
    pub(crate) fn denied_by(&self, caller: &str, action: &str, scope: &str) -> bool {
        self.denied(caller, Plane::Control, action, scope)
    }

    /// Whether a principal's bearer token is good for a data action on the account at this instant.
    /// A grant below the account never counts.
    pub(crate) fn data_allowed(&self, principal: &str, action: &str, account: &str, grants: Grants) -> bool {
        self.token_allowed(principal, Plane::Data, action, account, grants)
    }

    /// Whether it is good for an action of the control plane that the data plane looks at, which takes its time as data
    /// actions do.
    /// Source: <https://learn.microsoft.com/rest/api/storageservices/authorize-with-azure-active-directory>, the permissions for
    /// Blob service operations.
    pub(crate) fn data_plane_allows(&self, principal: &str, action: &str, account: &str) -> bool {
        let owner = self.is_implicit_owner(principal) && !self.denied(principal, Plane::Control, action, account);
        owner || self.token_allowed(principal, Plane::Control, action, account, Grants::Unconditional)
    }

    fn token_allowed(&self, principal: &str, plane: Plane, action: &str, account: &str, grants: Grants) -> bool {
        let now = self.now;
        let principal = principal.to_ascii_lowercase();
        let principals = self.world.with_groups(&principal);
        let managed = self.world.principal_type(&principal).is_none_or(|kind| kind == "ServicePrincipal");
        let standing = self.world.extensions_covering(ASSIGNMENT, account).filter(|(key, assignment)| {
            let holder = principal_of(assignment);
            principals.contains(&holder) && self.counts_from(key, assignment, holder != principal && managed) <= now
        });
        let fading = self
            .fading
            .iter()
            .filter(|(key, gone)| {
                now < gone.until
                    && principals.contains(&principal_of(&gone.assignment))
                    && arm_id::is_within(account, arm_id::extension_scope(key))
            })
            .map(|(key, gone)| (key.as_str(), &gone.assignment));
        standing
            .chain(fading)
            .filter(|(_, assignment)| {
                grants == Grants::All || json::at(assignment, &["properties", "condition"]).is_none_or(|c| c == "")
            })
            .any(|(_, assignment)| self.role_works(assignment, plane, action))
            && !self.denied(&principal, plane, action, account)
    }

    /// When an assignment begins to count for a member reached in this way.
    pub(crate) fn counts_from(&self, key: &str, assignment: &Value, slow: bool) -> Timestamp {
        let Some(created) = json::text(assignment, &["properties", "createdOn"]).and_then(time::parse) else {
            return Timestamp::MIN;
        };
        if self.settled.contains(key) {
            return Timestamp::MIN;
        }
        let high = arm_id::extension_scope(key).starts_with("/providers/microsoft.management/");
        let reach = if slow || high { Reach::Slow } else { Reach::Direct };
        time::after(created, self.propagation(key, reach))
    }

    /// The delay of one assignment: drawn once from seed and id, so that it is the same however often it is asked.
    pub(crate) fn propagation(&self, key: &str, reach: Reach) -> std::time::Duration {
        let mut hash = Sha256::new();
        hash.update(self.seed.to_le_bytes());
        hash.update([u8::from(reach == Reach::Slow)]);
        hash.update(key.as_bytes());
        let draw = hash.finalize().iter().take(4).fold(0_u32, |draw, byte| (draw << 8) | u32::from(*byte));
        let fraction = f64::from(draw) / f64::from(u32::MAX);
        let spread = match reach {
            Reach::Direct => self.knobs.role_propagation,
            Reach::Slow => self.knobs.slow_propagation,
        };
        self.speed.shorten(spread.at(fraction))
    }

    /// The definition that an id names, custom ones first.
    pub(crate) fn definition(&self, id: &str, subscription: Option<&str>) -> Option<Value> {
        let guid = arm_id::name(id);
        let suffix = format!("/roledefinitions/{}", guid.to_ascii_lowercase());
        let custom = self.world.keys_of(DEFINITION).find(|key| key.ends_with(&suffix));
        custom
            .and_then(|key| self.world.get(key).cloned())
            .or_else(|| roles::built_in(guid).map(|role| role.to_json(subscription)))
    }

    /// Whether the assignment's role has the data action, whoever holds it and whether or not it counts yet.
    pub(crate) fn gives_data_action(&self, assignment: &Value, action: &str) -> bool {
        self.role_allows(assignment, Plane::Data, action)
    }

    /// Lets the data plane go by what a custom role was until its change, which is to be made now, has come through. That
    /// takes an hour at most, and as long as slow ways below that. Source: MicrosoftDocs/azure-ai-docs
    /// `articles/machine-learning/how-to-assign-roles.md`, which speaks of Azure Machine Learning. That it is so for storage,
    /// and in both directions, is a design decision.
    pub(crate) fn recast_role(&mut self, role: &str) {
        const LONGEST: std::time::Duration = std::time::Duration::from_secs(3600);
        let guid = arm_id::name(role).to_ascii_lowercase();
        let until = time::after(self.now, self.propagation(role, Reach::Slow).min(self.speed.shorten(LONGEST)));
        // What is new nobody has yet.
        let Some(written) = self.world.get(role).cloned() else { return };
        let before = match self.recast.remove(&guid) {
            Some(earlier) if self.now < earlier.until => earlier.before,
            _ => written,
        };
        self.recast.insert(guid, Recast { before, until });
        self.schedule(until, Timer::Reconsider { scope: String::new() });
    }

    /// As [`Self::role_allows`], by what the data plane knows of the role.
    fn role_works(&self, assignment: &Value, plane: Plane, action: &str) -> bool {
        let role = json::text(assignment, &["properties", "roleDefinitionId"]).map(arm_id::name);
        match role.and_then(|guid| self.recast.get(&guid.to_ascii_lowercase())) {
            Some(Recast { before, until }) if self.now < *until => definition_allows(before, plane, action),
            _ => self.role_allows(assignment, plane, action),
        }
    }

    fn role_allows(&self, assignment: &Value, plane: Plane, action: &str) -> bool {
        let Some(id) = json::text(assignment, &["properties", "roleDefinitionId"]) else { return false };
        let suffix = format!("/roledefinitions/{}", arm_id::name(id).to_ascii_lowercase());
        if let Some(custom) = self.world.keys_of(DEFINITION).find(|key| key.ends_with(&suffix)) {
            return self.world.get(custom).is_some_and(|role| definition_allows(role, plane, action));
        }
        let Some(role) = roles::built_in(arm_id::name(id)) else { return false };
        let (allow, except): (_, &[&str]) = match plane {
            Plane::Control => (role.actions, role.not_actions),
            Plane::Data => (role.data_actions, &[]),
        };
        allow.iter().any(|pattern| matches(pattern, action)) && !except.iter().any(|pattern| matches(pattern, action))
    }

    fn denied(&self, principal: &str, plane: Plane, action: &str, scope: &str) -> bool {
        if self.world.keys_of(DENY).next().is_none() {
            return false;
        }
        let principals = self.world.with_groups(principal);
        let named = |deny: &Value, field: &str| {
            let list = json::at(deny, &["properties", field]).and_then(Value::as_array).into_iter().flatten();
            list.filter_map(|entry| json::text(entry, &["id"]))
                .any(|id| id == EVERYONE || principals.contains(&id.to_ascii_lowercase()))
        };
        self.world.extensions_covering(DENY, scope).any(|(key, deny)| {
            let at_home = arm_id::extension_scope(key) == scope;
            let only_here = json::at(deny, &["properties", "doNotApplyToChildScopes"]) == Some(&Value::Bool(true));
            let blocks = json::at(deny, &["properties", "permissions"]).and_then(Value::as_array);
            (at_home || !only_here)
                && named(deny, "principals")
                && !named(deny, "excludePrincipals")
                && blocks.into_iter().flatten().any(|block| block_allows(block, plane, action))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_spans_slashes_and_case_does_not_count() {
        assert!(matches("*", "Microsoft.Storage/storageAccounts/write"));
        assert!(matches("*/READ", "Microsoft.Storage/storageAccounts/read"));
        assert!(matches("Microsoft.Authorization/*/Write", "microsoft.authorization/roleAssignments/write"));
        assert!(!matches("Microsoft.Authorization/*/Write", "Microsoft.Storage/storageAccounts/write"));
        assert!(!matches("*/read", "Microsoft.Storage/storageAccounts/write"));
        assert!(matches("a/b", "A/B"));
        assert!(!matches("a/b", "a/b/c"));
        assert!(!matches("ab*ba", "aba"));
    }
}

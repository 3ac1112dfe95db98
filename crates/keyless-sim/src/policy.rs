//! Policy assignments, as they are listed. What they would forbid is left to the faults.
//! Source: azure-mgmt-resource-policy, `PolicyAssignmentsOperations`, whose descriptions say what each filter returns.

use std::collections::BTreeSet;

use crate::arm_id;
use crate::assignment::{argument, clauses, equals};
use crate::azure::Azure;
use crate::json;
use crate::request::{Answer, Call, Reply};
use crate::world::POLICY;

const READ: &str = "Microsoft.Authorization/policyAssignments/read";

impl Azure {
    /// Without a filter: those of the scope, of all above and of all below. `atScope()` leaves out those below,
    /// `atExactScope()` those above too, `policyDefinitionId eq` those of other definitions.
    pub(crate) fn list_policies(&self, caller: &str, call: &Call, scope: &str) -> Reply {
        self.authorize(caller, READ, scope)?;
        let (mut below, mut above, mut definition) = (true, true, None);
        for clause in clauses(call.query("$filter").unwrap_or_default()) {
            if argument(&clause, "atScope").is_some() {
                below = false;
            } else if argument(&clause, "atExactScope").is_some() {
                (below, above) = (false, false);
            } else if let Some(wanted) = equals(&clause, "policyDefinitionId") {
                definition = Some(arm_id::key(wanted));
            } else {
                return Err(Answer::error(400, "UnsupportedQuery", format!("The filter '{clause}' is not supported.")));
            }
        }
        let covering = self.world.extensions_covering(POLICY, scope);
        let covering = covering.filter(|(key, _)| above || arm_id::extension_scope(key) == scope);
        let found: BTreeSet<String> = covering
            .chain(self.world.extensions_below(POLICY, scope).filter(|_| below))
            .filter(|(_, value)| {
                let own = json::text(value, &["properties", "policyDefinitionId"]).map(arm_id::key);
                definition.is_none() || own == definition
            })
            .map(|(key, _)| key.to_owned())
            .collect();
        self.page(call, found.into_iter(), |key| Some(self.shown(call, self.world.get(key)?)))
    }
}

//! Roles that a principal could activate, as Privileged Identity Management lists them. They give nothing here until a
//! role assignment stands beside them, as they do in Azure.
//! Source: azure-rest-api-specs, authorization `stable/2020-10-01/RoleEligibilityScheduleInstance.json`; whether a list at a
//! scope shows what lies below it is not told there: design decision, as with role assignments.

use std::collections::BTreeSet;

use crate::assignment::{argument, clauses, equals};
use crate::azure::Azure;
use crate::json;
use crate::request::{Answer, Call, Reply};
use crate::world::ELIGIBILITY;

const READ: &str = "Microsoft.Authorization/roleEligibilityScheduleInstances/read";

impl Azure {
    /// `assignedTo('…')` goes through groups, `principalId eq '…'` does not, `atScope()` leaves out what lies below.
    pub(crate) fn list_eligibilities(&self, caller: &str, call: &Call, scope: &str) -> Reply {
        self.authorize(caller, READ, scope)?;
        let (mut at_scope, mut of) = (false, None);
        for clause in clauses(call.query("$filter").unwrap_or_default()) {
            if argument(&clause, "atScope").is_some() {
                at_scope = true;
            } else if argument(&clause, "asTarget").is_some() {
                of = Some(self.world.with_groups(caller));
            } else if let Some(principal) = argument(&clause, "assignedTo") {
                of = Some(self.world.with_groups(principal));
            } else if let Some(principal) = equals(&clause, "principalId") {
                of = Some(BTreeSet::from([principal.to_ascii_lowercase()]));
            } else {
                return Err(Answer::error(400, "UnsupportedQuery", format!("The filter '{clause}' is not supported.")));
            }
        }
        let below = self.world.extensions_below(ELIGIBILITY, scope).filter(|_| !at_scope);
        let found: BTreeSet<String> = self
            .world
            .extensions_covering(ELIGIBILITY, scope)
            .chain(below)
            .filter(|(_, value)| {
                let principal = json::text(value, &["properties", "principalId"]).unwrap_or_default();
                of.as_ref().is_none_or(|of| of.contains(&principal.to_ascii_lowercase()))
            })
            .map(|(key, _)| key.to_owned())
            .collect();
        self.page(call, found.into_iter(), |key| Some(self.shown(call, self.world.get(key)?)))
    }
}

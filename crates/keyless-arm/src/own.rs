//! What this client did itself, so that its own writes are told from those of others in the activity log.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyless_core::id::PrincipalId;
use serde_json::Value;

use crate::secret::Secret;

/// So many writes are remembered: days of a large fleet, and the log is asked about minutes.
const REMEMBERED: usize = 4096;

/// The client request ids of the latest writes.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    ids: Mutex<(VecDeque<String>, BTreeSet<String>)>,
}

impl Sent {
    /// Takes note of a write before it leaves.
    pub(crate) fn remember(&self, client_request_id: &str) {
        let id = client_request_id.to_ascii_lowercase();
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let (order, known) = &mut *ids;
        if known.insert(id.clone()) {
            order.push_back(id);
        }
        if order.len() > REMEMBERED
            && let Some(oldest) = order.pop_front()
        {
            known.remove(&oldest);
        }
    }

    /// Whether a write of this client had this id.
    pub(crate) fn holds(&self, client_request_id: &str) -> bool {
        let ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.1.contains(&client_request_id.to_ascii_lowercase())
    }
}

/// The object id in a token; `None` where the token is not one that can be read, which is allowed. It decides nothing but
/// what a message says, so the signature is not looked at.
///
/// Source: <https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference>, `oid`.
pub(crate) fn object_id(token: &Secret) -> Option<PrincipalId> {
    let payload = token.expose().split('.').nth(1)?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?).ok()?;
    claims.get("oid")?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_writes_are_remembered_in_any_case() {
        let sent = Sent::default();
        for number in 0..=REMEMBERED {
            sent.remember(&format!("id-{number}"));
            sent.remember(&format!("id-{number}"));
        }
        assert!(!sent.holds("id-0") && sent.holds("id-1") && sent.holds("ID-4096"));
    }

    #[test]
    fn the_object_id_is_read_from_a_token_that_has_one() {
        let token = |payload: &str| Secret::new(format!("h.{}.s", URL_SAFE_NO_PAD.encode(payload)));
        let id = "0b1ec7a0-1f2e-4d3c-9b8a-7f6e5d4c3b02";
        assert_eq!(object_id(&token(&format!("{{\"oid\":\"{id}\"}}"))), Some(id.parse().unwrap()));
        for odd in [token("{}"), token("{\"oid\":7}"), token("no json"), Secret::new("opaque"), Secret::new("")] {
            assert_eq!(object_id(&odd), None, "{}", odd.expose());
        }
    }
}

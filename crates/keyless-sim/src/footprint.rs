//! What a caller leaves in the storage resource logs: its address, what it calls itself, who it is, and what signed.
//! Source: MicrosoftDocs/azure-docs `includes/azure-storage-logs-properties-authentication.md` and
//! `articles/storage/blobs/monitor-blob-storage-reference.md`.

use sha2::{Digest, Sha256};

use crate::traffic::Look;
use crate::workload::Signs;

/// The traces of one caller.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Footprint {
    /// `CallerIpAddress`, with the port.
    pub(crate) address: String,
    /// `UserAgentHeader`.
    pub(crate) agent: String,
    /// `RequesterObjectId`; known of tokens alone.
    pub(crate) object: String,
    /// How a key user signs; callers through a workspace sign as it tells them to.
    pub(crate) signs: Option<Signs>,
}

impl Footprint {
    /// The traces of whoever goes by this name, where the world does not tell them: always the same.
    pub(crate) fn of(name: &str, address: Option<&str>, agent: Option<&str>, signs: Option<Signs>) -> Self {
        let [a, b, c, d, ..]: [u8; 32] = Sha256::digest(name.as_bytes()).into();
        let made = format!("10.{a}.{b}.{}", c.max(1));
        let port = 40_000 + u32::from(d) * 64;
        let agent = agent.map_or_else(|| "azsdk-python-storage-blob/12.19.0".to_owned(), str::to_owned);
        Self { address: format!("{}:{port}", address.unwrap_or(&made)), agent, object: String::new(), signs }
    }

    /// `AuthenticationHash`. Of a key it names which one, and of a SAS made from a key too. That a SAS that Entra
    /// signed has the signature alone follows from there; that a key that does not fit has none is a design decision.
    pub(crate) fn hash(&self, look: Look) -> String {
        let hash = |of: &str| {
            let bytes: [u8; 32] = Sha256::digest(format!("{of} {}", self.address).as_bytes()).into();
            bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>()
        };
        match (look.authentication, self.signs) {
            ("AccountKey", Some(Signs::WrongKey)) => String::new(),
            ("AccountKey", _) => format!("key1({})", hash("key")),
            ("SAS", Some(Signs::DelegationSas)) => format!("SasSignature({})", hash("sas")),
            ("SAS", _) => format!("key1({}),SasSignature({})", hash("key"), hash("sas")),
            _ => hash("token"),
        }
    }

    /// Only a token names who holds it.
    pub(crate) fn object(&self, look: Look) -> &str {
        if look.authentication == "OAuth" { &self.object } else { "" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_key_made_names_a_key() {
        let hash = |authentication, signs| {
            Footprint::of("nightly", None, None, signs).hash(Look { authentication, response: "Success" })
        };
        assert!(hash("AccountKey", Some(Signs::Key)).starts_with("key1("));
        assert!(hash("SAS", Some(Signs::KeySas)).starts_with("key1("));
        assert!(hash("SAS", Some(Signs::KeySas)).contains("),SasSignature("));
        assert!(hash("SAS", Some(Signs::DelegationSas)).starts_with("SasSignature("));
        assert_eq!(hash("AccountKey", Some(Signs::WrongKey)), "");
        assert!(!hash("OAuth", None).contains('('));
    }
}

//! The network rules of a storage account.

use std::collections::BTreeSet;

/// Who may reach an account over the network, whatever the roles say.
///
/// Source: Azure/bicep-types-az `generated/storage/microsoft.storage/2023-05-01/types.md`, `NetworkRuleSet`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// What `publicNetworkAccess` says of the public endpoint.
    pub public: PublicAccess,
    /// Whether `networkAcls.defaultAction` refuses who is named by no rule.
    pub default_deny: bool,
    /// Whether there are rules for addresses or subnets.
    pub lets_some_in: bool,
    /// Whether `bypass` lets trusted services in, of which Azure Machine Learning is one. That goes before
    /// `publicNetworkAccess`.
    pub trusted_services: bool,
    /// The resources that `resourceAccessRules` let in; `*` stands for any name.
    pub instances: BTreeSet<String>,
    /// Whether any private endpoint is connected to the account, and approved as far as Azure tells.
    pub private_endpoints: bool,
}

/// `publicNetworkAccess`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PublicAccess {
    /// Open to whom the rules let in; an absent value is open.
    #[default]
    Enabled,
    /// Shut.
    Disabled,
    /// Told by something else, such as a perimeter.
    Other(String),
}

impl Network {
    /// Whether the rules hold nobody off.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.public == PublicAccess::Enabled && !self.default_deny
    }
}

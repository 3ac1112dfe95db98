//! Which Azure is spoken to, and where its tokens may go.

use std::path::PathBuf;

use url::{Host, Url};

use crate::error::SetupError;

/// The addresses of one Azure.
///
/// Source: azure-mgmt-core 1.6.0 `tools.py` `get_arm_endpoints`; the scope is a value of its own because in
/// US Government it cannot be derived from the endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cloud {
    pub(crate) resource_manager: Url,
    pub(crate) authority: Url,
    pub(crate) scope: String,
    pub(crate) ca_file: Option<PathBuf>,
}

impl Cloud {
    /// Azure's public cloud.
    ///
    /// # Errors
    /// None in practice: the addresses are constants.
    pub fn public() -> Result<Self, SetupError> {
        Self::custom(
            "https://management.azure.com",
            "https://login.microsoftonline.com",
            "https://management.azure.com/.default",
            None,
        )
    }

    /// Azure US Government.
    ///
    /// # Errors
    /// None in practice: the addresses are constants.
    pub fn us_government() -> Result<Self, SetupError> {
        Self::custom(
            "https://management.usgovcloudapi.net",
            "https://login.microsoftonline.us",
            "https://management.core.usgovcloudapi.net/.default",
            None,
        )
    }

    /// Azure in China, operated by 21Vianet.
    ///
    /// # Errors
    /// None in practice: the addresses are constants.
    pub fn china() -> Result<Self, SetupError> {
        Self::custom(
            "https://management.chinacloudapi.cn",
            "https://login.chinacloudapi.cn",
            "https://management.chinacloudapi.cn/.default",
            None,
        )
    }

    /// Another Azure, or a simulator. `ca_file` (PEM) is trusted besides the system's certificates.
    ///
    /// # Errors
    /// [`SetupError::Cloud`] if an address is no plain origin (path, query, user name), or if the resource manager
    /// is reached over plain HTTP and is not a loopback address: tokens do not travel in clear.
    pub fn custom(
        resource_manager: &str,
        authority: &str,
        scope: &str,
        ca_file: Option<PathBuf>,
    ) -> Result<Self, SetupError> {
        let resource_manager = origin("resource manager", resource_manager)?;
        let authority = origin("authority", authority)?;
        if !may_carry_token(&resource_manager) {
            return Err(SetupError::Cloud(format!(
                "the resource manager `{resource_manager}` would receive tokens over plain HTTP; \
                 only loopback addresses may"
            )));
        }
        if scope.is_empty() {
            return Err(SetupError::Cloud("the scope is empty".to_owned()));
        }
        Ok(Self { resource_manager, authority, scope: scope.to_owned(), ca_file })
    }

    /// The resource manager's address.
    #[must_use]
    pub fn resource_manager(&self) -> &Url {
        &self.resource_manager
    }

    /// Entra's address.
    #[must_use]
    pub fn authority(&self) -> &Url {
        &self.authority
    }

    /// The scope of tokens for the resource manager.
    #[must_use]
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// Certificates trusted besides the system's.
    #[must_use]
    pub fn ca_file(&self) -> Option<&PathBuf> {
        self.ca_file.as_ref()
    }

    /// Whether `url` is the resource manager's: the only place that ever receives a token.
    pub(crate) fn owns(&self, url: &Url) -> bool {
        url.origin() == self.resource_manager.origin()
            && url.username().is_empty()
            && url.password().is_none()
            && may_carry_token(url)
    }

    /// The address of a path at the resource manager, with its query.
    pub(crate) fn url(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.resource_manager.clone();
        url.set_path(path);
        set_query(&mut url, query);
        url
    }
}

/// Gives the address this query in place of any other.
pub(crate) fn set_query(url: &mut Url, query: &[(&str, &str)]) {
    let encoded = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    // `+` is read as a blank only by servers that decode forms; `%20` by all. `$` is legal in a query.
    url.set_query(Some(&encoded.replace('+', "%20").replace("%24", "$")));
}

fn origin(what: &str, text: &str) -> Result<Url, SetupError> {
    let bad = |why: &str| SetupError::Cloud(format!("the {what} `{text}` {why}"));
    let url = Url::parse(text).map_err(|error| bad(&format!("is not a URL: {error}")))?;
    if !matches!(url.scheme(), "https" | "http") || url.host().is_none() {
        return Err(bad("is not an HTTP address"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(bad("has a path or query; only scheme, host and port are possible"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("carries a user name"));
    }
    Ok(url)
}

/// Whether a token may be sent there: over TLS, or to this machine.
pub(crate) fn may_carry_token(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))
}

/// Whether the host is this machine: `localhost`, 127/8 or `::1`.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_go_over_plain_http_to_loopback_only() {
        for good in
            ["http://localhost:1", "http://127.0.0.1:1", "http://127.9.9.9", "http://[::1]:1", "https://x.example"]
        {
            assert!(Cloud::custom(good, "https://login.example", "s", None).is_ok(), "{good} was refused");
        }
        for bad in [
            "http://azure.example",
            "http://10.0.0.1",
            "http://localhost.example",
            "http://127.0.0.1.example",
            "http://[fe80::1]",
            "https://u:p@x.example",
            "https://x.example/prefix",
            "ftp://localhost",
            "localhost:80",
        ] {
            assert!(Cloud::custom(bad, "https://login.example", "s", None).is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn only_the_resource_manager_itself_is_owned() {
        let cloud = Cloud::public().unwrap();
        assert!(cloud.owns(&Url::parse("https://management.azure.com:443/x?y").unwrap()));
        for foreign in [
            "https://management.azure.com.evil.example/x",
            "http://management.azure.com/x",
            "https://management.azure.com:8443/x",
            "https://me@management.azure.com/x",
        ] {
            assert!(!cloud.owns(&Url::parse(foreign).unwrap()), "{foreign}");
        }
    }

    #[test]
    fn a_query_is_encoded_so_that_every_server_reads_it() {
        let url = Cloud::public().unwrap().url("/a/b", &[("$filter", "A eq '*' and B"), ("t", "a+b/c")]);
        assert_eq!(url.as_str(), "https://management.azure.com/a/b?$filter=A%20eq%20%27*%27%20and%20B&t=a%2Bb%2Fc");
    }
}

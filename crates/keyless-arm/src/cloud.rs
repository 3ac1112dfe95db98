//! Which Azure is spoken to, and where its tokens may go.

use std::path::PathBuf;

use keyless_core::secret;
use url::{Host, Url};

use crate::error::SetupError;
use crate::redact;

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
    /// Where its blobs are, where that is known.
    pub(crate) storage: Option<Storage>,
}

/// Where the data of accounts are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Storage {
    /// What follows the name of the service in the host of an endpoint.
    suffix: String,
    /// A simulator on this machine that stands in for all of these hosts.
    at: Option<Url>,
}

/// Where one account's blobs are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BlobAddress {
    pub(crate) url: Url,
    /// The account's own host, whoever answers for it.
    pub(crate) host: String,
}

/// Why no token is sent to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoBlobAddress {
    pub(crate) why: String,
    pub(crate) lift: &'static str,
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
        )?
        .with_storage("core.windows.net", None)
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
        )?
        .with_storage("core.usgovcloudapi.net", None)
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
        )?
        .with_storage("core.chinacloudapi.cn", None)
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
        Ok(Self { resource_manager, authority, scope: scope.to_owned(), ca_file, storage: None })
    }

    /// The same cloud with the suffix of its storage endpoints, such as `core.windows.net`. `at` is the origin of a simulator
    /// that answers in place of all of them.
    ///
    /// Source: azure-cli-core 2.91.0 `cloud.py`, `storage_endpoint`, for the suffixes of Azure's own clouds.
    ///
    /// # Errors
    /// [`SetupError::Cloud`] if the suffix is no name of a domain, or if `at` is not on this machine.
    pub fn with_storage(self, suffix: &str, at: Option<&str>) -> Result<Self, SetupError> {
        let label = |part: &str| {
            let inside = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
            !part.is_empty() && part.bytes().all(inside)
        };
        if !suffix.contains('.') || !suffix.split('.').all(label) {
            return Err(SetupError::Cloud(format!(
                "the storage suffix `{}` is no domain such as `core.windows.net`",
                secret::shown(suffix)
            )));
        }
        let at = at.map(|text| origin("storage address", text)).transpose()?;
        if let Some(foreign) = at.as_ref().filter(|at| !is_loopback(at)) {
            return Err(SetupError::Cloud(format!(
                "the storage address `{foreign}` is not on this machine; only a simulator may stand in for storage accounts"
            )));
        }
        Ok(Self { storage: Some(Storage { suffix: suffix.to_owned(), at }), ..self })
    }

    /// Where the blobs of an account are asked for, if `endpoint` is that account's own and a token may go there.
    pub(crate) fn blob_address(&self, account: &str, endpoint: &str) -> Result<BlobAddress, NoBlobAddress> {
        let Some(Storage { suffix, at }) = &self.storage else {
            let why = "the settings do not tell where this cloud has its storage accounts".to_owned();
            return Err(NoBlobAddress { why, lift: "`storageSuffix` in `cloud.custom` of the settings" });
        };
        let name = account.to_ascii_lowercase();
        let host = format!("{name}.blob.{suffix}");
        // Whatever else may stand in an address, such as a port or a user, makes it another text.
        let own = [format!("https://{host}/"), format!("https://{host}")];
        let plain = name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()) && !name.is_empty();
        let refused = || NoBlobAddress {
            why: format!("Azure names `{}` for its blobs, not `{host}`; no token is sent there", part_of(endpoint)),
            lift: "an endpoint of the usual form",
        };
        if !plain || !own.iter().any(|own| own.eq_ignore_ascii_case(endpoint)) {
            return Err(refused());
        }
        let base = match at {
            Some(at) => Ok(at.clone()),
            None => Url::parse(&format!("https://{host}/")),
        };
        let mut url = base.map_err(|_| refused())?;
        set_query(&mut url, &[("comp", "list"), ("maxresults", "1")]);
        Ok(BlobAddress { url, host })
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

    /// Whether `url` is the resource manager's: the only place that ever receives one of its tokens.
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

fn part_of(text: &str) -> String {
    const MOST: usize = 120;
    text.chars().filter(|c| !c.is_control()).take(MOST).collect()
}

/// Gives the address this query in place of any other.
pub(crate) fn set_query(url: &mut Url, query: &[(&str, &str)]) {
    let encoded = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    // `+` is read as a blank only by servers that decode forms; `%20` by all. `$` is legal in a query.
    url.set_query(Some(&encoded.replace('+', "%20").replace("%24", "$")));
}

fn origin(what: &str, text: &str) -> Result<Url, SetupError> {
    let bad = |why: &str| SetupError::Cloud(format!("the {what} `{}` {why}", redact::address(text)));
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
    fn a_password_in_an_address_is_not_repeated() {
        for text in ["https://user:pw@host.example", "https://user:pw@", "user:pw@host", "https://a:pw@b:c/d?e"] {
            let error = Cloud::custom(text, "https://b.example", "s", None).unwrap_err().to_string();
            assert!(error.contains("***@") && !error.contains("pw"), "{error}");
        }
    }

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
    fn a_token_for_data_goes_to_the_account_s_own_host_alone() {
        let ask = |cloud: &Cloud, endpoint: &str| cloud.blob_address("stMLprod", endpoint);
        for (cloud, suffix) in [
            (Cloud::public(), "core.windows.net"),
            (Cloud::us_government(), "core.usgovcloudapi.net"),
            (Cloud::china(), "core.chinacloudapi.cn"),
        ] {
            let address = ask(&cloud.unwrap(), &format!("https://stmlprod.blob.{suffix}/")).unwrap();
            let host = format!("stmlprod.blob.{suffix}");
            assert_eq!(address.url.as_str(), format!("https://{host}/?comp=list&maxresults=1"));
            assert_eq!(address.host, host);
        }
        let cloud = Cloud::public().unwrap();
        for foreign in [
            "http://stmlprod.blob.core.windows.net/",
            "https://other.blob.core.windows.net/",
            "https://stmlprod.file.core.windows.net/",
            "https://stmlprod.blob.core.windows.net.evil.example/",
            "https://stmlprod.blob.core.windows.net:8443/",
            "https://me@stmlprod.blob.core.windows.net/",
            "https://stmlprod.blob.core.windows.net/path",
            "https://stmlprod.blob.core.windows.net/?x",
            "https://stmlprod.z6.blob.storage.azure.net/",
            "https://stmlprod.blob.core.chinacloudapi.cn/",
            "http://127.0.0.1:1/",
            "https://management.azure.com/",
            "",
        ] {
            assert!(ask(&cloud, foreign).is_err(), "{foreign}");
        }
        assert!(cloud.blob_address("st/../x", "https://st/../x.blob.core.windows.net/").is_err());
        let silent = Cloud::custom("https://arm.example", "https://login.example", "s", None).unwrap();
        let error = ask(&silent, "https://stmlprod.blob.core.windows.net/").unwrap_err();
        assert!(error.lift.contains("storageSuffix"), "{error:?}");
    }

    #[test]
    fn only_a_simulator_on_this_machine_stands_in_for_accounts() {
        let cloud = || Cloud::custom("https://arm.example", "https://login.example", "s", None).unwrap();
        let simulated = cloud().with_storage("core.windows.net", Some("http://127.0.0.1:7")).unwrap();
        let address = simulated.blob_address("stmlprod", "https://stmlprod.blob.core.windows.net/").unwrap();
        assert_eq!(address.url.as_str(), "http://127.0.0.1:7/?comp=list&maxresults=1");
        assert_eq!(address.host, "stmlprod.blob.core.windows.net");
        for (suffix, at) in [
            ("core.windows.net", Some("http://10.0.0.1:7")),
            ("core.windows.net", Some("https://storage.example")),
            ("core.windows.net", Some("http://127.0.0.1:7/path")),
            (".windows.net", None),
            ("windows", None),
            ("core.windows.net/x", None),
            ("x@core.windows.net", None),
            ("", None),
        ] {
            assert!(cloud().with_storage(suffix, at).is_err(), "{suffix} {at:?}");
        }
    }

    #[test]
    fn a_query_is_encoded_so_that_every_server_reads_it() {
        let url = Cloud::public().unwrap().url("/a/b", &[("$filter", "A eq '*' and B"), ("t", "a+b/c")]);
        assert_eq!(url.as_str(), "https://management.azure.com/a/b?$filter=A%20eq%20%27*%27%20and%20B&t=a%2Bb%2Fc");
    }
}

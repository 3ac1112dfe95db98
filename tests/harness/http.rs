//! One HTTP exchange at a time over a blocking socket, plain or with TLS under a private authority.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use super::PATIENCE;

/// A client of one origin.
pub struct Http {
    origin: String,
    tls: Option<Arc<ClientConfig>>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub text: String,
}

impl Answer {
    /// The body, read as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        assert!((200..300).contains(&self.status), "{self:?}");
        self
    }
}

impl Http {
    /// A client that trusts the authority in `ca_file`, if there is one.
    pub fn new(origin: &str, ca_file: Option<&Path>) -> Self {
        let tls = ca_file.map(|path| {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_file_iter(path).expect("the authority's file can be read") {
                roots.add(certificate.expect("it is PEM")).expect("it holds certificates");
            }
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
            Arc::new(config.expect("TLS is there").with_root_certificates(roots).with_no_client_auth())
        });
        Self { origin: origin.to_owned(), tls }
    }

    #[track_caller]
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let host = self.origin.split("://").nth(1).expect("an origin has a scheme");
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        let socket = TcpStream::connect(host).expect("somebody listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        let bytes = match &self.tls {
            None => exchange(socket, &request),
            Some(config) => {
                let name = host.rsplit_once(':').map_or(host, |(name, _)| name).to_owned();
                let name = ServerName::try_from(name).expect("a host has a name");
                let session = ClientConnection::new(Arc::clone(config), name).expect("TLS is there");
                exchange(StreamOwned::new(session, socket), &request)
            }
        };
        let text = String::from_utf8(bytes).expect("the answer is text");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer but {text:?}"));
        assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "answers in pieces are not read here");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("the answer has a status");
        Answer { status, text: body.to_owned() }
    }
}

fn exchange(mut stream: impl Read + Write, request: &str) -> Vec<u8> {
    stream.write_all(request.as_bytes()).expect("the request can be sent");
    stream.flush().expect("the request can be sent");
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        // A peer that ends TLS without a word has still said everything that its length promised.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
        Err(error) => panic!("the answer cannot be read: {error}"),
    }
    bytes
}

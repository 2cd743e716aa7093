//! TLS for both sides of a connection.
//!
//! Names and certificates are verified against the system's roots, or Mozilla's where the system has none, unless a
//! certificate authority is given.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::anyhow;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::error::{Failure, Kind, shown};
use crate::platform::sockets::TcpPeer;

use super::{Address, Transport};

/// The most memory that one connection's TLS holds, in bytes: rustls keeps at most 64 KiB to send, as much that was
/// received, and one record of 16 KiB and its overhead on its way in.
pub const MEMORY: u64 = 160 << 10;

/// The files that a side of a TLS connection proves itself and checks its peer with, all PEM.
#[derive(Debug, Clone, Default)]
pub struct TlsFiles {
    /// Certificate authorities that are trusted instead of the system's; for a server, those that clients need a
    /// certificate of.
    pub authorities: Option<PathBuf>,
    /// The side's own certificate, followed by those that lead to its authority.
    pub certificates: Option<PathBuf>,
    /// The key of that certificate.
    pub key: Option<PathBuf>,
    /// Whether a client accepts any certificate.
    pub unverified: bool,
}

impl TlsFiles {
    /// The configuration of a client that offers the `protocols` (ALPN).
    ///
    /// # Errors
    /// [`Kind::Usage`] if a file cannot be read or does not contain what it should.
    pub fn client(&self, protocols: &[&[u8]]) -> Result<ClientTls, Failure> {
        let provider = Arc::new(ring::default_provider());
        let schemes = provider.signature_verification_algorithms;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let builder = if self.unverified {
            let anyone = Arc::new(Anyone(schemes));
            builder.dangerous().with_custom_certificate_verifier(anyone)
        } else {
            builder.with_root_certificates(match &self.authorities {
                Some(path) => roots(path)?,
                None => system_roots(),
            })
        };
        let mut config = match self.identity()? {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(unusable)?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(ClientTls(TlsConnector::from(Arc::new(config))))
    }

    /// The configuration of a server.
    ///
    /// # Errors
    /// [`Kind::Usage`] if a file is missing, cannot be read, or does not contain what it should.
    pub fn server(&self) -> Result<ServerTls, Failure> {
        let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let builder = match &self.authorities {
            Some(path) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(path)?), provider);
                builder.with_client_cert_verifier(verifier.build().map_err(unusable)?)
            }
            None => builder.with_no_client_auth(),
        };
        let Some((chain, key)) = self.identity()? else {
            return Err(missing("a server needs cert= and key="));
        };
        let config = builder.with_single_cert(chain, key).map_err(unusable)?;
        Ok(ServerTls(TlsAcceptor::from(Arc::new(config))))
    }

    /// The certificates to show, and their key.
    fn identity(&self) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, Failure> {
        match (&self.certificates, &self.key) {
            (None, None) => Ok(None),
            (Some(chain), Some(key)) => {
                let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, error))?;
                Ok(Some((certificates(chain)?, secret)))
            }
            (Some(_), None) => Err(missing("cert= needs key= as well")),
            (None, Some(_)) => Err(missing("key= needs cert= as well")),
        }
    }
}

fn unusable(why: impl Into<anyhow::Error>) -> Failure {
    Failure::new(Kind::Usage, "cannot set up TLS", why)
}

fn missing(what: &'static str) -> Failure {
    unusable(anyhow::Error::msg(what))
}

fn unreadable(path: &Path, why: impl Into<anyhow::Error>) -> Failure {
    let operation = format!("cannot use {} for TLS", shown(path.as_os_str().as_encoded_bytes()));
    Failure::new(Kind::Usage, operation, why)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable(path, error))?;
    if found.is_empty() {
        return Err(unreadable(path, anyhow!("there is no certificate in it")));
    }
    Ok(found)
}

fn roots(path: &Path) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| unreadable(path, error))?;
    }
    Ok(roots)
}

/// The roots that the system trusts, or Mozilla's if it has none.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::info!("some of the system's certificates cannot be read: {error}");
    }
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

/// The client side.
#[derive(Clone)]
pub struct ClientTls(TlsConnector);

impl ClientTls {
    /// The configuration, for a library that connects by itself.
    #[must_use]
    pub fn config(&self) -> ClientConfig {
        ClientConfig::clone(self.0.config())
    }

    /// Makes a TLS connection of `stream`, whose peer has to be `peer`.
    ///
    /// # Errors
    /// [`Kind::Connect`] if the handshake fails.
    pub async fn connect(&self, stream: TcpPeer, peer: &Address) -> Result<Transport, Failure> {
        let failed = |error| Failure::io(Kind::Connect, format!("cannot agree on TLS with {peer}"), error);
        let host = peer.host.split('%').next().unwrap_or_default().to_owned();
        let name = ServerName::try_from(host).map_err(|error| failed(std::io::Error::other(error)))?;
        let stream = self.0.connect(name, stream).await.map_err(failed)?;
        Ok(Transport::Tls(Box::new(stream.into())))
    }
}

/// The server side.
#[derive(Clone)]
pub struct ServerTls(TlsAcceptor);

impl ServerTls {
    /// Makes a TLS connection of an accepted one.
    ///
    /// # Errors
    /// [`Kind::Connect`] if the handshake fails.
    pub async fn accept(&self, stream: TcpPeer) -> Result<Transport, Failure> {
        let failed = |error| Failure::io(Kind::Connect, "cannot agree on TLS with the client", error);
        let stream = self.0.accept(stream).await.map_err(failed)?;
        Ok(Transport::Tls(Box::new(stream.into())))
    }
}

/// Accepts every certificate, but still checks that the peer has its key.
#[derive(Debug)]
struct Anyone(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

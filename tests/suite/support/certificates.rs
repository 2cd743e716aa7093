//! An authority of the test's own, and the certificates that it signs.

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd,
};

use super::harness::Folder;

/// An authority whose certificate is in `ca.pem` of a folder.
pub struct Authority<'f> {
    folder: &'f Folder,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl<'f> Authority<'f> {
    pub fn new(folder: &'f Folder) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "Authority of a test");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
        folder.write("ca.pem", issuer.pem());
        Self { folder, issuer }
    }

    /// Signs a certificate for `host` and writes `NAME.pem` and `NAME.key`.
    pub fn sign(&self, name: &str, host: &str) -> (PathBuf, PathBuf) {
        self.sign_with(name, host, |_| {})
    }

    /// As [`Authority::sign`], for one that is not valid any more.
    pub fn sign_expired(&self, name: &str, host: &str) -> (PathBuf, PathBuf) {
        self.sign_with(name, host, |params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        })
    }

    fn sign_with(&self, name: &str, host: &str, change: impl FnOnce(&mut CertificateParams)) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![host.to_owned()]).expect("a name");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        let folder = self.folder;
        (
            folder.write(&format!("{name}.pem"), certificate.pem()),
            folder.write(&format!("{name}.key"), key.serialize_pem()),
        )
    }
}

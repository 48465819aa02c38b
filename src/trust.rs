//! The checked ways to change what TLS is told. They stand above `proto`, which knows no TLS.

use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::engine::tls;
use crate::proto::trust::{ClientCertificate, TlsOptions};
use crate::{Endpoint, Error, Trust};

impl Endpoint {
    /// Trusts the roots in `pem` instead of all others. The bytes are copied.
    ///
    /// # Errors
    ///
    /// [`TlsConfig`](crate::ErrorKind::TlsConfig) if there is no usable root in them. The endpoint
    /// then refuses to be used at all: falling back to other roots, or to none, is what an attacker
    /// would wish for.
    pub fn set_ca_pem(&mut self, pem: &[u8]) -> Result<(), Error> {
        self.change_tls(|tls| tls.trust = vec![Trust::Pem(Arc::from(pem))])
    }

    /// Trusts the roots in `pem` besides those trusted already. The bytes are copied.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::set_ca_pem`].
    pub fn add_ca_pem(&mut self, pem: &[u8]) -> Result<(), Error> {
        self.change_tls(|tls| tls.trust.push(Trust::Pem(Arc::from(pem))))
    }

    /// Trusts the roots in the PEM file at `path` instead of all others. It is read now, to check
    /// it, and again at each connection, so that roots can be rotated in the field.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::set_ca_pem`], and if the file cannot be read.
    pub fn set_ca_file(&mut self, path: &Path) -> Result<(), Error> {
        self.change_tls(|tls| tls.trust = vec![Trust::File(path.to_owned())])
    }

    /// Trusts the roots in the PEM file at `path` besides those trusted already; as
    /// [`Endpoint::set_ca_file`].
    ///
    /// # Errors
    ///
    /// As [`Endpoint::set_ca_file`].
    pub fn add_ca_file(&mut self, path: &Path) -> Result<(), Error> {
        self.change_tls(|tls| tls.trust.push(Trust::File(path.to_owned())))
    }

    /// Trusts the roots of the operating system instead of all others. The platform's own root,
    /// which signs port 8883, is in no system's store.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::set_ca_file`], and if the system has no roots where they usually are.
    pub fn use_system_roots(&mut self) -> Result<(), Error> {
        self.change_tls(|tls| tls.trust = vec![Trust::System])
    }

    /// Trusts the roots of the operating system besides those trusted already.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::use_system_roots`].
    pub fn add_system_roots(&mut self) -> Result<(), Error> {
        self.change_tls(|tls| tls.trust.push(Trust::System))
    }

    /// Shows this client certificate to a server that asks for one. `certificate` is its chain, the
    /// device's own first; `key` is PKCS#8, PKCS#1 or SEC1, not encrypted. Both are PEM and copied.
    ///
    /// # Errors
    ///
    /// [`TlsConfig`](crate::ErrorKind::TlsConfig) says what is wrong with which;
    /// [`InvalidState`](crate::ErrorKind::InvalidState) if the library was built without the feature
    /// `client-certificate`. After either the endpoint refuses to be used.
    pub fn set_client_certificate_pem(
        &mut self,
        certificate: &[u8],
        key: &[u8],
    ) -> Result<(), Error> {
        let client = ClientCertificate::Pem {
            certificate: Arc::from(certificate),
            key: Arc::new(Zeroizing::new(key.to_vec())),
        };
        self.set_client_certificate(client)
    }

    /// As [`Endpoint::set_client_certificate_pem`] from files, which are read now, to check them,
    /// and again at each connection, so that certificates can be renewed in the field.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::set_client_certificate_pem`], and if a file cannot be read.
    pub fn set_client_certificate_files(
        &mut self,
        certificate: &Path,
        key: &Path,
    ) -> Result<(), Error> {
        let client = ClientCertificate::Files {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        };
        self.set_client_certificate(client)
    }

    fn set_client_certificate(&mut self, client: ClientCertificate) -> Result<(), Error> {
        if cfg!(feature = "client-certificate") {
            return self.change_tls(|tls| tls.client = Some(client));
        }
        self.tls_setting(|_| Err(Error::left_out("client-certificate")))
    }

    /// Takes a change over if everything that TLS is told can be used.
    fn change_tls(&mut self, change: impl FnOnce(&mut TlsOptions)) -> Result<(), Error> {
        self.tls_setting(|endpoint| {
            let mut changed = TlsOptions::clone(endpoint.tls());
            change(&mut changed);
            tls::settings(&changed)?;
            *endpoint.tls_mut() = changed;
            Ok(())
        })
    }
}

//! The checked ways to change an endpoint's trust. They stand above `proto`, which knows no TLS.

use std::path::Path;
use std::sync::Arc;

use crate::engine::tls;
use crate::{Endpoint, Error, Trust};

impl Endpoint {
    /// Trusts the roots in `pem` instead of the built-in ones. The bytes are copied.
    ///
    /// # Errors
    ///
    /// [`TlsConfig`](crate::ErrorKind::TlsConfig) if there is no usable root in them. The endpoint
    /// then refuses to be used at all: falling back to other roots, or to none, is what an attacker
    /// would wish for.
    pub fn set_ca_pem(&mut self, pem: &[u8]) -> Result<(), Error> {
        self.trust_if(tls::check_pem(pem), || Trust::Pem(Arc::from(pem)))
    }

    /// Trusts the roots in the PEM file at `path` instead of the built-in ones. It is read now, to
    /// check it, and again at each connection, so that roots can be rotated in the field.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::set_ca_pem`], and if the file cannot be read.
    pub fn set_ca_file(&mut self, path: &Path) -> Result<(), Error> {
        let trust = Trust::File(path.to_owned());
        self.trust_if(tls::client_config(&trust), || trust.clone())
    }

    fn trust_if<T>(
        &mut self,
        checked: Result<T, Error>,
        trust: impl FnOnce() -> Trust,
    ) -> Result<(), Error> {
        match checked {
            Ok(_) => self.set_trust(trust()),
            Err(error) => {
                self.poison(error.clone());
                return Err(error);
            }
        }
        Ok(())
    }
}

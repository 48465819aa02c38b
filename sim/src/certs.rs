//! The simulator's own certificate authorities, its server certificate, and those of devices.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::options::{Certificate, TlsVersions};
use crate::registry::Identity;

/// Names every server certificate is good for.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The name in a certificate that is made for the wrong host.
const WRONG_NAME: &str = "wrong-host.invalid";

/// What the listeners need, and the authority a device is to trust.
pub(crate) struct Certificates {
    pub(crate) ca_pem: String,
    /// For devices; takes certificates of the device authority.
    pub(crate) server: Arc<ServerConfig>,
    /// For files; asks for no certificate.
    pub(crate) files: Arc<ServerConfig>,
    pub(crate) devices: DeviceAuthority,
    /// Keys of both authorities as PEM, for a later start.
    pub(crate) keys: AuthorityKeys,
}

/// Keys of the two authorities, as PEM. Has no `Debug`.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct AuthorityKeys {
    server: String,
    devices: String,
}

/// The authority that signs certificates of devices.
pub(crate) struct DeviceAuthority(CertifiedIssuer<'static, KeyPair>);

/// A certificate for a device, with its key. Has no `Debug`.
pub struct DeviceCertificate {
    /// The certificate, as PEM.
    pub certificate_pem: String,
    /// Its private key, as PEM.
    pub key_pem: String,
    /// SHA-256 of the certificate in lower-case hex.
    pub sha256: String,
}

impl DeviceAuthority {
    /// Makes a certificate. Whose it is stands in the registry; the names in it are for people.
    pub(crate) fn issue(&self, identity: &Identity) -> Result<DeviceCertificate, Error> {
        let make = || {
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::default();
            params.distinguished_name = named(&identity.device_name);
            params
                .distinguished_name
                .push(DnType::OrganizationalUnitName, &*identity.product_key);
            params.use_authority_key_identifier_extension = true;
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2099, 1, 1);
            let certificate = params.signed_by(&key, &self.0)?;
            Ok(DeviceCertificate {
                certificate_pem: certificate.pem(),
                key_pem: key.serialize_pem(),
                sha256: fingerprint(certificate.der()),
            })
        };
        make().map_err(|error: rcgen::Error| Error::Certificate(error.to_string()))
    }
}

/// SHA-256 of a certificate in lower-case hex.
pub(crate) fn fingerprint(der: &[u8]) -> String {
    hex::encode(Sha256::digest(der))
}

/// Makes two authorities, or takes their keys from `kept`, and a server certificate. The keys stay
/// in memory unless a state file was asked for.
pub(crate) fn make(
    kind: Certificate,
    versions: TlsVersions,
    names: &[String],
    kept: Option<&AuthorityKeys>,
) -> Result<Certificates, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::Certificate(error.to_string());
    let authority = authority("authority", kept.map(|keys| &*keys.server))?;
    let devices = self::authority("device authority", kept.map(|keys| &*keys.devices))?;
    let keys = AuthorityKeys {
        server: authority.key().serialize_pem(),
        devices: devices.key().serialize_pem(),
    };
    let key = KeyPair::generate().map_err(|error| failed(&error))?;
    let certificate = server_params(kind, names)
        .and_then(|params| params.signed_by(&key, &authority))
        .map_err(|error| failed(&error))?;
    let versions: &[&rustls::SupportedProtocolVersion] = match versions {
        TlsVersions::Both => &[&TLS12, &TLS13],
        TlsVersions::Only12 => &[&TLS12],
        TlsVersions::Only13 => &[&TLS13],
    };
    let mut roots = RootCertStore::empty();
    roots
        .add(devices.der().clone())
        .map_err(|error| failed(&error))?;
    let provider = Arc::new(ring::default_provider());
    // Most devices show no certificate; one that is shown must be good.
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .map_err(|error| failed(&error))?;
    let build = |verifier: Option<Arc<dyn ClientCertVerifier>>| {
        let private_key =
            PrivateKeyDer::try_from(key.serialize_der()).map_err(|error| failed(&error))?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(|error| failed(&error))?;
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        builder
            .with_single_cert(vec![certificate.der().clone()], private_key)
            .map(Arc::new)
            .map_err(|error| failed(&error))
    };
    Ok(Certificates {
        ca_pem: authority.pem(),
        server: build(Some(verifier))?,
        files: build(None)?,
        devices: DeviceAuthority(devices),
        keys,
    })
}

/// An authority with the key in `kept`, or with a new one. With the same key and name it is the
/// same authority to a device that trusts it.
fn authority(name: &str, kept: Option<&str>) -> Result<CertifiedIssuer<'static, KeyPair>, Error> {
    let key = kept.map_or_else(KeyPair::generate, KeyPair::from_pem);
    key.and_then(|key| CertifiedIssuer::self_signed(authority_params(name), key))
        .map_err(|error| Error::Certificate(error.to_string()))
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "aliot-sim");
    name.push(DnType::CommonName, common_name);
    name
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(&format!("aliot-sim {name}, for tests only"));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2099, 1, 1);
    params
}

fn server_params(kind: Certificate, names: &[String]) -> Result<CertificateParams, rcgen::Error> {
    let subject_names: Vec<String> = match kind {
        Certificate::WrongName => vec![WRONG_NAME.to_owned()],
        _ => {
            let local = LOCAL_NAMES.iter().map(|name| (*name).to_owned());
            local.chain(names.iter().cloned()).collect()
        }
    };
    let mut params = CertificateParams::new(subject_names)?;
    params.distinguished_name = named("aliot-sim");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let (from, to) = match kind {
        Certificate::Expired => ((2020, 1, 1), (2021, 1, 1)),
        Certificate::NotYetValid => ((2098, 1, 1), (2099, 1, 1)),
        Certificate::Valid | Certificate::WrongName => ((2020, 1, 1), (2099, 1, 1)),
    };
    params.not_before = date_time_ymd(from.0, from.1, from.2);
    params.not_after = date_time_ymd(to.0, to.1, to.2);
    Ok(params)
}

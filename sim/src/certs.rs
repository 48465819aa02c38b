//! The simulator's own certificate authority and server certificate, made anew at each start.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::version::{TLS12, TLS13};

use crate::error::Error;
use crate::options::{Certificate, TlsVersions};

/// Names every server certificate is good for.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The name in a certificate that is made for the wrong host.
const WRONG_NAME: &str = "wrong-host.invalid";

/// What the TLS listener needs, and the authority a device is to trust.
pub(crate) struct Certificates {
    pub(crate) ca_pem: String,
    pub(crate) server: Arc<ServerConfig>,
}

/// Makes an authority and a server certificate signed by it. The keys stay in memory.
pub(crate) fn make(
    kind: Certificate,
    versions: TlsVersions,
    names: &[String],
) -> Result<Certificates, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::Certificate(error.to_string());
    let authority_key = KeyPair::generate().map_err(|error| failed(&error))?;
    let authority = CertifiedIssuer::self_signed(authority_params(), authority_key)
        .map_err(|error| failed(&error))?;
    let key = KeyPair::generate().map_err(|error| failed(&error))?;
    let certificate = server_params(kind, names)
        .and_then(|params| params.signed_by(&key, &authority))
        .map_err(|error| failed(&error))?;
    let versions: &[&rustls::SupportedProtocolVersion] = match versions {
        TlsVersions::Both => &[&TLS12, &TLS13],
        TlsVersions::Only12 => &[&TLS12],
        TlsVersions::Only13 => &[&TLS13],
    };
    let private_key =
        PrivateKeyDer::try_from(key.serialize_der()).map_err(|error| failed(&error))?;
    let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .map_err(|error| failed(&error))?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private_key)
        .map_err(|error| failed(&error))?;
    Ok(Certificates {
        ca_pem: authority.pem(),
        server: Arc::new(server),
    })
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "aliot-sim");
    name.push(DnType::CommonName, common_name);
    name
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("aliot-sim authority, for tests only");
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

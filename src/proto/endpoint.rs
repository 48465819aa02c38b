//! Where the platform is: host, port, the name to verify, TLS or dangerous plaintext.

use core::net::IpAddr;
use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crate::proto::text::shown;
use crate::proto::trust::TlsOptions;
use crate::proto::way::Way;
use crate::{Error, ErrorKind, Identity, Stage};

const REGION_PORT: u16 = 443;
const INSTANCE_PORT: u16 = 8883;
const X509_PORT: u16 = 1883;
/// What follows the id in the host name of an instance.
const INSTANCE_DOMAIN: &str = ".mqtt.iothub.aliyuncs.com";
const MIN_CONNECT_TIMEOUT: Duration = Duration::from_millis(1);
const MAX_CONNECT_TIMEOUT: Duration = Duration::from_secs(60);
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What most endpoints have, held once for all.
static DEFAULT_TLS: LazyLock<Arc<TlsOptions>> = LazyLock::new(Arc::default);
static DEFAULT_WAY: LazyLock<Arc<Way>> = LazyLock::new(Arc::default);
/// Longest host name and longest label of one. Source: RFC 1035, 2.3.4.
const HOST_LEN: usize = 253;
const LABEL_LEN: usize = 63;

#[derive(Clone, Debug, Eq, PartialEq)]
enum Place {
    Region(String),
    Instance(String),
    Host(String),
}

/// Where the platform is and how to reach it. TLS with verification, unless
/// [`set_dangerous_plaintext`](Self::set_dangerous_plaintext) was called.
///
/// Clones share what they hold until one of them is changed: ten thousand clients of one endpoint
/// keep it once.
#[derive(Clone, Debug)]
pub struct Endpoint(Arc<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    place: Place,
    port: u16,
    server_name: Option<String>,
    connect_timeout: Duration,
    plaintext: bool,
    tls: Arc<TlsOptions>,
    way: Arc<Way>,
    poison: Option<Error>,
}

impl Endpoint {
    /// A public instance opened before 30 July 2021, by its region, such as `cn-shanghai`.
    ///
    /// The host is `${productKey}.iot-as-mqtt.${region}.aliyuncs.com`, the port 443.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) unless `region_id` is 1 to
    /// 63 letters, digits and hyphens, with no hyphen at either end.
    ///
    /// Source: the platform's list of endpoints.
    pub fn region(region_id: &str) -> Result<Self, Error> {
        check_id("region_id", region_id)?;
        Ok(Self::at(Place::Region(region_id.to_owned()), REGION_PORT))
    }

    /// An instance by its id: every Enterprise instance, and public ones opened since 30 July 2021.
    ///
    /// The host is `${instanceId}.mqtt.iothub.aliyuncs.com`, the port 8883.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) unless `instance_id` is 1
    /// to 63 letters, digits and hyphens, with no hyphen at either end.
    ///
    /// Source: the platform's list of endpoints.
    pub fn instance(instance_id: &str) -> Result<Self, Error> {
        check_id("instance_id", instance_id)?;
        let place = Place::Instance(instance_id.to_owned());
        Ok(Self::at(place, INSTANCE_PORT))
    }

    /// The host for devices with an X.509 certificate, by its region, which is `cn-shanghai` alone.
    ///
    /// The host is `x509.itls.${region}.aliyuncs.com`, the port 1883, with TLS.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::region`].
    ///
    /// Source: the platform's page on X.509 certificates.
    pub fn x509(region_id: &str) -> Result<Self, Error> {
        check_id("region_id", region_id)?;
        let host = format!("x509.itls.{region_id}.aliyuncs.com");
        Ok(Self::at(Place::Host(host), X509_PORT))
    }

    /// A host by its DNS name or address. An IPv6 address comes without brackets.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) if `host` is neither a name
    /// (labels of 1 to 63 letters, digits, hyphens and underscores, 253 bytes in all) nor an
    /// address, or if `port` is 0.
    ///
    /// Source: RFC 1035, 2.3.1, and the underscores that real names have.
    pub fn host(host: &str, port: u16) -> Result<Self, Error> {
        check_host("host", host)?;
        check_port(port)?;
        Ok(Self::at(Place::Host(host.to_owned()), port))
    }

    fn at(place: Place, port: u16) -> Self {
        Self(Arc::new(Inner {
            place,
            port,
            server_name: None,
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            plaintext: false,
            tls: Arc::clone(&DEFAULT_TLS),
            way: Arc::clone(&DEFAULT_WAY),
            poison: None,
        }))
    }

    /// Dials another port, 1 to 65535. No other one is tried when it does not answer.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) if `port` is 0.
    pub fn set_port(&mut self, port: u16) -> Result<(), Error> {
        check_port(port)?;
        self.inner_mut().port = port;
        Ok(())
    }

    /// Announces and verifies this name in the TLS handshake instead of the host dialled: for
    /// relays, and for devices that dial an address.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) if `name` is not what
    /// [`host`](Self::host) would accept. The endpoint then refuses to be used.
    pub fn set_server_name(&mut self, name: &str) -> Result<(), Error> {
        self.tls_setting(|endpoint| {
            check_host("server_name", name)?;
            endpoint.inner_mut().server_name = Some(name.to_owned());
            Ok(())
        })
    }

    /// Limits one attempt, name lookup, TCP, TLS and CONNACK together: 1 ms to 60 s, default 10 s.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) if `timeout` is outside
    /// that range.
    pub fn set_connect_timeout(&mut self, timeout: Duration) -> Result<(), Error> {
        if !(MIN_CONNECT_TIMEOUT..=MAX_CONNECT_TIMEOUT).contains(&timeout) {
            return Err(Error::argument(
                "connect_timeout",
                format_args!(
                    "is {timeout:?}: {MIN_CONNECT_TIMEOUT:?} to {MAX_CONNECT_TIMEOUT:?} is allowed"
                ),
            ));
        }
        self.inner_mut().connect_timeout = timeout;
        Ok(())
    }

    /// Connects without TLS: everyone on the path can read and forge everything. For test benches.
    ///
    /// The port stays what it is; the platform serves plain TCP on 1883.
    pub fn set_dangerous_plaintext(&mut self) {
        self.inner_mut().plaintext = true;
    }

    fn inner_mut(&mut self) -> &mut Inner {
        Arc::make_mut(&mut self.0)
    }

    /// What TLS is told.
    pub(crate) fn tls(&self) -> &Arc<TlsOptions> {
        &self.0.tls
    }

    /// What TLS is told, to be changed to something that was checked.
    pub(crate) fn tls_mut(&mut self) -> &mut TlsOptions {
        Arc::make_mut(&mut self.inner_mut().tls)
    }

    /// The way there.
    pub(crate) fn way(&self) -> &Arc<Way> {
        &self.0.way
    }

    /// The way there, to be changed to something that was checked.
    pub(crate) fn way_mut(&mut self) -> &mut Way {
        Arc::make_mut(&mut self.inner_mut().way)
    }

    /// Changes what TLS is told. Each setter of it goes through here: after a failure, whatever it
    /// is, the endpoint refuses to be used, with an error of kind
    /// [`TlsConfig`](crate::ErrorKind::TlsConfig).
    pub(crate) fn tls_setting(
        &mut self,
        change: impl FnOnce(&mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        change(self).inspect_err(|error| match error.kind() {
            ErrorKind::TlsConfig => self.poison(error.clone()),
            _ => self.tls_setting_failed(error),
        })
    }

    /// As [`tls_setting`](Self::tls_setting) after a failure that shows before there is anything to
    /// change. `problem` says what is wrong, without a secret.
    pub(crate) fn tls_setting_failed(&mut self, problem: impl fmt::Display) {
        let text = format!("a TLS setting of the endpoint failed: {problem}");
        self.poison(Error::new(ErrorKind::TlsConfig, Stage::Tls, text));
    }

    /// Makes every later use of this endpoint fail with `error`: after a TLS setting that failed,
    /// connecting with the one before would be a surprise. The first poison stays.
    pub fn poison(&mut self, error: Error) {
        self.inner_mut().poison.get_or_insert(error);
    }

    /// Whether the endpoint may be used.
    ///
    /// # Errors
    ///
    /// The error it was [poisoned](Self::poison) with.
    pub fn check(&self) -> Result<(), Error> {
        self.0.poison.clone().map_or(Ok(()), Err)
    }

    /// The host to dial for `identity`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) if the endpoint is a region
    /// and the identity has no product key, or one that makes no host name.
    pub fn host_name(&self, identity: &Identity) -> Result<String, Error> {
        self.host_for(identity.product_key())
    }

    /// The host to dial for a device of the product, whose key may be empty.
    pub(crate) fn host_for(&self, product_key: &str) -> Result<String, Error> {
        match &self.0.place {
            Place::Host(host) => Ok(host.clone()),
            Place::Instance(id) => Ok(format!("{id}{INSTANCE_DOMAIN}")),
            Place::Region(region) => {
                if product_key.is_empty() {
                    return Err(Error::argument(
                        "endpoint",
                        format_args!(
                            "is the region {}, whose host begins with the product key: the identity has none",
                            shown(region)
                        ),
                    ));
                }
                let host = format!("{product_key}.iot-as-mqtt.{region}.aliyuncs.com");
                check_host("host of product_key and region_id", &host)?;
                Ok(host)
            }
        }
    }

    /// The id of the instance, if the endpoint is one or its host has the name of one.
    pub fn instance_id(&self) -> Option<&str> {
        match &self.0.place {
            Place::Instance(id) => Some(id),
            Place::Host(host) => host
                .strip_suffix(INSTANCE_DOMAIN)
                .filter(|id| check_id("instance_id", id).is_ok()),
            Place::Region(_) => None,
        }
    }

    /// The port to dial.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// Whether connections go without TLS.
    pub fn is_plaintext(&self) -> bool {
        self.0.plaintext
    }

    /// The name to announce and verify, if it is not the host dialled.
    pub fn server_name(&self) -> Option<&str> {
        self.0.server_name.as_deref()
    }

    /// The limit of one attempt, from name lookup to CONNACK.
    pub fn connect_timeout(&self) -> Duration {
        self.0.connect_timeout
    }
}

pub(super) fn check_port(port: u16) -> Result<(), Error> {
    if port == 0 {
        return Err(Error::argument("port", "is 0: 1 to 65535 is allowed"));
    }
    Ok(())
}

/// Refuses what is not one label of a host name without underscores.
pub(super) fn check_id(name: &str, id: &str) -> Result<(), Error> {
    let problem = if id.contains('_') {
        Some("'_' is not one of the letters, digits and '-'")
    } else {
        label_problem(id)
    };
    match problem {
        None => Ok(()),
        Some(problem) => Err(Error::argument(
            name,
            format_args!("is {}: {problem}", shown(id)),
        )),
    }
}

/// Refuses what is neither a host name nor an address.
pub(super) fn check_host(name: &str, host: &str) -> Result<(), Error> {
    if host.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    // One dot at the end marks a name as absolute.
    let labels = host.strip_suffix('.').unwrap_or(host);
    let problem = if host.is_empty() {
        Some("a name or an address is needed")
    } else if labels.len() > HOST_LEN {
        Some("a name has at most 253 bytes")
    } else if host.contains(['/', ':', '[', ']']) {
        Some("a name or an address without scheme, port and brackets is needed")
    } else if let Some(problem) = labels.split('.').find_map(label_problem) {
        Some(problem)
    } else if labels
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()))
    {
        // Resolvers take such a text for an address, each in its own way.
        Some("it ends in a number and is not an IPv4 address")
    } else {
        None
    };
    match problem {
        None => Ok(()),
        Some(problem) => Err(Error::argument(
            name,
            format_args!("is {}: {problem}", shown(host)),
        )),
    }
}

fn label_problem(label: &str) -> Option<&'static str> {
    if !(1..=LABEL_LEN).contains(&label.len()) {
        Some("a label has 1 to 63 bytes")
    } else if label.starts_with('-') || label.ends_with('-') {
        Some("a label neither starts nor ends with '-'")
    } else if label
        .bytes()
        .any(|b| !b.is_ascii_alphanumeric() && b != b'-' && b != b'_')
    {
        Some("a label has letters, digits, '-' and '_' only")
    } else {
        None
    }
}

#[cfg(test)]
mod tests;

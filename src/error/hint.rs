//! What to look at after a failure, in the terms of the platform and its console.

use super::{Error, ErrorKind, Stage};

impl Error {
    /// What usually causes this failure and what mends it, as one sentence without a full stop.
    /// `None` where the error's own text is all there is to say.
    pub fn hint(&self) -> Option<&'static str> {
        let root = self.root();
        if root.hint.is_some() {
            return root.hint;
        }
        match (root.kind, root.stage) {
            (ErrorKind::Network | ErrorKind::ClosedByPeer, Stage::Tls) => Some(
                "a TLS server answers on 8883 (instances) and on 443 and 1883 (regions); anything \
                 else, or a proxy in between, ends the handshake",
            ),
            (ErrorKind::ClosedByPeer, Stage::Mqtt) => Some(
                "the platform closes without a word when another connection signs in as the same \
                 device, after 1.5 keep-alive periods of silence, and when the device is disabled \
                 or deleted in the console",
            ),
            (ErrorKind::ClosedByPeer, Stage::Platform) => Some(
                "the platform closes when a device publishes to a topic that it has no right to; \
                 the message is sent again on each connection, and what waits behind it stays: \
                 only its expiry (aliot_client_publish_expiring) or stopping the client frees the \
                 queue",
            ),
            (kind, _) => of_kind(kind),
        }
    }
}

/// Where a server does not take the certificate that this device shows.
pub(crate) const OWN_CERTIFICATE: &str = "it is the device's certificate that is refused, not the server's: compare its dates and its \
     issuer with the console, which also revokes certificates, and give the new one with \
     aliot_endpoint_set_client_certificate_files or _pem";

/// Where a server wants a certificate that this device does not show.
pub(crate) const NO_CERTIFICATE: &str = "servers for devices with X.509 certificates want one from each: \
     aliot_endpoint_set_client_certificate_files or _pem sets it, with a key that is RSA, ECDSA P-256 \
     or P-384, or Ed25519";

/// Where a connection had been established.
pub(crate) const STREAM_BROKE: &str = "something on the way damages or cuts the stream, or the server ended it for a reason of its \
     own: if it happens again and again, look at what stands in between, and at the server's log";

/// Where the device has not got what it was told to use.
pub(crate) const NOT_LOCAL: &str = "what aliot_endpoint_set_interface and aliot_endpoint_set_local_address name must exist and be \
     up when the client connects; some systems allow interfaces to privileged processes alone";

/// Where the proxy is not reached.
pub(crate) const PROXY: &str = "it is the proxy that is dialled, not the platform: compare its host and port with what \
     aliot_endpoint_set_http_proxy or aliot_endpoint_set_socks5_proxy was given";

/// Source: the platform's pages "Establish MQTT connections", "Limits" and "Error codes".
fn of_kind(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::Dns => {
            "check the device's name server, and the host: an instance's is \
             <instanceId>.mqtt.iothub.aliyuncs.com, a region's \
             <productKey>.iot-as-mqtt.<regionId>.aliyuncs.com"
        }
        ErrorKind::Network => {
            "check the way to the platform: a firewall must let TCP out to port 8883 for an \
             instance, 443 or 1883 for a region"
        }
        ErrorKind::ConnectTimeout => {
            "a firewall that drops packets in silence looks like this: where port 8883 or 1883 is \
             closed, 443 is often open"
        }
        ErrorKind::TlsConfig => "a CA file holds one or more certificates in PEM, not a key",
        ErrorKind::TlsHandshake => {
            "the port may serve plain MQTT, or something in between may rewrite TLS: 8883, 443 and \
             1883 of the platform speak TLS 1.2 or later"
        }
        ErrorKind::TlsCertificate => {
            "port 8883 is signed by the platform's own root, 1883 and 443 by GlobalSign; both are \
             built in, and a CA that is given replaces them. A wrong clock makes any certificate \
             invalid"
        }
        ErrorKind::KeepAliveTimeout => {
            "the way to the platform died without a sign, as behind a router that forgets idle \
             connections: a shorter keep-alive keeps it open"
        }
        ErrorKind::UnsupportedProtocol => "the host may not be the platform's MQTT endpoint",
        ErrorKind::BadClientId => {
            "CONNACK 2: the client id is <id>|securemode=2,signmethod=hmacsha256| with both bars; \
             also an account in arrears"
        }
        ErrorKind::ServerUnavailable => {
            "CONNACK 3: the keep-alive is below 30 s, or the platform is at fault for the moment"
        }
        ErrorKind::BadCredentials => {
            "CONNACK 4: compare product key, device name and device secret with the console, where \
             the device may also be disabled; aliot_sign_check explains a signature made elsewhere"
        }
        ErrorKind::NotAuthorized => {
            "CONNACK 5: compare product key, device name and device secret with the console, and \
             that the device belongs to this region or instance"
        }
        ErrorKind::SubscriptionRefused => {
            "the topic must be defined for the product with the right to subscribe, and carry this \
             device's own product key and name"
        }
        ErrorKind::TakenOver => {
            "two programs or devices use one identity: each device needs its own device name"
        }
        ErrorKind::InboxOverflow => {
            "a callback takes too long: hand work to a thread of your own, or raise \
             aliot_config_set_inbox_limit"
        }
        ErrorKind::OutboxFull => {
            "the network is away, or it or the callbacks are slower than what is published: see \
             aliot_client_wait_room, aliot_config_set_outbox_limit and aliot_config_set_outbox_policy"
        }
        ErrorKind::RegistrationRefused => {
            "dynamic registration must be enabled for the product, and a device that has been \
             activated registers only once"
        }
        ErrorKind::RegistrationUnanswered | ErrorKind::RegistrationNotStored => {
            "until its first connect a device may register again, and the last answer counts; \
             after it the console must reset it first"
        }
        ErrorKind::Proxy => {
            "the proxy must allow connections to the platform's host and port, and know the user \
             name and password given"
        }
        ErrorKind::FileExposed => {
            "chmod 600 mends the file; if others could read it, the secret should be replaced"
        }
        ErrorKind::FileAccess => "check the folder's owner, its permissions and the space left",
        ErrorKind::NoResources => {
            "the process is at its limit of threads, descriptors or memory: see ulimit -u, -n, -v"
        }
        ErrorKind::Internal => "please report it with the log at its highest level",
        ErrorKind::InvalidArgument
        | ErrorKind::InvalidState
        | ErrorKind::Timeout
        | ErrorKind::Cancelled
        | ErrorKind::Destroyed
        | ErrorKind::WouldDeadlock
        | ErrorKind::Expired
        | ErrorKind::Dropped
        | ErrorKind::Closing
        | ErrorKind::ClosedByPeer
        | ErrorKind::Protocol
        | ErrorKind::RegistrationMalformed
        | ErrorKind::FileNotFound
        | ErrorKind::FileDamaged => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(kind: ErrorKind, stage: Stage) -> &'static str {
        Error::new(kind, stage, "x").hint().unwrap_or_default()
    }

    #[test]
    fn the_platforms_own_causes_are_named() {
        for (kind, stage, part) in [
            (ErrorKind::ServerUnavailable, Stage::Platform, "below 30 s"),
            (ErrorKind::TlsCertificate, Stage::Tls, "by GlobalSign"),
            (ErrorKind::BadCredentials, Stage::Platform, "device secret"),
            (ErrorKind::ClosedByPeer, Stage::Mqtt, "the same device"),
            (ErrorKind::ClosedByPeer, Stage::Tls, "8883"),
            (ErrorKind::ClosedByPeer, Stage::Platform, "only its expiry"),
        ] {
            assert!(hint(kind, stage).contains(part), "{kind:?}");
        }
    }

    #[test]
    fn a_hint_has_neither_a_full_stop_nor_a_line_feed() {
        for own in [OWN_CERTIFICATE, NO_CERTIFICATE] {
            let error = Error::new(ErrorKind::TlsHandshake, Stage::Tls, "x").with_hint(own);
            assert_eq!(error.hint(), Some(own));
            assert!(!own.ends_with('.') && !own.contains('\n'), "{own}");
        }
        for stage in [Stage::Tls, Stage::Mqtt, Stage::Platform] {
            for kind in ErrorKind::ALL {
                let hint = hint(kind, stage);
                assert!(!hint.ends_with('.') && !hint.contains('\n'), "{kind:?}");
            }
        }
    }
}

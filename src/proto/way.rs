//! The way to the platform: proxy, local address, interface, address family.

use core::net::IpAddr;
use std::fmt;

use crate::proto::endpoint::{check_host, check_port};
use crate::proto::text::{check_chars, check_len, check_secret, shown};
use crate::{Endpoint, Error, Secret};

/// Which addresses of a host are dialled.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum AddressFamily {
    /// IPv4 and IPv6 in turn, beginning as the system orders them.
    #[default]
    Any = 0,
    /// IPv4 and IPv6 in turn, beginning with IPv4.
    PreferIpv4 = 1,
    /// IPv4 and IPv6 in turn, beginning with IPv6.
    PreferIpv6 = 2,
    /// IPv4 alone.
    OnlyIpv4 = 3,
    /// IPv6 alone.
    OnlyIpv6 = 4,
}

/// What a proxy speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ProxyKind {
    /// HTTP CONNECT.
    Http,
    /// SOCKS version 5.
    Socks5,
}

/// A proxy, and who one is to it.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    pub(crate) kind: ProxyKind,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) login: Option<(String, Secret)>,
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ProxyKind::Http => "HTTP",
            ProxyKind::Socks5 => "SOCKS",
        };
        write!(f, "the {kind} proxy {}:{}", self.host, self.port)
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Way {
    pub(crate) proxy: Option<Proxy>,
    pub(crate) local_address: Option<IpAddr>,
    pub(crate) interface: Option<String>,
    pub(crate) family: AddressFamily,
    #[cfg(feature = "websocket")]
    /// The path, if MQTT is spoken inside a WebSocket.
    pub(crate) websocket: Option<String>,
}

/// Longest user name and password of SOCKS. Source: RFC 1929, 2.
const LOGIN_LEN: usize = 255;

/// Longest name of a network interface on Linux, without its NUL.
const INTERFACE_LEN: usize = 15;

impl Endpoint {
    /// Connects through an HTTP proxy that takes CONNECT. The proxy looks the platform's name up. It
    /// sees where the device connects to, and nothing of what passes: TLS goes through it.
    ///
    /// `login` is user name and password: 1 to 255 and 0 to 255 bytes without control characters,
    /// the name without a colon.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) names the argument that is
    /// something else, never the password.
    ///
    /// Source: RFC 9110, 9.3.6; RFC 7617.
    pub fn set_http_proxy(
        &mut self,
        host: &str,
        port: u16,
        login: Option<(&str, &str)>,
    ) -> Result<(), Error> {
        if let Some((user, _)) = login
            && user.contains(':')
        {
            return Err(Error::argument(
                "user",
                format_args!("is {}: HTTP allows no colon in it", shown(user)),
            ));
        }
        self.set_proxy(ProxyKind::Http, host, port, login)
    }

    /// Connects through a SOCKS5 proxy; as [`Endpoint::set_http_proxy`].
    ///
    /// # Errors
    ///
    /// As [`Endpoint::set_http_proxy`].
    ///
    /// Source: RFC 1928, RFC 1929.
    pub fn set_socks5_proxy(
        &mut self,
        host: &str,
        port: u16,
        login: Option<(&str, &str)>,
    ) -> Result<(), Error> {
        self.set_proxy(ProxyKind::Socks5, host, port, login)
    }

    fn set_proxy(
        &mut self,
        kind: ProxyKind,
        host: &str,
        port: u16,
        login: Option<(&str, &str)>,
    ) -> Result<(), Error> {
        check_host("host", host)?;
        check_port(port)?;
        if let Some((user, password)) = login {
            check_len("user", user, 1..=LOGIN_LEN)?;
            check_chars(
                "user",
                user,
                |c| !c.is_control(),
                "all characters but control characters",
            )?;
            check_secret("password", password, 0..=LOGIN_LEN)?;
        }
        self.way_mut().proxy = Some(Proxy {
            kind,
            host: host.to_owned(),
            port,
            login: login.map(|(user, password)| (user.to_owned(), Secret::new(password))),
        });
        Ok(())
    }

    /// Connects from this address of the device, and so only to addresses of its family.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) if it is no IPv4 or IPv6
    /// address. Whether the device has it shows when it connects.
    pub fn set_local_address(&mut self, address: &str) -> Result<(), Error> {
        let parsed = address.parse().map_err(|_| {
            Error::argument(
                "address",
                format_args!("is {}: an IPv4 or IPv6 address is needed", shown(address)),
            )
        })?;
        self.way_mut().local_address = Some(parsed);
        Ok(())
    }

    /// Connects through this network interface, such as `eth0`, whatever the routes say. On Linux
    /// alone, and before Linux 5.7 only with the capability `CAP_NET_RAW`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) unless it has 1 to 15 bytes
    /// without `/` and white space. Whether the device has it shows when it connects.
    pub fn set_interface(&mut self, name: &str) -> Result<(), Error> {
        check_len("interface", name, 1..=INTERFACE_LEN)?;
        check_chars(
            "interface",
            name,
            |c| c != '/' && !c.is_whitespace() && !c.is_control(),
            "all characters but '/' and white space",
        )?;
        self.way_mut().interface = Some(name.to_owned());
        Ok(())
    }

    /// Dials these addresses of the host. Default [`AddressFamily::Any`].
    pub fn set_address_family(&mut self, family: AddressFamily) {
        self.way_mut().family = family;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named_without_the_password() {
        let mut endpoint = Endpoint::host("a.example", 1).unwrap();
        let long = "x".repeat(256);
        for (error, words) in [
            (endpoint.set_http_proxy("a b", 1, None), "host is"),
            (endpoint.set_http_proxy("a", 0, None), "port is 0"),
            (
                endpoint.set_http_proxy("a", 1, Some(("a:b", "s3cret"))),
                "colon",
            ),
            (
                endpoint.set_socks5_proxy("a", 1, Some(("", "s3cret"))),
                "user is empty",
            ),
            (
                endpoint.set_socks5_proxy("a", 1, Some(("u", &long))),
                "256 bytes",
            ),
            (
                endpoint.set_socks5_proxy("a", 1, Some(("u", "s3cret\n"))),
                "control",
            ),
            (endpoint.set_local_address("eth0"), "address is \"eth0\""),
            (endpoint.set_interface(""), "interface is empty"),
            (endpoint.set_interface("0123456789abcdef"), "at most 15"),
            (endpoint.set_interface("a/b"), "interface is"),
        ] {
            let text = error.unwrap_err().to_string();
            assert!(text.contains(words), "\"{text}\" lacks \"{words}\"");
            assert!(!text.contains("s3cret"), "{text}");
        }
        assert!(endpoint.way().proxy.is_none());
        endpoint
            .set_socks5_proxy("::1", 1080, Some(("u", "s3cret")))
            .unwrap();
        assert!(!format!("{endpoint:?}").contains("s3cret"));
    }

    #[test]
    fn the_way_is_the_one_that_was_set() {
        let mut endpoint = Endpoint::host("a.example", 1).unwrap();
        endpoint.set_local_address("192.0.2.1").unwrap();
        endpoint.set_interface("eth0.1").unwrap();
        for name in ["a b", "a/b", "a\nb", "a\0b"] {
            assert!(endpoint.set_interface(name).is_err(), "{name:?}");
        }
        endpoint.set_address_family(AddressFamily::OnlyIpv6);
        let way = endpoint.way();
        assert_eq!(way.local_address, Some([192, 0, 2, 1].into()));
        assert_eq!(way.interface.as_deref(), Some("eth0.1"));
        assert_eq!(way.family, AddressFamily::OnlyIpv6);

        endpoint.set_http_proxy("p.example", 8080, None).unwrap();
        let proxy = endpoint.way().proxy.clone().unwrap();
        assert_eq!(proxy.to_string(), "the HTTP proxy p.example:8080");
        assert_eq!((proxy.kind, proxy.login), (ProxyKind::Http, None));
        endpoint
            .set_socks5_proxy("::1", 1080, Some(("a:b", "")))
            .unwrap();
        let proxy = endpoint.way().proxy.clone().unwrap();
        assert_eq!(proxy.to_string(), "the SOCKS proxy ::1:1080");
        assert_eq!(proxy.login, Some(("a:b".to_owned(), Secret::new(""))));
    }
}

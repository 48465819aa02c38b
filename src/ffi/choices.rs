//! Enums of endpoints and registrations, and the check of every one that comes from C.

use super::failure::Failure;
use super::types::choose;
use crate::{AddressFamily, RegistrationKind, RegistrationMode, TlsVersions};

/// How the platform knows a device that registers.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum aliot_registration_kind {
    /// The device name is in the console: the device gets its device secret.
    Preregistered = 0,
    /// The platform creates the device, which gets a client id and a device token.
    CreateDevice = 1,
}

/// The parameter "securemode" of a registration.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum aliot_registration_mode {
    /// Public instances opened before 30 July 2021.
    Public = 2,
    /// Every other instance.
    Instance = -2,
}

/// TLS versions that are spoken.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum aliot_tls_versions {
    /// 1.2 and 1.3. The default.
    Both = 0,
    /// 1.2 alone.
    Only12 = 1,
    /// 1.3 alone.
    Only13 = 2,
}

/// Which addresses of a host are dialled.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum aliot_address_family {
    /// IPv4 and IPv6 in turn, beginning as the system orders them. The default.
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

pub(super) type aliot_address_family_raw = u32;
pub(super) type aliot_tls_versions_raw = u32;
pub(super) type aliot_registration_kind_raw = u32;
pub(super) type aliot_registration_mode_raw = i32;

pub(super) fn address_family(number: aliot_address_family_raw) -> Result<AddressFamily, Failure> {
    use aliot_address_family as family;
    let table = [
        (family::Any as u32, AddressFamily::Any),
        (family::PreferIpv4 as u32, AddressFamily::PreferIpv4),
        (family::PreferIpv6 as u32, AddressFamily::PreferIpv6),
        (family::OnlyIpv4 as u32, AddressFamily::OnlyIpv4),
        (family::OnlyIpv6 as u32, AddressFamily::OnlyIpv6),
    ];
    choose("family", "aliot_address_family", number, &table)
}

pub(super) fn tls_versions(number: aliot_tls_versions_raw) -> Result<TlsVersions, Failure> {
    let table = [
        (aliot_tls_versions::Both as u32, TlsVersions::Both),
        (aliot_tls_versions::Only12 as u32, TlsVersions::Only12),
        (aliot_tls_versions::Only13 as u32, TlsVersions::Only13),
    ];
    choose("versions", "aliot_tls_versions", number, &table)
}

pub(super) fn registration_kind(
    number: aliot_registration_kind_raw,
) -> Result<RegistrationKind, Failure> {
    let preregistered = aliot_registration_kind::Preregistered as u32;
    let create_device = aliot_registration_kind::CreateDevice as u32;
    let table = [
        (preregistered, RegistrationKind::Preregistered),
        (create_device, RegistrationKind::CreateDevice),
    ];
    choose("kind", "aliot_registration_kind", number, &table)
}

pub(super) fn registration_mode(
    number: aliot_registration_mode_raw,
) -> Result<RegistrationMode, Failure> {
    const PUBLIC: i32 = aliot_registration_mode::Public as i32;
    const INSTANCE: i32 = aliot_registration_mode::Instance as i32;
    match number {
        PUBLIC => Ok(RegistrationMode::Public),
        INSTANCE => Ok(RegistrationMode::Instance),
        _ => Err(Failure::invalid(
            "mode",
            format_args!("is {number}: not a value of aliot_registration_mode"),
        )),
    }
}
